"""Who may be ranked with whom: contenders of searches need equal budgets."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from records import fabricate, fabricate_sweep

from harness.config import RunConfig
from harness.record import RunRecord
from reports.budgets import Budget, budget_of, consumed, difference, trial_size
from reports.compare import Comparison, compare
from reports.evidence import load
from reports.markdown import Gallery, render
from reports.searches import summarise_searches

Runs = list[tuple[RunRecord, Path]]


def swept(folder: Path, name: str, trials: int, **changes: Any) -> Runs:
    """Fabricate a sweep of its own backbone; `changes` are those of its finals' configuration."""
    runs = []
    for record, at in fabricate_sweep(folder / name, name, trials=trials, seed=len(name)):
        more = changes if record.role == "final" else {}
        config = dataclasses.replace(record.config, backbone=f"{name}-cnn", **more)
        runs.append((dataclasses.replace(record, config=config), at))
    return runs


def untuned(folder: Path) -> Runs:
    return [
        fabricate(folder, f"plain-{seed}", config=RunConfig(dataset="mnist", seed=seed))
        for seed in range(3)
    ]


def compared(*parts: Runs) -> Comparison:
    return compare(load(*run) for part in parts for run in part)


def told(*parts: Runs) -> str:
    return render(compared(*parts), title="T", gallery=Gallery())


def backbones(comparison: Comparison) -> list[set[str]]:
    return [{row.config.backbone for row in board.contenders} for board in comparison.tables]


def test_equal_budgets_are_ranked_together(tmp_path: Path) -> None:
    comparison = compared(swept(tmp_path, "a", 12), swept(tmp_path, "bb", 12))
    assert backbones(comparison) == [{"a-cnn", "bb-cnn"}]
    (board,) = comparison.tables
    assert [row.rank for row in board.contenders] == [1, 2]
    assert len(board.verdicts) == 1
    assert not board.verdicts[0].one_searched
    assert board.budget is not None
    assert board.budget.words() == "12 trials x 5 epochs x 55,000 examples"


def test_unequal_budgets_are_shown_and_not_ranked(tmp_path: Path) -> None:
    parts = swept(tmp_path, "a", 12), swept(tmp_path, "bb", 8)
    comparison = compared(*parts)
    assert sorted(map(sorted, backbones(comparison))) == [["a-cnn"], ["bb-cnn"]]
    assert [board.verdicts for board in comparison.tables] == [(), ()]
    report = told(*parts)
    assert "searched with 8 trials, the other with 12." in report
    assert "their budgets are not equal" in report
    assert (
        "searched with 8 trials x 5 epochs x 55,000 examples**; another budget, so not" in report
    )
    assert "### Verdicts" not in report


def test_a_sweep_that_was_stopped_is_ranked_with_none(tmp_path: Path) -> None:
    whole, stopped = swept(tmp_path, "a", 9), swept(tmp_path, "bb", 10)
    # The last trial was under way; nine have ended, as many as the other has.
    at = next(i for i, (record, _) in enumerate(stopped) if record.trial == 9)
    record, folder = stopped[at]
    cut = dataclasses.replace(record, status="interrupted", reason="Ctrl-C", measures={})
    stopped[at] = (cut, folder)
    comparison = compared(whole, stopped)
    assert len(comparison.tables) == 2
    report = told(whole, stopped)
    assert "the search of bb was stopped before its end, or" in report


def test_finals_of_another_length_are_not_ranked_together(tmp_path: Path) -> None:
    longer = swept(tmp_path, "bb", 8, epochs=9)
    report = told(swept(tmp_path, "a", 8), longer)
    sizes = ("5 epochs on 55,000 examples", "9 epochs on 55,000 examples")
    assert any(
        f"finals of {mine}, the other of {other}." in report
        for mine, other in (sizes, sizes[::-1])
    )


def test_runs_without_a_search_are_ranked_and_marked(tmp_path: Path) -> None:
    parts = swept(tmp_path, "a", 12), untuned(tmp_path)
    comparison = compared(*parts)
    assert backbones(comparison) == [{"a-cnn", "notebook-cnn"}]
    (verdict,) = comparison.tables[0].verdicts
    assert verdict.one_searched
    report = told(*parts)
    assert "| none recorded |" in report
    assert "one of the two was searched, the other not." in report


def test_runs_without_a_search_stand_in_every_table(tmp_path: Path) -> None:
    parts = swept(tmp_path, "a", 12), swept(tmp_path, "bb", 8), untuned(tmp_path)
    found = backbones(compared(*parts))
    assert {"a-cnn", "notebook-cnn"} in found
    assert {"bb-cnn", "notebook-cnn"} in found
    assert len(found) == 2
    report = told(*parts)
    assert "3 contenders tested." in report
    assert report.count("| `mnist` | `") == 1, "the data are described once"


def test_runs_that_nobody_searched_for_have_no_such_column(tmp_path: Path) -> None:
    report = told(untuned(tmp_path))
    assert "| varied |" in report
    assert "none recorded" not in report


