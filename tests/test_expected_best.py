"""Expected best of n trials: by hand, by drawing, and where two searches change places."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from records import DATA, fabricate, fabricate_sweep

from harness.config import RunConfig
from reports.compare import compare
from reports.evidence import load
from reports.expected_best import best_plot, best_table, expected_best, flips
from reports.pictures import choose_pictures, none_known
from reports.searches import Search
from reports.style import Omitted, Plot


def searches(folder: Path, *sizes: int) -> tuple[Search, ...]:
    runs = []
    for number, size in enumerate(sizes):
        runs += fabricate_sweep(folder / str(number), f"s{number}", trials=size, seed=number)
    return compare(load(*run) for run in runs).searches


def test_by_hand() -> None:
    # Of 0 and 1: one draw 1/2; two draws are both 0 with probability 1/4.
    assert expected_best(np.array([1.0, 0.0])) == pytest.approx([0.5, 0.75])
    assert expected_best(np.array([0.3])) == pytest.approx([0.3])


def test_it_is_the_mean_of_the_maximum_of_draws() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(8)
    drawn = rng.choice(values, (40_000, 5)).max(axis=1)
    # Standard error of the mean of 40,000 values in [0, 1]: at most 0.0025.
    assert expected_best(values)[4] == pytest.approx(drawn.mean(), abs=0.0075)


def test_it_starts_at_the_mean_and_never_falls() -> None:
    values = np.random.default_rng(1).random(30)
    curve = expected_best(values)
    assert curve[0] == pytest.approx(values.mean())
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[-1] < values.max()


def test_order_flips_where_a_steady_search_is_overtaken() -> None:
    # The steady one finds 0.5 always; the lucky one 0.9 in one of ten trials, else 0.
    steady, lucky = np.full(10, 0.5), np.array([0.9] + [0.0] * 9)
    curves = expected_best(steady), expected_best(lucky)
    # 0.9 (1 - 0.9^k) > 0.5 from k = ln(1 - 0.5 / 0.9) / ln(0.9) = 7.7 on: 8 trials, place 7.
    assert flips(*curves) == [7]
    assert flips(curves[0], curves[0]) == []


def test_the_table_has_a_band_around_each_curve(tmp_path: Path) -> None:
    found = best_table(searches(tmp_path, 20, 12))
    # One trial of each failed without a score.
    assert found.groupby("search")["trials"].max().to_dict() == {"s0": 19, "s1": 11}
    # The bootstrap's band is one of samples: its middle may lie below the curve, never far.
    assert (found["low"] <= found["best"] + 1e-12).all()
    assert (found["best"] <= found["high"] + 1e-12).all()


def test_a_thousand_trials_stay_quick_and_few_points(tmp_path: Path) -> None:
    trials = [
        fabricate(tmp_path, f"t{n}", role="trial", sweep="s", trial=n,
                  config=RunConfig(dataset="mnist", epochs=1, seed=n), epochs=1)
        for n in range(300)
    ]  # fmt: skip
    found = best_table(compare(load(*run) for run in trials).searches)
    assert len(found) == 200
    assert (found["trials"].iloc[0], found["trials"].iloc[-1]) == (1, 300)


def test_words_say_whether_two_change_places(tmp_path: Path) -> None:
    plot = best_plot(searches(tmp_path, 20, 12), name="b")
    assert isinstance(plot, Plot)
    assert ("No two change places." in plot.caption) != ("change places at" in plot.caption)
    assert plot.png().startswith(b"\x89PNG")


def tried(folder: Path, name: str, scores: Sequence[float]) -> Search:
    """Return a search whose trials of two epochs reached these scores, nothing else changed."""
    runs = [
        fabricate(folder, f"{name}-{n}", role="trial", sweep=name, trial=n, epochs=2,
                  config=RunConfig(dataset="mnist", epochs=2, seed=n))
        for n in range(len(scores))
    ]  # fmt: skip
    (search,) = compare(load(*run) for run in runs).searches
    trials = [
        dataclasses.replace(trial, last_value=score)
        for trial, score in zip(search.trials, scores, strict=True)
    ]
    return dataclasses.replace(search, trials=tuple(trials))


def test_a_trial_that_could_not_win_does_not_count(tmp_path: Path) -> None:
    search = tried(tmp_path, "s", [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    ends = ("failed", "interrupted", "finished", "pruned", "finished", "finished")
    trials = [
        dataclasses.replace(trial, status=status)
        for trial, status in zip(search.trials, ends, strict=True)
    ]
    found = best_table([dataclasses.replace(search, trials=tuple(trials))])
    assert found["best"].iloc[0] == pytest.approx((0.7 + 0.6 + 0.5 + 0.4) / 4)
    assert len(found) == 4


def test_the_caption_says_who_is_left_out_and_the_best_are_drawn(tmp_path: Path) -> None:
    one = tried(tmp_path, "s", [0.1] * 4)

    def reaching(name: str, *scores: float) -> Search:
        trials = [
            dataclasses.replace(t, last_value=score)
            for t, score in zip(one.trials, scores, strict=False)
        ]
        return dataclasses.replace(one, name=name, trials=tuple(trials))

    given = [reaching(name, 0.1, 0.1, 0.1, n / 10) for n, name in enumerate("abcdefgh")]
    plot = best_plot([*given, reaching("short", 1.0, 1.0, 1.0)], name="b")
    assert isinstance(plot, Plot)
    assert list(plot.table["search"].unique()) == list("hgfedc")
    assert plot.caption.endswith(
        "Left out: 2 sweeps whose best trial stands lower and 1 sweep with fewer than 4 trials "
        "that scored."
    )
    assert (
        "on `mnist` 5f1d0c2b (data seed 0) with trials of 2 epochs x 55,000 exam" in plot.caption
    )
    whole = best_plot(given[:6], name="b")
    assert isinstance(whole, Plot)
    assert "Left out" not in whole.caption


def test_other_data_or_longer_trials_are_another_picture(tmp_path: Path) -> None:
    digits = dataclasses.replace(DATA, source="digits", digest="d1" * 8)
    runs = []
    for name, data, epochs in (("a", DATA, 2), ("b", DATA, 2), ("c", digits, 2), ("d", DATA, 1)):
        for n in range(4):
            config = RunConfig(dataset=data.source, epochs=epochs, seed=n)
            runs.append(fabricate(tmp_path, f"{name}{n}", role="trial", sweep=name, trial=n,
                                  config=config, data=data, epochs=epochs))  # fmt: skip
    items = [load(*run) for run in runs]
    together = choose_pictures(compare(items), items, none_known, most=0).together
    found = {
        each.plot.name: (each.title, list(each.plot.table["search"].unique()))
        for each in together
        if isinstance(each.plot, Plot)
    }
    what = "Expected best validation score on"
    assert {name: (title, sorted(names)) for name, (title, names) in found.items()} == {
        "expected-best-1": (f"{what} mnist, trials of 2 epochs x 55,000 examples", ["a", "b"]),
        "expected-best-2": (f"{what} digits, trials of 2 epochs x 55,000 examples", ["c"]),
        "expected-best-3": (f"{what} mnist, trials of 1 epoch x 55,000 examples", ["d"]),
    }


def test_too_few_trials_are_no_curve(tmp_path: Path) -> None:
    plot = best_plot(searches(tmp_path, 3), name="b")
    assert isinstance(plot, Omitted)
    assert plot.reason == "no search has 4 trials with a score"
