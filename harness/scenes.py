"""Scenes: a 28x28 digit at a random place on a black 75x75 canvas.

Where digit `i` stands is a pure function of (data seed, split, epoch, i). It does not depend on
which digits are asked for, in which order or in batches of which size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from harness.random_bits import words

DIGIT_PX = 28
"""Side of the pasted patch: MNIST's image size."""

CANVAS_PX = 75
"""Side of a scene, as in the localization notebook that the benchmark took up."""

PLACES = CANVAS_PX - DIGIT_PX + 1
"""Offsets along one axis: 0 to 47, both included."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenes:
    """Some examples of one split.

    Attributes:
        ids: int64 `[n]`, index of the example in its split.
        images: uint8 `[n, 75, 75]`, in colour `[n, height, width, 3]`; a pixel `p` stands for the
            intensity `p / 255` in [0, 1].
        labels: int64 `[n]`, the class.
        boxes: float32 `[n, 4]`, the box of the pasted patch, see `harness.boxes`.
    """

    ids: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]


def places(n: int, *, data_seed: int, split: str, epoch: int) -> NDArray[np.int64]:
    """Return where the first `n` digits of a split stand in an epoch.

    Returns:
        int64 `[n, 2]`: x and y of the patch's upper left corner in pixels, each uniform in 0..47.
        Row `i` is the same for every `n` greater than `i`.
    """
    drawn = words(n, "places", data_seed, split, epoch)
    halves = np.stack([drawn >> np.uint64(32), drawn & np.uint64(0xFFFF_FFFF)], axis=1)
    # Multiply and shift maps 32 bits onto 48 places with a bias below 48 / 2^32 (Lemire 2019).
    return ((halves * np.uint64(PLACES)) >> np.uint64(32)).astype(np.int64)


def compose(
    ids: NDArray[np.int64],
    digits: NDArray[np.uint8],
    labels: NDArray[np.int64],
    corners: NDArray[np.int64],
) -> Scenes:
    """Paste each digit at its place.

    Args:
        ids: int64 `[n]`.
        digits: uint8 `[n, 28, 28]`.
        labels: int64 `[n]`.
        corners: int64 `[n, 2]`, x and y in pixels of the patches' upper left corners, 0..47.
    """
    n = len(ids)
    images = np.zeros((n, CANVAS_PX, CANVAS_PX), np.uint8)
    # A view of every 28x28 window of every canvas: one assignment pastes the whole batch.
    windows = sliding_window_view(images, (DIGIT_PX, DIGIT_PX), axis=(1, 2), writeable=True)
    windows[np.arange(n), corners[:, 1], corners[:, 0]] = digits
    return Scenes(ids=ids, images=images, labels=labels, boxes=patch_boxes(corners))


def patch_boxes(corners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the boxes of patches with these upper left corners `[n, 2]`; float32 `[n, 4]`."""
    edges = np.concatenate([corners, corners + DIGIT_PX], axis=1)
    # Both operands are exact in float32, so IEEE division gives the same bits everywhere.
    return edges.astype(np.float32) / np.float32(CANVAS_PX)
