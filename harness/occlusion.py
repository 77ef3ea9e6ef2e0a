"""Occlusion: an even bar across a digit, as wide as it may be without hiding too much ink."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.random_bits import below, halves
from harness.resample import Inked

LEVELS = (32, 160)
"""Brightness of bars: unlike black, and unlike ink at full contrast."""


def hide(
    images: NDArray[np.uint8], ink: Inked, corners: NDArray[np.int64],
    percent: NDArray[np.int64], drawn: NDArray[np.uint64],
) -> NDArray[np.float32]:  # fmt: skip
    """Draw a bar over each digit, from one side of its upright square to the other.

    Args:
        images: uint8 `[n, canvas, canvas]`, drawn into.
        ink: the digits.
        corners: int64 `[n, 2]`, x and y of their squares' upper left corners in pixels.
        percent: int64 `[n]`, how much of the ink may be hidden at most.
        drawn: uint64 `[n, 2]`, random words.

    Returns:
        float32 `[n]`, the share of the ink that is hidden, exactly.
    """
    n = len(images)
    where, look = halves(drawn[:, 0]), halves(drawn[:, 1])
    upright = below(look[0], 2) == 1  # whether the bar runs from top to bottom
    before = _ink_before(ink, upright)
    total = before[:, -1]
    allowed = total * percent // 100
    # Where a bar can begin and still have all the ink beyond it that it may hide.
    starts = np.maximum((total[:, None] - before >= allowed[:, None]).sum(axis=1), 1)
    start = below(where[0], starts)
    hidden_from = before[np.arange(n), start][:, None]
    end = (before <= hidden_from + allowed[:, None]).sum(axis=1) - 1
    hidden_to = before[np.arange(n), end][:, None]
    # Without the empty columns or rows at both of its sides.
    start, end = (before <= hidden_from).sum(axis=1) - 1, (before < hidden_to).sum(axis=1)
    hidden = (hidden_to - hidden_from)[:, 0]
    levels = LEVELS[0] + below(look[1], LEVELS[1] - LEVELS[0] + 1)
    for i in np.flatnonzero(hidden):
        (x, y), side, bar = corners[i], ink.side_px[i], slice(start[i], end[i])
        square = images[i, y : y + side, x : x + side]
        square[(slice(None), bar) if upright[i] else bar] = levels[i]
    # Whole numbers below 2^53: division rounds them the same everywhere.
    return np.asarray(hidden / np.maximum(total, 1), np.float32)


def _ink_before(ink: Inked, upright: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how much ink lies before each column or row; int64 `[n, longest side + 1]`."""
    n, longest = len(ink.side_px), int(ink.side_px.max())
    along = np.where(np.repeat(upright, ink.counts), ink.x, ink.y)
    cell = np.repeat(np.arange(n) * longest, ink.counts) + along
    # Sums of bytes in double precision are exact.
    sums = np.bincount(cell, weights=ink.coverage, minlength=n * longest)
    before = np.zeros((n, longest + 1), np.int64)
    np.cumsum(sums.reshape(n, longest), axis=1, dtype=np.int64, out=before[:, 1:])
    return before
