"""A search is reported by what it was after, whatever that is."""

import dataclasses
from pathlib import Path

import pytest
from records import fabricate, fabricate_sweep

from harness.goal import Goal
from harness.record import Measure, RunRecord
from reports.compare import compare
from reports.evidence import load
from reports.searches import Search, summarise_searches
from reports.style import Omitted, Plot
from reports.sweep_figures import front_plot, front_table, trial_table

SCORE, SPEED, COST = Goal(), Goal(name="images_per_s"), Goal(name="mflops")


def trial(folder: Path, number: int, **values: float) -> RunRecord:
    record, _ = fabricate(folder, f"s-t{number}", role="trial", sweep="s", trial=number)
    measures = {name: Measure(value=value) for name, value in values.items()}
    return dataclasses.replace(record, measures={**record.measures, **measures})


def searched(folder: Path, values: list[tuple[float, float]], *goals: Goal) -> Search:
    first, second = (goal.measure for goal in goals)
    runs = [trial(folder, n, **{first: a, second: b}) for n, (a, b) in enumerate(values)]
    (search,) = summarise_searches(runs, {"s": goals})
    return search


def test_a_goal_says_where_it_stands_and_how_it_reads() -> None:
    assert (SCORE.measure, SCORE.tested, SCORE.title) == (
        "validation_score", "test_score", "validation score",
    )  # fmt: skip
    assert (SPEED.measure, SPEED.tested, SPEED.sign) == ("images_per_s", None, 1)
    assert (COST.sign, COST.title) == (-1, "MFLOP per image")


@pytest.mark.parametrize(
    ("second", "values", "front"),
    [
        # 1 is worse than 0 in both, 3 equals 2: the earlier stays.
        (SPEED, [(0.9, 100), (0.8, 90), (0.7, 200), (0.7, 200)], (0, 2)),
        (COST, [(0.9, 100), (0.8, 90), (0.7, 200), (0.8, 90)], (0, 1)),
    ],
)
def test_the_front_of_a_search(
    tmp_path: Path, second: Goal, values: list[tuple[float, float]], front: tuple[int, ...]
) -> None:
    search = searched(tmp_path, values, SCORE, second)
    assert search.front == front
    assert search.best is not None
    assert (search.best.number, search.best.more) == (0, (100.0,))
    assert list(front_table(search)["on_front"]) == [n in front for n in range(4)]


def test_the_picture_of_a_front_is_a_stair(tmp_path: Path) -> None:
    values = [(0.9, 100.0), (0.8, 150.0), (0.7, 200.0)]
    for goal, style in ((SPEED, "steps-pre"), (COST, "steps-post")):
        shown = values if goal is SPEED else [(1.6 - a, b) for a, b in values]
        plot = front_plot(searched(tmp_path, shown, SCORE, goal), name="front")
        assert isinstance(plot, Plot)
        axes = plot.draw(plot.table).axes[0]
        (line,) = (each for each in axes.lines if each.get_label() == "Pareto front")
        assert line.get_drawstyle() == style
        assert list(line.get_xdata()) == [100, 150, 200]
        assert axes.get_xlabel() == goal.title


def test_one_goal_has_no_front(tmp_path: Path) -> None:
    runs = fabricate_sweep(tmp_path, "tune", trials=6)
    (search,) = compare(load(*run) for run in runs).searches
    assert search.front == ()
    assert isinstance(front_plot(search, name="front"), Omitted)


def test_less_is_better_where_it_is(tmp_path: Path) -> None:
    goal = Goal(name="box_mse")
    runs = [trial(tmp_path, n, validation_box_mse=v) for n, v in enumerate((0.03, 0.01, 0.02))]
    again, _ = fabricate(tmp_path, "s-t1-r1", role="rerun", sweep="s", trial=1)
    again = dataclasses.replace(again, measures={"test_box_mse": Measure(value=0.015)})
    (search,) = summarise_searches([*runs, again], {"s": (goal,)})
    assert search.best is not None
    assert search.best.number == 1
    assert search.gap.value == pytest.approx(0.005)  # 0.015 on test is worse than 0.01
    assert list(trial_table(search)["best_so_far"]) == [0.03, 0.01, 0.01]


def test_a_cost_has_no_optimism(tmp_path: Path) -> None:
    search = searched(tmp_path, [(100.0, 0.9), (200.0, 0.5)], SPEED, SCORE)
    assert search.best is not None
    assert search.best.number == 1
    assert search.gap.absent == "images/s has no test split"
