"""Digits scaled and turned in whole numbers, so that every machine makes the same bytes.

A pixel of the result looks up where it came from, on a grid of sixteenths of a source pixel, and
mixes the four pixels around that place. Positions and weights are a pure function of sizes and
angle: a finite table of taps, made once and used for every digit of that size and angle.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.angles import BITS, cosine, sine, turned_px

_SUB = 16
"""Places per source pixel: four weights then sum to 256, and 256 * 255 fits 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taps:
    """Where the pixels of a scaled and turned square come from.

    Attributes:
        level: how often the source is halved first.
        side_px: of the upright square around the turned one.
        source: int32 `[p]`, place of the upper left of four pixels in the halved source, which
            has a border of one black pixel, flattened.
        weights: uint16 `[4, p]`, of the four, row by row; they sum to 256.
        x, y: int32 `[p]`, the pixel in the upright square, row by row.
    """

    level: int
    side_px: int
    source: NDArray[np.int32]
    weights: NDArray[np.uint16]
    x: NDArray[np.int32]
    y: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inked:
    """Scaled and turned digits as a list of pixels, those of digit `i` from `starts[i]` on.

    Attributes:
        side_px: int64 `[n]`, of the upright square around each.
        starts: int64 `[n]`, where its pixels begin; each has one at least.
        counts: int64 `[n]`, how many there are.
        x, y: int32 `[p]`, the pixel in the upright square.
        coverage: uint8 `[p]`, how much of it is inked, in 255ths.
    """

    side_px: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    coverage: NDArray[np.uint8]


# A table takes 20 bytes for each pixel: 40 MB for all sizes and angles of the hardest preset.
@functools.lru_cache(maxsize=4096)
def taps(source_px: int, side_px: int, degrees: int) -> Taps:
    """Return where the pixels of a digit come from.

    Args:
        source_px: side of the source.
        side_px: side of the digit before it is turned.
        degrees: clockwise, as seen with y downwards.
    """
    level = 0
    # Four taps see two source pixels: more between neighbours would leave strokes out.
    while (source_px >> level) > 2 * side_px:
        level += 1
    small, room = source_px >> level, turned_px(side_px, degrees)
    # Pixel centres, from the centre of the square, in half pixels.
    far = 2 * np.arange(room, dtype=np.int64) + 1 - room
    across, down = far[None, :], far[:, None]
    scale = (2 << BITS) * side_px
    u = (across * cosine(degrees) + down * sine(degrees)) * (small * _SUB)
    v = (down * cosine(degrees) - across * sine(degrees)) * (small * _SUB)
    # From the first pixel's centre; rounded to the nearest sixteenth, halves upwards.
    middle = _SUB // 2 * (small - 1)
    u, v = ((2 * at + scale) // (2 * scale) + middle for at in (u, v))
    inside = (u > -_SUB) & (u < _SUB * small) & (v > -_SUB) & (v < _SUB * small)
    y, x = np.nonzero(inside)
    column, right = np.divmod(u[inside], _SUB)
    row, below = np.divmod(v[inside], _SUB)
    left, above = _SUB - right, _SUB - below
    return Taps(
        level=level, side_px=room,
        source=((row + 1) * (small + 2) + column + 1).astype(np.int32),
        weights=np.stack(
            [above * left, above * right, below * left, below * right]
        ).astype(np.uint16),
        x=x.astype(np.int32), y=y.astype(np.int32),
    )  # fmt: skip


def inked(digits: NDArray[np.uint8], side_px: Sequence[int], degrees: Sequence[int]) -> Inked:
    """Scale and turn digits, each its own way.

    Args:
        digits: uint8 `[n, m, m]`.
        side_px: `[n]`, sides before they are turned, at least 1.
        degrees: `[n]`, clockwise.
    """
    n, source_px = digits.shape[:2]
    each = [taps(source_px, side, angle) for side, angle in zip(side_px, degrees, strict=True)]
    flat, bases, strides = _levels(digits, max(tap.level for tap in each))
    counts = np.array([len(tap.x) for tap in each])
    level = np.array([tap.level for tap in each])
    first = np.array(bases)[level] + np.arange(n) * np.array(strides)[level] ** 2
    at = np.concatenate([tap.source for tap in each]) + np.repeat(first, counts)
    weights = np.concatenate([tap.weights for tap in each], axis=1)
    below = np.repeat(np.array(strides)[level], counts)
    total = flat.take(at) * weights[0]
    total += flat.take(at + 1) * weights[1]
    at += below
    total += flat.take(at) * weights[2]
    total += flat.take(at + 1) * weights[3]
    return Inked(
        side_px=np.array([tap.side_px for tap in each]),
        starts=np.cumsum(counts) - counts,
        counts=counts,
        x=np.concatenate([tap.x for tap in each]),
        y=np.concatenate([tap.y for tap in each]),
        coverage=((total + np.uint16(128)) >> np.uint16(8)).astype(np.uint8),
    )


def halved(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the means of 2x2 pixels; an odd last row or column is left out.

    Args:
        digits: uint8 `[n, m, m]`.
    """
    even = digits.shape[1] // 2 * 2
    wide = digits[:, :even, :even].astype(np.uint16)
    sums = wide[:, ::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, ::2] + wide[:, 1::2, 1::2]
    return ((sums + 2) >> 2).astype(np.uint8)


def _levels(
    digits: NDArray[np.uint8], most: int
) -> tuple[NDArray[np.uint16], list[int], list[int]]:
    """Return digits and their halves with black borders in one row, where each begins, strides."""
    parts, bases, strides, start = [], [], [], 0
    for level in range(most + 1):
        digits = halved(digits) if level else digits
        padded = np.pad(digits, ((0, 0), (1, 1), (1, 1)))
        parts.append(padded.reshape(-1))
        bases.append(start)
        strides.append(padded.shape[1])
        start += padded.size
    return np.concatenate(parts).astype(np.uint16), bases, strides
