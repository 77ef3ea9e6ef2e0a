"""Every sampler is a pure function of the seed, the trial's number and the trials before."""

from __future__ import annotations

import importlib.util
import math
from typing import get_args

import pytest
from toy_sweep import toy_plan

from harness.errors import UsageError
from harness.sweep_options import EXTRAS, LOOKAHEAD, SAMPLERS, check_sweep_options
from sweeps.axes import Choice
from sweeps.sampler import TrialRow, guide, propose
from sweeps.samplers import SamplerName, most_trials
from sweeps.space import DEFAULT_SPACE, SearchSpace

LEVELS = SearchSpace(
    axes=tuple(Choice(name=axis.name, values=(0.1, 1.0, 2.0)) for axis in DEFAULT_SPACE.axes)
)


def installed(sampler):
    return sampler not in EXTRAS or importlib.util.find_spec(EXTRAS[sampler]) is not None


EACH = [
    pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason="package missing"))
    for name in get_args(SamplerName)
]


def space_of(sampler):
    return LEVELS if sampler == "grid" else DEFAULT_SPACE


def value(params):
    return math.exp(-abs(math.log(params["learning_rate"] / 1e-3)) - abs(params["class_weight"]))


def table(sampler, count, *, seed=0, cheat=None):
    """The rows of a sweep in which some trials are pruned and some fail."""
    rows = []
    for number in range(count):
        params = propose(
            sampler, space_of(sampler), seed=seed, number=number, guide=guide(rows, number, 4),
            directions=["maximize"],
        )  # fmt: skip
        status = ("finished", "finished", "pruned", "failed")[number % 4]
        found = None if status == "failed" else (cheat or value)(params)
        curve = () if found is None else ((1, found / 2), (2, found))
        rows.append(
            TrialRow(number=number, status=status, params=params, value=found, curve=curve)
        )
    return rows


@pytest.mark.parametrize("sampler", EACH)
def test_the_same_seed_gives_the_same_table_and_another_seed_another(sampler):
    rows = table(sampler, 24)
    assert table(sampler, 24) == rows
    assert [r.params for r in table(sampler, 24, seed=1)] != [r.params for r in rows]


@pytest.mark.parametrize("sampler", EACH)
def test_proposals_do_not_depend_on_what_was_asked_before(sampler):
    rows = table(sampler, 24)
    # A resumed sweep asks for one trial alone, with the later rows of the table at hand or not.
    for number in (0, 1, 9, 23):
        alone = propose(
            sampler, space_of(sampler), seed=0, number=number, guide=guide(rows, number, 4),
            directions=["maximize"],
        )  # fmt: skip
        assert alone == rows[number].params


@pytest.mark.parametrize("sampler", EACH)
def test_no_trial_comes_twice(sampler):
    rows = table(sampler, 24)
    assert len({tuple(row.params.items()) for row in rows}) == 24


@pytest.mark.parametrize("sampler", EACH)
def test_results_matter_to_those_that_learn(sampler):
    learns = sampler in {"tpe", "cmaes", "gp"}
    # The other way round: what was best is worst.
    other = table(sampler, 24, cheat=lambda params: -value(params))
    assert ([r.params for r in table(sampler, 24)] != [r.params for r in other]) == learns


def test_only_a_grid_ends():
    assert most_trials("grid", LEVELS) == 27
    assert most_trials("tpe", LEVELS) is None


def test_a_plan_refuses_a_space_that_its_sampler_cannot_search():
    with pytest.raises(UsageError, match="A grid needs the values to try of each field"):
        toy_plan(sampler="grid")
    heads = SearchSpace(
        axes=(*DEFAULT_SPACE.axes, Choice(name="head", values=("dense", "pooled")))
    )
    with pytest.raises(UsageError, match="`head` is a choice among names"):
        toy_plan(sampler="cmaes", space=heads)
    toy_plan(sampler="gp", space=heads)


@pytest.mark.parametrize("sampler", sorted(EXTRAS))
def test_a_missing_package_is_named_with_what_installs_it(monkeypatch, sampler):
    values = {
        "trials": 50, "trial_epochs": None, "trial_examples": None, "final_seeds": 3,
        "top": 1, "workers": None, "lookahead": LOOKAHEAD, "sampler": sampler, "pruner": "none",
    }  # fmt: skip
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = rf"needs the package '{EXTRAS[sampler]}', .* pip install 'locbench\[samplers\]'"
    with pytest.raises(UsageError, match=words):
        check_sweep_options(values)
    check_sweep_options(values | {"sampler": "tpe"})
    assert set(EXTRAS) <= set(SAMPLERS)
