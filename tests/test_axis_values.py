"""Values of an axis as numbers and as places between 0 and 1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.axes import Axis, Choice, Range, Value
from sweeps.axis_values import count, nth, place_of, value_at

RATE = Range(name="learning_rate", low=1e-4, high=1e-2, log=True)
WEIGHT = Range(name="box_weight", low=0, high=10)
TENTHS = Range(name="width", low=0.1, high=0.4, step=0.1)
BATCH = Range(name="batch_size", low=16, high=64, step=16)
DEPTH = Range(name="depth", low=1, high=8, log=True)
WIDTHS = Choice(name="width", values=(4.0, 0.5, 1.0))
HEADS = Choice(name="head", values=("pooled", "dense"))


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        (TENTHS, (0.1, 0.2, 0.3, 0.4)),
        (BATCH, (16, 32, 48, 64)),
        (DEPTH, (1, 2, 3, 4, 5, 6, 7, 8)),
        (WIDTHS, (0.5, 1.0, 4.0)),  # numbers stand in their order
        (HEADS, ("pooled", "dense")),  # names as they are given
    ],
)
def test_values_are_counted_and_numbered(axis: Axis, values: tuple[Value, ...]) -> None:
    assert count(axis) == len(values)
    found = [nth(axis, index) for index in range(len(values))]
    assert found == [pytest.approx(v) if isinstance(v, float) else v for v in values]
    assert list(map(type, found)) == list(map(type, values))


def test_any_float_is_not_counted() -> None:
    assert count(RATE) is None
    assert count(WEIGHT) is None


@pytest.mark.parametrize(
    ("axis", "place", "value"),
    [
        (RATE, 0.5, 1e-3),  # half way from 1e-4 to 1e-2 in the logarithm
        (WEIGHT, 0.25, 2.5),
        (BATCH, 0.24, 16),  # four values, a quarter each
        (BATCH, 0.26, 32),
        (HEADS, 0.49, "pooled"),
        (HEADS, 0.51, "dense"),
        # From ln 0.5 to ln 8.5 the parts of 1 and 2 are ln 3 / ln 17 = 0.388 and ln(5/3) / ln 17 =
        # 0.180 long.
        (DEPTH, 0.38, 1),
        (DEPTH, 0.40, 2),
        (DEPTH, 0.57, 3),
    ],
)
def test_places_are_uniform_in_what_the_axis_says(axis: Axis, place: float, value: Value) -> None:
    assert value_at(axis, place) == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize("axis", [RATE, WEIGHT, TENTHS, BATCH, DEPTH, WIDTHS, HEADS])
@given(place=st.floats(0, 1))
def test_every_place_has_a_value_of_the_axis_that_leads_back(axis: Axis, place: float) -> None:
    value = value_at(axis, place)
    distribution = axis.distribution()
    assert distribution._contains(distribution.to_internal_repr(value))
    back = place_of(axis, value)
    assert 0 <= back <= 1
    assert value_at(axis, back) == (pytest.approx(value) if isinstance(value, float) else value)
