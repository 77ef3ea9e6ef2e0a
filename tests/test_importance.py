"""Importances agree with what the objective was made of."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from records import fabricate_sweep
from toy_sweep import toy_plan

from harness.cmd_report import _importances
from reports.drawing import one_by_one
from sweeps.axes import Choice, Range, Value
from sweeps.importance import MIN_TRIALS, importances, why_unknown
from sweeps.space import DEFAULT_SPACE, SearchSpace

Params = dict[str, float]
Results = list[tuple[Params, float]]


def results(objective: Callable[[Params], float], n: int = 60) -> Results:
    """Return n trials at places drawn log-uniformly from the default space."""
    drawn = random.Random(0)
    points = [
        {
            item.name: math.exp(drawn.uniform(math.log(item.low), math.log(item.high)))
            for item in DEFAULT_SPACE.axes
            if isinstance(item, Range)
        }
        for _ in range(n)
    ]
    return [(point, objective(point)) for point in points]


def test_the_only_field_that_matters_has_nearly_all() -> None:
    shares = importances(DEFAULT_SPACE, results(lambda p: math.log(p["class_weight"])))
    assert next(iter(shares)) == "class_weight"
    assert shares["class_weight"] > 0.9


def test_shares_follow_the_variance_of_a_sum() -> None:
    # In log space the fields are uniform and independent: with slopes 2 and 1 over ranges of 2
    # and 2 decades the variances are as 4 to 1, so the shares are 0.8 and 0.2.
    shares = importances(
        DEFAULT_SPACE,
        results(lambda p: 2 * math.log(p["learning_rate"]) + math.log(p["class_weight"]), n=200),
    )
    # A forest on 200 random points; the sample itself is a few hundredths off.
    assert shares["learning_rate"] == pytest.approx(0.8, abs=0.08)
    assert shares["class_weight"] == pytest.approx(0.2, abs=0.08)
    assert shares["box_weight"] < 0.05


def test_shares_are_ordered_repeatable_and_sum_to_one() -> None:
    made = results(lambda p: p["learning_rate"] * p["box_weight"])
    shares = importances(DEFAULT_SPACE, made)
    assert shares == importances(DEFAULT_SPACE, made)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1)


def test_the_direction_of_the_objective_does_not_matter() -> None:
    up = importances(DEFAULT_SPACE, results(lambda p: math.log(p["box_weight"])))
    down = importances(DEFAULT_SPACE, results(lambda p: -math.log(p["box_weight"])))
    assert up == pytest.approx(down)


def test_a_choice_among_names_can_be_what_matters() -> None:
    heads, depths, widths = ("dense", "pooled", "soft-argmax"), (1, 2, 3), (0.25, 0.5, 4.0)
    space = SearchSpace(
        axes=(
            Choice(name="head", values=heads),
            Choice(name="depth", values=depths),
            Choice(name="width", values=widths),
            Range(name="learning_rate", low=1e-4, high=1e-2, log=True),
        )
    )
    drawn = random.Random(0)
    made: list[tuple[dict[str, Value], float]] = []
    for _ in range(60):
        head, depth = drawn.choice(heads), drawn.choice(depths)
        rest = {"width": drawn.choice(widths), "learning_rate": 10 ** drawn.uniform(-4, -2)}
        # Variances over three equally likely values: 0, 0, 2 has 8/9; 0, 0.5, 1 has 1/6.
        made.append(({"head": head, "depth": depth, **rest}, 2 * (head == "pooled") + 0.5 * depth))
    shares = importances(space, made)
    assert list(shares)[:2] == ["head", "depth"]
    # (8/9) / (8/9 + 1/6) = 0.84; a forest on 60 points, whose sample is a few hundredths off.
    assert shares["head"] == pytest.approx(0.84, abs=0.08)
    assert shares["width"] < 0.05


def test_fields_that_not_every_trial_draws_are_left_out() -> None:
    space = SearchSpace(
        axes=(
            Choice(name="backbone", values=("notebook-cnn", "residual-s")),
            Choice(name="depth", values=(1, 2), only_for=("residual-s",)),
            Range(name="learning_rate", low=1e-4, high=1e-2, log=True),
        )
    )
    drawn = random.Random(0)
    made: list[tuple[dict[str, Value], float]] = []
    for number in range(40):
        deep = number % 2 == 0
        params: dict[str, Value] = {"backbone": "residual-s", "depth": 1 + number % 4 // 2}
        params = params if deep else {"backbone": "notebook-cnn"}
        made.append((params | {"learning_rate": 10 ** drawn.uniform(-4, -2)}, float(deep)))
    shares = importances(space, made)
    assert set(shares) == {"backbone", "learning_rate"}
    assert shares["backbone"] > 0.9


def test_nothing_is_said_where_nothing_can_be_known() -> None:
    made = results(lambda p: p["box_weight"])
    alone = SearchSpace(axes=(Range(name="box_weight", low=0.1, high=1.0),))
    still = [(params | {"box_weight": 1.0, "class_weight": 1.0}, value) for params, value in made]
    for space, some, reason in (
        (DEFAULT_SPACE, made[: MIN_TRIALS - 1], "they need 10 finished trials, and there are 9"),
        (DEFAULT_SPACE, [], "they need 10 finished trials, and there are 0"),
        (DEFAULT_SPACE, [(params, 0.5) for params, _ in made], "all finished trials reached the"),
        (alone, made, "two fields that every trial draws, and only one is searched"),
        (DEFAULT_SPACE, still, "two fields that took several values"),
    ):
        assert reason in str(why_unknown(space, some))
        assert importances(space, some) == {}
    assert why_unknown(DEFAULT_SPACE, made[:MIN_TRIALS]) is None
    assert len(importances(DEFAULT_SPACE, made[:MIN_TRIALS])) == 3


def test_a_report_says_why_it_knows_none(tmp_path: Path) -> None:
    known = toy_plan(name="known")
    trials = [record for record, _ in fabricate_sweep(tmp_path, "known", trials=5)]
    found = list(_importances({"known": known}, trials, one_by_one, ["lost", "known"]))
    assert found == [
        "its plan is not stored, so nobody knows which fields it searched",
        "they need 10 finished trials, and there are 4",
    ]


def test_optuna_stays_silent() -> None:
    # In a process of its own: elsewhere in the tests Optuna may have been silenced already.
    code = "from test_importance import *; importances(DEFAULT_SPACE, results(sum_of, n=10))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


def sum_of(params: Params) -> float:
    return sum(params.values())
