"""What a sweep shows: whole lines in a pipe, one screen on a terminal, plausible times."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from harness import console as console_module
from harness import live_screen, sweep_display
from harness.config import RunConfig
from harness.record import EpochPoint, Measure, RunRecord
from harness.sweep_display import SweepDisplay, sparkline, trial_table
from sweeps.axes import Choice, Value
from sweeps.backoff import Backoff
from sweeps.listeners import (
    EpochDone,
    RunEnded,
    RunRepeated,
    RunStarted,
    SweepOpened,
    WorkerDied,
    WorkerReplaced,
)
from sweeps.plan import SweepPlan, Task
from sweeps.sampler import TrialRow
from sweeps.space import DEFAULT_SPACE, SearchSpace

PLAN = SweepPlan(
    name="a-name-that-is-long-enough-to-break-many-a-line-on-a-narrow-terminal",
    base=RunConfig(epochs=10, dataset="digits"), data_source="digits", data_digest="00",
    trial_overrides={"epochs": 4, "train_examples": None}, finals=2,
)  # fmt: skip
RUN = f"{PLAN.name}-t000"
PARAMS = {"learning_rate": 0.00123456, "class_weight": 1.0, "box_weight": 12.5}


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A display, the clock it looks at and what it writes."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool, width: int = 80
    ) -> None:
        self.file = io.StringIO()
        # Without colours, so that characters can be counted.
        shown = Console(
            file=self.file, force_terminal=terminal, width=80, highlight=False, color_system=None
        )
        monkeypatch.setattr(console_module, "console", shown)
        monkeypatch.setattr(sweep_display, "console", shown)
        monkeypatch.setattr(live_screen, "console", shown)
        self.console, self.clock = shown, Clock()
        self.display = SweepDisplay(PLAN, 4, n_train=1000, clock=self.clock)
        self.display(SweepOpened(plan=PLAN, total=4, rows=()))

    def start(self, task: Task) -> None:
        self.display(RunStarted(task=task))

    def epoch(self, task: Task, number: int, score: float = 0.5) -> None:
        self.display(EpochDone(task=task, point=point(number, score)))

    def end(self, task: Task, **changes: Any) -> None:
        status = changes.get("status", "finished")
        value = 0.5 if status == "finished" else None
        row = TrialRow(number=task.trial, params=PARAMS, status=status, value=value)
        self.display(
            RunEnded(
                task=task, record=record(task, **changes),
                row=row if task.role == "trial" else None,
            )
        )  # fmt: skip

    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def drawn(self) -> list[str]:
        with self.console.capture() as captured:
            self.console.print(self.display._screen())
        return captured.get().splitlines()


def point(number: int, score: float = 0.5) -> EpochPoint:
    return EpochPoint(epoch=number, images=1000, train_s=1.0, metrics={"validation_score": score})


def record(task: Task, **changes: Any) -> RunRecord:
    plain: dict[str, Any] = {
        "status": "finished", "started_at": "2026-01-01T00:00:00+00:00", "duration_s": 1.0,
        "measures": {"validation_score": Measure(value=0.5)},
    }  # fmt: skip
    return RunRecord(
        run_id=task.run_id, role=task.role, sweep=task.sweep, trial=task.trial,
        config=task.config, **plain | changes,
    )  # fmt: skip


TRIALS = [PLAN.trial_task(number, PARAMS) for number in range(4)]
FINALS = [PLAN.final_task(0, PARAMS, k) for k in (1, 2)]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch, terminal=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch, terminal=True)


def test_a_line_in_a_pipe_is_whole(pipe: Screen) -> None:
    pipe.start(TRIALS[0])
    pipe.epoch(TRIALS[0], 1)
    pipe.clock.now += 10
    pipe.end(TRIALS[0])
    # 1,000 images in 10 s. Left: 3 trials of 1,000, 2 finals of 10 x 1,000 and 2 re-runs of
    # 4 x 1,000: 310 s.
    assert pipe.lines() == [
        f"[1/4] {RUN} finished  validation score 0.500  best 0.500 (trial 0)  about 5 min left"
    ]


def test_failures_and_deaths_are_told(pipe: Screen) -> None:
    pipe.start(TRIALS[1])
    pipe.end(TRIALS[1], status="failed", reason="it broke", measures={})
    pipe.display(WorkerDied(reason="killed", task=TRIALS[2]))
    assert pipe.lines() == [
        f"[1/4] {PLAN.name}-t001 failed: it broke",
        f"A worker died in {PLAN.name}-t002: killed",
    ]


def test_what_is_done_again_or_replaced_is_told(pipe: Screen) -> None:
    pipe.start(TRIALS[1])
    pipe.display(RunRepeated(task=TRIALS[1], reason="again with batch_size 8"))
    pipe.display(WorkerReplaced(reason="A worker makes place for a new one: it grew."))
    assert pipe.lines() == [
        f"{PLAN.name}-t001 failed, but that does not count yet: again with batch_size 8",
        "A worker makes place for a new one: it grew.",
    ]


def test_a_halved_batch_has_a_column() -> None:
    row = TrialRow(number=0, params=PARAMS, status="finished", value=0.2)
    halved = Backoff(field="batch_size", too_large=(64, 32), size=16)
    rows = [row, dataclasses.replace(row, number=1, value=0.1, backoff=halved)]
    shown = trial_table(PLAN, rows)
    assert list(shown.columns[-1].cells) == ["64", "16"]
    assert len(trial_table(PLAN, rows[:1]).columns) == len(shown.columns) - 1


def test_finals_are_counted_by_themselves(pipe: Screen) -> None:
    pipe.start(FINALS[0])
    pipe.epoch(FINALS[0], 1)
    pipe.end(FINALS[0])
    first, last = pipe.lines()
    assert first == f"{PLAN.name}-t000-s1  epoch 1/10  score 0.500"
    assert last.startswith(f"[final 1/2] {PLAN.name}-t000-s1 finished")


def test_re_runs_are_told_apart(pipe: Screen) -> None:
    again = PLAN.rerun_task(0, PARAMS, 1)
    pipe.start(again)
    pipe.epoch(again, 1)
    pipe.end(again)
    (line,) = pipe.lines()
    assert line.startswith(f"[re-run 1/2] {RUN}-r1 finished")


def test_what_was_there_is_told_and_not_counted_as_work(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, terminal=False)
    rows = tuple(TrialRow(number=n, params=PARAMS, status="finished", value=0.1) for n in range(3))
    screen.display(SweepOpened(plan=PLAN, total=4, rows=rows))
    assert screen.lines() == ["3 of 4 trials are done already"]
    assert screen.display.left_s() is None


def test_time_left_counts_what_is_under_way(terminal: Screen) -> None:
    assert terminal.display.left_s() is None
    terminal.clock.now += 60  # workers load TensorFlow: that says nothing of training
    terminal.start(TRIALS[0])
    terminal.start(TRIALS[1])
    assert terminal.display.left_s() is None
    terminal.clock.now += 2
    terminal.epoch(TRIALS[0], 1)
    terminal.epoch(TRIALS[1], 1)
    # 2,000 images in 2 s. Four trials of 4,000, two finals of 10,000, two re-runs of 4,000, less
    # the 2,000: 42 s.
    assert terminal.display.left_s() == pytest.approx(42)
    for number in (2, 3, 4):
        terminal.epoch(TRIALS[0], number)
    terminal.clock.now += 3
    terminal.end(TRIALS[0])
    # 5,000 images in 5 s. Three trials of 4,000, finals and re-runs, less 1,000 under way: 39 s.
    assert terminal.display.left_s() == pytest.approx(39)


def test_the_screen_fits_a_narrow_terminal(terminal: Screen) -> None:
    assert any("the workers are starting" in line for line in terminal.drawn())
    terminal.start(TRIALS[0])
    terminal.epoch(TRIALS[0], 1, 0.25)
    terminal.epoch(TRIALS[0], 2, 0.75)
    terminal.start(TRIALS[1])
    terminal.clock.now += 5
    terminal.end(TRIALS[1])
    drawn = terminal.drawn()
    assert max(len(line) for line in drawn) <= 80
    assert "1/4" in drawn[0]
    assert "left" in drawn[0]
    (running,) = (line for line in drawn if "t000" in line)
    assert running.split() == ["t000", "epoch", "2/4", "▃▇", "0.750"]
    assert any("0.001235" in line for line in drawn)


def test_finals_get_a_bar_once_trials_are_done(terminal: Screen) -> None:
    for task in TRIALS:
        terminal.start(task)
        terminal.end(task)
    assert any(line.startswith("finals") and "0/4" in line for line in terminal.drawn())


def test_bars_rise_with_the_score() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert len(sparkline([0.5] * 99)) == 30


def test_values_that_were_chosen_are_shown_as_they_are_typed() -> None:
    axes = (Choice(name="head", values=("dense", "soft-argmax")),
            Choice(name="depth", values=(1, 2)), Choice(name="batch_size", values=(64, 100_000)),
            *DEFAULT_SPACE.axes)  # fmt: skip
    plan = dataclasses.replace(PLAN, space=SearchSpace(axes=axes))
    params: dict[str, Value] = {"head": "soft-argmax", "depth": 2, "batch_size": 100_000, **PARAMS}
    row = TrialRow(number=0, params=params, status="finished", value=0.5)
    shown = trial_table(plan, [row])
    cells = [next(iter(column.cells)) for column in shown.columns]
    assert cells[2:] == ["soft-argmax", "2", "100000", "0.001235", "1", "12.5"]
    narrow = Console(file=io.StringIO(), width=80, color_system=None)
    with narrow.capture() as drawn:
        narrow.print(shown)
    assert all(cell in drawn.get() for cell in ["learning_ ", *cells])


def test_the_table_ranks_and_shows_the_best_five() -> None:
    rows = [TrialRow(number=n, params=PARAMS, status="finished", value=n / 10) for n in range(8)]
    rows.append(TrialRow(number=8, params=PARAMS, status="pruned", value=None))
    shown = trial_table(PLAN, rows)
    assert list(shown.columns[0].cells) == ["7", "6", "5", "4", "3"]
    down = dataclasses.replace(PLAN, objectives=("cross_entropy",))
    assert list(trial_table(down, rows).columns[0].cells) == list("01234")


def test_the_table_of_several_objectives_is_the_front() -> None:
    plan = dataclasses.replace(PLAN, objectives=("score", "images_per_s"), pruner="none")
    values = [(0.5, 900.0), (0.6, 800.0), (0.4, 850.0), (0.7, 1234.5)]
    rows = [
        TrialRow(number=n, params=PARAMS, status="finished", value=score, more=(speed,))
        for n, (score, speed) in enumerate(values[:3])
    ]
    shown = trial_table(plan, rows)
    assert shown.title == "Pareto front (validation)"
    assert list(shown.columns[0].cells) == ["1", "0"]
    assert list(shown.columns[2].cells) == ["800.0", "900.0"]
    rows.append(TrialRow(number=3, params=PARAMS, status="finished", value=0.7, more=(1234.5,)))
    assert list(trial_table(plan, rows).columns[2].cells) == ["1,234.5"]
