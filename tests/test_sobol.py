"""The sequence leaves no gaps, whatever ran before."""

from __future__ import annotations

import math

import pytest

from sweeps.axes import Choice, Range
from sweeps.sobol import sobol_point
from sweeps.space import DEFAULT_SPACE, SearchSpace


def points(count, *, seed=0, space=DEFAULT_SPACE):
    return [sobol_point(space, seed=seed, number=number) for number in range(count)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_part_of_each_range_gets_its_share(seed):
    found = points(64, seed=seed)
    for axis in DEFAULT_SPACE.axes:
        width = math.log(axis.high / axis.low)
        places = [math.log(point[axis.name] / axis.low) / width for point in found]
        # 64 points have one in each 64th; so have 32 in each 32nd, and so on.
        for few in (8, 16, 32, 64):
            assert sorted(int(place * few) for place in places[:few]) == list(range(few))


def test_no_point_comes_twice():
    found = [tuple(point.values()) for point in points(300)]
    assert len(set(found)) == 300


def test_the_seed_and_the_number_decide():
    assert points(8)[5] == sobol_point(DEFAULT_SPACE, seed=0, number=5)
    assert points(8) != points(8, seed=1)


def test_choices_get_equal_shares_and_conditional_fields_are_drawn_where_meant():
    space = SearchSpace(
        axes=(
            Choice(name="backbone", values=("notebook-cnn", "residual-s")),
            Range(name="depth", low=1, high=4, only_for=("residual-s",)),
            Choice(name="head", values=("dense", "pooled")),
        )
    )
    found = points(16, space=space)
    assert sum(point["head"] == "dense" for point in found) == 8
    deep = [point for point in found if point["backbone"] == "residual-s"]
    assert len(deep) == 8
    assert all(("depth" in point) == (point in deep) for point in found)
