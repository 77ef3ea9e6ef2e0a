"""Images of any size brought to 28x28, in whole numbers: the same bytes on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.scenes import DIGIT_PX

MOST_PX = 1 << 14
"""Longest side. Every sum below is then a whole number that float64 holds exactly."""

_CHUNK_VALUES = 1 << 22


def letterbox(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale images so that the longer side fits 28 pixels, and pad the shorter one with black.

    Smaller images are enlarged bilinearly, larger ones shrunk by averaging over areas.

    Args:
        images: uint8 `[n, height, width]`, sides 1 to `MOST_PX`.

    Returns:
        uint8 `[n, 28, 28]`, rounded to nearest, halves upwards.
    """
    n, height, width = images.shape
    if height == width == DIGIT_PX:
        return images
    longer = max(height, width)
    tall, wide = (
        max(1, (2 * side * DIGIT_PX + longer) // (2 * longer)) for side in (height, width)
    )
    rows, columns = weights(height, tall), weights(width, wide)
    whole = int(rows[0].sum() * columns[0].sum())
    top, left = (DIGIT_PX - tall) // 2, (DIGIT_PX - wide) // 2
    boxed = np.zeros((n, DIGIT_PX, DIGIT_PX), np.uint8)
    chunk = max(1, _CHUNK_VALUES // (height * width))
    for start in range(0, n, chunk):
        part = images[start : start + chunk].astype(np.float64)
        sums = (rows.astype(np.float64) @ part @ columns.T.astype(np.float64)).astype(np.int64)
        scaled = (2 * sums + whole) // (2 * whole)
        boxed[start : start + chunk, top : top + tall, left : left + wide] = scaled
    return boxed


def weights(before: int, after: int) -> NDArray[np.int64]:
    """Return what each of `before` pixels gives to each of `after`, in parts of one whole.

    Enlarging is bilinear, with pixel centres at half-integers and the edge repeated: pixel `j` of
    `after` lies at `((2 j + 1) before - after) / (2 after)`. Shrinking weighs a pixel by the
    length that it shares with the new one.

    Returns:
        int64 `[after, before]`; all rows have the same sum, the whole.
    """
    new = np.arange(after)
    if after < before:
        old = np.arange(before)
        ends = np.minimum.outer((new + 1) * before, (old + 1) * after)
        starts = np.maximum.outer(new * before, old * after)
        shared: NDArray[np.int64] = np.maximum(ends - starts, 0)
        return shared
    at = np.clip((2 * new + 1) * before - after, 0, 2 * after * (before - 1))
    below, part = np.divmod(at, 2 * after)
    given = np.zeros((after, before), np.int64)
    given[new, below] += 2 * after - part
    given[new, np.minimum(below + 1, before - 1)] += part
    return given


def grey(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of ITU-R BT.601 of RGB `[..., 3]`, in the whole numbers that Pillow uses."""
    red, green, blue = (colours[..., k].astype(np.uint32) for k in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)
