"""Pareto fronts by hand, and probabilities that follow the evidence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from records import fabricate

from harness.config import RunConfig
from reports.compare import Table, compare
from reports.evidence import Evidence, load
from reports.pareto_figures import Groups, on_front, pareto_plot, pareto_table
from reports.style import Omitted, Plot


def groups(
    folder: Path, *contenders: tuple[str, float, float, int], seeds: int = 2
) -> tuple[Table, Groups]:
    """Return contenders, given by name, accuracy, images/s and parameters."""
    runs: dict[str, Evidence] = {}
    for name, accuracy, speed, size in contenders:
        for seed in range(seeds):
            record, where = fabricate(
                folder, f"{name}-{seed}", accuracy=accuracy, images_per_s=speed,
                config=RunConfig(backbone=name, dataset="mnist", seed=seed),
            )  # fmt: skip
            assert record.model is not None
            model = dataclasses.replace(record.model, parameters=size)
            item = load(dataclasses.replace(record, model=model), where)
            runs[item.record.run_id] = item
    (board,) = compare(runs.values()).tables
    return board, [(row, [runs[i] for i in row.run_ids]) for row in board.contenders]


def test_front_by_hand() -> None:
    score, gain = np.array([0.9, 0.8, 0.7, 0.9]), np.array([1.0, 3.0, 2.0, 1.0])
    # 0.7 at 2 is beaten by 0.8 at 3; two equal points do not beat each other.
    assert on_front(score, gain).tolist() == [True, True, False, True]
    assert on_front(score[None], gain[None]).tolist() == [[True, True, False, True]]


def test_probabilities_follow_the_evidence(tmp_path: Path) -> None:
    _, found = groups(
        tmp_path, ("good", 0.99, 300, 900), ("fast", 0.7, 900, 500), ("poor", 0.5, 200, 5000),
        ("twin", 0.99, 300, 900),
    )  # fmt: skip
    table = pareto_table(found).set_index("contender")
    chance = table["probability_parameters"]
    assert chance["fast"] == 1.0  # nobody is as small
    assert chance["poor"] == 0.0
    # Two of equal size and quality: one of the two is ahead in each resample.
    assert chance["good"] + chance["twin"] == pytest.approx(1.0, abs=0.01)
    assert 0.02 < chance["good"] < 0.98
    speed = table["probability_images_per_s"]
    assert speed["fast"] == 1.0
    assert speed["poor"] == 0.0
    assert not table["on_front_images_per_s"]["poor"]


def test_the_same_evidence_gives_the_same_probabilities(tmp_path: Path) -> None:
    _, found = groups(tmp_path, ("a", 0.95, 300, 900), ("b", 0.94, 310, 900))
    assert pareto_table(found).equals(pareto_table(found))


def test_pictures(tmp_path: Path) -> None:
    _, found = groups(tmp_path, ("a", 0.95, 300, 900), ("b", 0.94, 410, 90_000))
    plot = pareto_plot(found, name="p", machines=1)
    assert isinstance(plot, Plot)
    assert plot.png().startswith(b"\x89PNG")
    assert "training images/s: " in plot.alt
    other = pareto_plot(found, name="p", machines=2)
    assert isinstance(other, Plot)
    assert "images/s" not in other.alt
    assert other.png().startswith(b"\x89PNG")
    assert isinstance(pareto_plot(found[:1], name="p", machines=1), Omitted)


def test_who_has_no_predictions_has_no_probability(tmp_path: Path) -> None:
    _, found = groups(tmp_path, ("a", 0.95, 300, 900), ("b", 0.94, 410, 90_000))
    (row, runs), other = found
    blind = [dataclasses.replace(item, outcomes=None, why_none="x") for item in runs]
    table = pareto_table([(row, blind), other])
    assert np.isnan(table["probability_parameters"][0])
    assert table["probability_parameters"][1] == 1.0
