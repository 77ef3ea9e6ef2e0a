"""Backgrounds of scenes: noise, gradient or texture, dark enough to be told from ink.

Noise and texture are windows into banks that are made once: cutting one out costs a copy.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from harness.random_bits import below, halves, words
from harness.scene_spec import BACKGROUNDS, CANVAS_LIMITS_PX

BRIGHTEST = 96
"""No background pixel is brighter: at contrast 0.4 ink then stands out by 63 of 255 at least."""

BANK_PX = 256 + CANVAS_LIMITS_PX[1]
"""Side of a bank: windows of the largest canvas have 257 places along each axis."""

_CELLS_PX = (16, 8, 4)
"""Sides of the cells of the octaves of a texture, about those of digits, strokes and their edges;
the last weighs half as much as the others."""


def paint(images: NDArray[np.uint8], codes: NDArray[np.int64], drawn: NDArray[np.uint64]) -> None:
    """Paint the backgrounds of black scenes.

    Args:
        images: uint8 `[n, canvas, canvas]`, painted in place.
        codes: int64 `[n]`, places in `BACKGROUNDS`.
        drawn: uint64 `[n]`, a random word for each.
    """
    side = images.shape[1]
    for code, name in enumerate(BACKGROUNDS):
        rows = np.flatnonzero(codes == code)
        if name == "black" or not len(rows):
            continue
        if name == "gradient":
            images[rows] = gradients(side, drawn[rows])
            continue
        bank = noise_bank() if name == "noise" else texture_bank()
        windows = sliding_window_view(bank, (side, side))
        y, x = (below(half, len(windows)) for half in halves(drawn[rows]))
        images[rows] = windows[y, x]


def gradients(side: int, drawn: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return planes between random levels of the four corners; uint8 `[n, side, side]`."""
    levels = drawn[:, None] >> np.arange(0, 64, 16, dtype=np.uint64) & np.uint64(0xFFFF)
    corners = (levels * np.uint64(BRIGHTEST + 1) >> np.uint64(16)).astype(np.uint16)
    # In 256ths: 96 * 256 fits 16 bits.
    right = (np.arange(side) * 256 // (side - 1)).astype(np.uint16)
    left = np.uint16(256) - right
    top, bottom = (
        (corners[:, k, None] * left + corners[:, k + 1, None] * right) >> np.uint16(8)
        for k in (0, 2)
    )
    mixed = top[:, None, :] * left[:, None]
    mixed += bottom[:, None, :] * right[:, None]
    return np.asarray(mixed >> np.uint16(8), np.uint8)


@functools.cache
def noise_bank() -> NDArray[np.uint8]:
    """Return independent pixels, each from 0 to `BRIGHTEST`, nearly evenly."""
    noise = _bytes(BANK_PX**2, "noise").reshape(BANK_PX, BANK_PX).astype(np.uint16)
    return (noise * np.uint16(BRIGHTEST + 1) >> np.uint16(8)).astype(np.uint8)


@functools.cache
def texture_bank() -> NDArray[np.uint8]:
    """Return clouds: octaves of value noise, bilinear between random levels (Perlin 1985)."""
    total = np.zeros((BANK_PX, BANK_PX), np.int64)
    for cell in _CELLS_PX:
        knots = BANK_PX // cell + 1
        levels = _bytes(knots**2, "texture", cell).reshape(knots, knots).astype(np.int64)
        spread = _between(_between(levels, cell).T, cell).T
        # Levels are too large by cell^2: all octaves are brought to the largest cell's scale.
        weight = 1 if cell == _CELLS_PX[-1] else 2
        total += weight * spread * (_CELLS_PX[0] // cell) ** 2
    low, high = int(total.min()), int(total.max())
    return ((total - low) * BRIGHTEST // (high - low)).astype(np.uint8)


def _between(levels: NDArray[np.int64], cell: int) -> NDArray[np.int64]:
    """Return each row of levels with `cell` places from one to the next, times `cell`."""
    part = np.arange(cell)
    steps = levels[:, :-1, None] * (cell - part) + levels[:, 1:, None] * part
    return steps.reshape(len(levels), -1)


def _bytes(n: int, *key: str | int) -> NDArray[np.uint8]:
    """Return random bytes; the order in a word is fixed, not the machine's."""
    return words(-(-n // 8), "bank", *key).astype("<u8").view(np.uint8)[:n]
