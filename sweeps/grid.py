"""Every combination of the values of a space, once each, in an order that the seed decides.

The order is shuffled: a sweep that is stopped half way has then looked everywhere, not only at
the first value of the first field.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

from harness.errors import UsageError
from sweeps.axes import Axis, Choice, Range
from sweeps.axis_values import count, nth
from sweeps.space import Params, SearchSpace

MOST_POINTS = 10_000
"""A larger grid is a slip of the hand; ordering this one takes 15 ms per proposal."""


def check_grid(space: SearchSpace) -> None:
    """Check that the combinations can be counted.

    Raises:
        UsageError: a field is searched in a range without a step, or there are too many
            combinations.
    """
    for axis in space.axes:
        if isinstance(axis, Range) and count(axis) is None:
            option = axis.name.replace("_", "-")
            middle = math.sqrt(axis.low * axis.high) if axis.log else (axis.low + axis.high) / 2
            raise UsageError(
                f"A grid needs the values to try of each field, but `{axis.name}` is searched "
                f"anywhere in {axis.low:g}..{axis.high:g}. Name them, as in --search "
                f"{axis.name}={axis.low:g},{middle:.3g},{axis.high:g}, or fix it with --{option}."
            )
    size = grid_size(space)
    if size > MOST_POINTS:
        raise UsageError(
            f"A grid must have at most {MOST_POINTS:,} combinations, but these values make "
            f"{size:,}. Search fewer values, or use another --sampler."
        )


def grid_size(space: SearchSpace) -> int:
    """Return the number of combinations; fields meant for some backbones count under these."""
    return sum(_size(axes) for _, axes in _branches(space))


def grid_point(space: SearchSpace, *, seed: int, number: int) -> Params:
    """Return the params of trial `number`, which is below `grid_size`."""
    index = _order(grid_size(space), seed)[number]
    for fixed, axes in _branches(space):
        if index < _size(axes):
            params = fixed | _combination(axes, index)
            return {axis.name: params[axis.name] for axis in space.drawn(params)}
        index -= _size(axes)
    raise AssertionError("unreachable: the branches hold all points")


def _branches(space: SearchSpace) -> Iterator[tuple[Params, tuple[Axis, ...]]]:
    """Yield each backbone, if they are searched, and the other axes that are drawn under it."""
    searched = [a for a in space.axes if isinstance(a, Choice) and a.name == "backbone"]
    if not searched:
        yield {}, space.axes
        return
    for backbone in searched[0].values:
        fixed = {"backbone": backbone}
        yield fixed, tuple(axis for axis in space.drawn(fixed) if axis is not searched[0])


def _size(axes: tuple[Axis, ...]) -> int:
    return math.prod(count(axis) or 0 for axis in axes)


def _combination(axes: tuple[Axis, ...], index: int) -> Params:
    """Return combination `index` of the values of independent axes, the first varying fastest."""
    params = Params()
    for axis in axes:
        number = count(axis) or 0
        params[axis.name] = nth(axis, index % number)
        index //= number
    return params


def _order(size: int, seed: int) -> list[int]:
    """Return the numbers below `size`, shuffled in a way that no release of a library changes."""

    def key(index: int) -> bytes:
        return hashlib.sha256(f"point {index} of sweep seed {seed}".encode()).digest()

    return sorted(range(size), key=key)
