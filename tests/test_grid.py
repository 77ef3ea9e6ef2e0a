"""A grid holds each combination once."""

from __future__ import annotations

import itertools

import pytest

from harness.errors import UsageError
from sweeps.axes import Choice, Range
from sweeps.grid import check_grid, grid_point, grid_size
from sweeps.space import DEFAULT_SPACE, SearchSpace

RATES = Choice(name="learning_rate", values=(1e-4, 1e-3, 1e-2))
BATCHES = Range(name="batch_size", low=16, high=64, step=16)
DEPTHS = Range(name="depth", low=1, high=2)
BACKBONES = Choice(name="backbone", values=("notebook-cnn", "residual-s"))
PLAIN = SearchSpace(axes=(RATES, BATCHES, DEPTHS))


def points(space, seed=0):
    return [grid_point(space, seed=seed, number=n) for n in range(grid_size(space))]


def test_each_combination_comes_once():
    found = [tuple(point.values()) for point in points(PLAIN)]
    everything = itertools.product((1e-4, 1e-3, 1e-2), (16, 32, 48, 64), (1, 2))
    assert grid_size(PLAIN) == 3 * 4 * 2
    assert sorted(found) == sorted(everything)


def test_the_seed_decides_the_order():
    assert points(PLAIN) == points(PLAIN)
    assert points(PLAIN) != points(PLAIN, seed=1)
    first = [point["learning_rate"] for point in points(PLAIN)[:8]]
    assert len(set(first)) == 3, "a sweep that stops early has looked everywhere"


def test_conditional_fields_count_where_they_are_meant():
    only = Range(name="depth", low=1, high=3, only_for=("residual-s",))
    space = SearchSpace(axes=(BACKBONES, only, RATES))
    found = points(space)
    assert grid_size(space) == len(found) == 3 + 3 * 3  # rates; rates and depths
    assert len({tuple(point.items()) for point in found}) == 12
    for point in found:
        assert ("depth" in point) == (point["backbone"] == "residual-s")
        assert list(point) == [name for name in space.names() if name in point]


def test_a_range_of_any_floats_is_refused_with_the_way_out():
    words = (
        r"`learning_rate` is searched anywhere in 0.0001..0.01. Name them, as in --search "
        r"learning_rate=0.0001,0.001,0.01, or fix it with --learning-rate"
    )
    with pytest.raises(UsageError, match=words):
        check_grid(DEFAULT_SPACE)


def test_a_slip_of_the_hand_is_refused():
    large = SearchSpace(axes=(Range(name="batch_size", low=1, high=10_001),))
    with pytest.raises(
        UsageError, match="at most 10,000 combinations, but these values make 10,001"
    ):
        check_grid(large)
    check_grid(PLAIN)