def test_without_its_trials_a_search_has_no_known_budget(tmp_path: Path) -> None:
    finals = [run for run in swept(tmp_path, "bb", 8) if run[0].role == "final"]
    report = told(swept(tmp_path, "a", 8), finals)
    assert "search are not among these runs, so the budget is not known" in report
    alone = compared(finals, untuned(tmp_path))
    assert len(alone.tables) == 1, "it is not compared with another search"


def test_without_some_of_its_trials_a_search_is_ranked_with_none(tmp_path: Path) -> None:
    """Its budget would look like that of a smaller search."""
    part = [run for run in swept(tmp_path, "bb", 10) if run[0].trial not in (3, 9)]
    report = told(swept(tmp_path, "a", 8), part)
    assert "the search of bb was stopped before its end, or some of its trials are not" in report
    last = [run for run in swept(tmp_path / "b", "bb", 10) if run[0].trial != 3]
    assert len(compared(swept(tmp_path / "b", "a", 9), last).tables) == 2


def test_what_two_searches_found_counts_with_the_larger_budget(tmp_path: Path) -> None:
    """Their finals have the same seeds, so those of the second repeat those of the first."""
    small, large = swept(tmp_path, "a", 8), swept(tmp_path, "bb", 12)
    best = next(record.config for record, _ in small if record.role == "final")
    again = [
        (dataclasses.replace(r, config=dataclasses.replace(best, seed=r.config.seed)), at)
        if r.role == "final" else (r, at)
        for r, at in large
    ]  # fmt: skip
    comparison = compared(small, again)
    (row,) = [row for board in comparison.tables for row in board.contenders]
    assert row.budget is not None
    assert row.budget.trials == 12


def test_the_place_in_the_search_is_told(tmp_path: Path) -> None:
    runs = swept(tmp_path, "a", 9)
    finished = [r for r, _ in runs if r.role == "trial" and r.status == "finished"]
    finished.sort(key=lambda r: -(r.value("validation_score") or 0))
    second = finished[1]
    late = [
        fabricate(tmp_path, f"second-{seed}", role="final", sweep="a", trial=second.trial,
                  config=dataclasses.replace(second.config, seed=seed), accuracy=0.999,
                  noise=0.001)
        for seed in (1000, 1001)
    ]  # fmt: skip
    comparison = compared(runs, late)
    leader = comparison.tables[0].contenders[0]
    assert (leader.place, leader.run_ids) == (2, ("second-1000", "second-1001"))
    report = told(runs, late)
    assert "| no. 2 of 9 trials x 5 epochs x 55,000 examples |" in report
    assert "singled out by its test score, it is flattered" in report


def test_the_gap_is_that_of_the_re_runs(tmp_path: Path) -> None:
    runs = [record for record, _ in swept(tmp_path, "a", 9, epochs=60)]
    best = summarise_searches(runs)[0].best
    assert best is not None
    config = next(r.config for r in runs if r.run_id == best.run_id)
    again = [
        fabricate(tmp_path, f"a-r{seed}", role="rerun", sweep="a", trial=best.number,
                  config=dataclasses.replace(config, seed=seed, evaluate_test=True))
        for seed in (1, 2, 3)
    ]  # fmt: skip
    (search,) = summarise_searches([*runs, *(record for record, _ in again)])
    scores = [record.value("test_score") or 0 for record, _ in again]
    assert search.rerun.value == pytest.approx(sum(scores) / 3)
    assert search.gap.value == pytest.approx((best.value or 0) - sum(scores) / 3)
    assert search.gap.varied == "seeds"
    assert search.rerun_ids == ("a-r1", "a-r2", "a-r3")
    report = told(swept(tmp_path, "a", 9, epochs=60), again)
    assert "re-run as in the search with new seeds, test score" in report
    assert "a re-run: trained as briefly as a trial" in report
    assert not any("a-r1" in row.run_ids for t in compared(again).tables for row in t.contenders)


def test_granted_and_consumed_examples(tmp_path: Path) -> None:
    records = [record for record, _ in swept(tmp_path, "a", 12)]
    (search,) = summarise_searches(records)
    trials = [record for record in records if record.role == "trial"]
    assert trial_size(trials) == (5, 55_000)
    assert search.granted == 12 * 5 * 55_000
    # Nine finished 5 epochs, two were pruned after 2 of them, one failed before the first ended.
    assert search.consumed == consumed(trials) == (9 * 5 + 2 * 2) * 55_000
    budget = budget_of(next(r for r in records if r.role == "final"), trials)
    assert budget.granted == search.granted


def test_a_difference_is_named_in_words() -> None:
    budget = Budget(trials=50, epochs=8, examples=6000, final_epochs=10, final_examples=None)
    shorter = dataclasses.replace(budget, epochs=4)
    assert difference(shorter, budget) == (
        "trials of 4 epochs on 6,000 examples, the other of 8 epochs on 6,000 examples"
    )
    one = dataclasses.replace(budget, trials=1)
    assert difference(one, budget) == "searched with 1 trial, the other with 50"
    assert one.words() == "1 trial x 8 epochs x 6,000 examples"
    unknown = dataclasses.replace(budget, trials=None, unsettled="s")
    assert unknown.granted is None
    assert unknown.words() == "trials not among these runs"
