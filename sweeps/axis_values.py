"""The values of an axis: counted and numbered, and laid out on the interval from 0 to 1.

Samplers that are no Optuna study think of a space as a cube with one side per axis. Places on a
side are uniform in what the axis says: in the value, in its logarithm, or over its values, each of
which has a part of equal length. Values of a choice stand in their order if they are numbers, else
as they are named.
"""

from __future__ import annotations

import math

from sweeps.axes import Axis, Choice, Number, Range, Value, searched_knob


def count(axis: Axis) -> int | None:
    """Return how many values the axis has; None for a range of any floats."""
    if isinstance(axis, Choice):
        return len(axis.values)
    step = _step(axis)
    return None if step is None else round((axis.high - axis.low) / step) + 1


def nth(axis: Axis, index: int) -> Value:
    """Return a value by its 0-based number; the axis has a `count`."""
    if isinstance(axis, Choice):
        return axis.extremes[index]
    step = _step(axis)
    assert step is not None, "a range of any floats is not numbered"
    return _inside(axis, axis.low + index * step)


def value_at(axis: Axis, place: float) -> Value:
    """Return the value at a place in [0, 1]."""
    if isinstance(axis, Range) and axis.log:
        low, high = _log_ends(axis)
        return _inside(axis, math.exp(low + place * (high - low)))
    number = count(axis)
    if number is not None:
        return nth(axis, min(int(place * number), number - 1))
    assert isinstance(axis, Range)
    return _inside(axis, axis.low + place * (axis.high - axis.low))


def place_of(axis: Axis, value: Value) -> float:
    """Return the place in [0, 1] of a value, the middle of its part if it has one."""
    if isinstance(axis, Choice):
        return (axis.extremes.index(value) + 0.5) / len(axis.values)
    assert not isinstance(value, str), "ranges hold numbers"
    if axis.log:
        low, high = _log_ends(axis)
        return (math.log(value) - low) / (high - low)
    number, share = count(axis), (value - axis.low) / (axis.high - axis.low)
    return share if number is None else (round(share * (number - 1)) + 0.5) / number


def _whole(axis: Range) -> bool:
    return searched_knob(axis.name).kind is int


def _step(axis: Range) -> Number | None:
    return 1 if axis.step is None and _whole(axis) else axis.step


def _log_ends(axis: Range) -> tuple[float, float]:
    """Return the logarithms that places lie between; each whole number has its neighbourhood."""
    margin = 0.5 if _whole(axis) else 0.0
    return math.log(axis.low - margin), math.log(axis.high + margin)


def _inside(axis: Range, value: float) -> Value:
    """Return the value as the field's kind; rounding must not lead out of the range."""
    if _whole(axis):
        return int(min(max(round(value), axis.low), axis.high))
    return float(min(max(value, axis.low), axis.high))
