"""CMA-ES from the table alone."""

from __future__ import annotations

import math

import pytest

from harness.errors import UsageError
from sweeps.axes import Choice, Range
from sweeps.evolution import Tried, check_evolution, evolved_point
from sweeps.sampler import TrialRow, guide, propose
from sweeps.space import DEFAULT_SPACE, SearchSpace

LEARNING_RATE, *WEIGHTS = DEFAULT_SPACE.axes
NUMBERS = SearchSpace(
    axes=(
        LEARNING_RATE,
        Range(name="batch_size", low=16, high=64, step=16),
        Choice(name="width", values=(4.0, 0.5, 1.0)),
        Choice(name="depth", values=(1, 2, 3)),
    )
)


def miss(params):
    """Squared distance from the best of the default space, in decades."""
    pairs = zip(params.values(), (1e-3, 1.0, 10.0), strict=True)
    return sum(math.log10(value / best) ** 2 for value, best in pairs)


def search(sampler, seed, trials=40):
    rows = []
    for number in range(trials):
        params = propose(
            sampler, DEFAULT_SPACE, seed=seed, number=number, guide=guide(rows, number, 4),
            directions=["minimize"],
        )  # fmt: skip
        rows.append(TrialRow(number=number, status="finished", params=params, value=miss(params)))
    return rows


def test_it_comes_closer_to_the_best_than_chance():
    def reached(sampler):
        return sum(min(row.value for row in search(sampler, seed)) for seed in range(4))

    assert reached("cmaes") < 0.5 * reached("random")


def test_the_cloud_moves_to_the_better_side():
    # Seven make a generation of three fields. Told that high rates are good, it goes there.
    rates = [10 ** (-4 + 2 * k / 6) for k in range(7)]
    tried = [
        Tried(
            params={"learning_rate": rate, "class_weight": 1.0, "box_weight": 3.0},
            badness=(-rate,),
        )
        for rate in rates
    ]
    proposals = [evolved_point(DEFAULT_SPACE, seed=k, tried=tried) for k in range(40)]
    assert sum(point["learning_rate"] > 1e-3 for point in proposals) > 30
    fresh = [evolved_point(DEFAULT_SPACE, seed=k, tried=tried[:6]) for k in range(40)]
    assert 10 < sum(point["learning_rate"] > 1e-3 for point in fresh) < 30, "no generation yet"


def test_proposals_lie_in_the_space():
    for seed in range(30):
        params = evolved_point(NUMBERS, seed=seed, tried=[])
        assert 1e-4 <= params["learning_rate"] <= 1e-2
        assert params["batch_size"] in (16, 32, 48, 64)
        assert params["width"] in (0.5, 1.0, 4.0)
        assert params["depth"] in (1, 2, 3)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ((*WEIGHTS, Choice(name="head", values=("dense", "pooled"))),
         "`head` is a choice among names. Use --sampler tpe, or fix it with --head"),
        ((Choice(name="backbone", values=("notebook-cnn", "residual-s")), *WEIGHTS),
         "`backbone` is a choice among names"),
        ((LEARNING_RATE,), "at least two fields, but only `learning_rate` is searched"),
    ],
)  # fmt: skip
def test_a_space_without_directions_is_refused(axes, words):
    with pytest.raises(UsageError, match=words):
        check_evolution(SearchSpace(axes=axes))


def test_a_space_of_numbers_passes():
    check_evolution(NUMBERS)
    check_evolution(DEFAULT_SPACE)
