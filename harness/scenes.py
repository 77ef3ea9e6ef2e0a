"""Scenes: a 28x28 digit at a random place on a black 75x75 canvas, or what a preset makes of it.

Where digit `i` stands is a pure function of (data seed, split, epoch, i). It does not depend on
which digits are asked for, in which order or in batches of which size. Scenes that are harder than
pasting a patch are made in `harness.scene_maker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from harness.random_bits import below, halves, words

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
        images: uint8 `[n, height, width]`, in colour `[n, height, width, 3]`; a pixel `p` is the
            intensity `p / 255` in [0, 1].
        labels: int64 `[n]`, the class.
        boxes: float32 `[n, 4]`, the box of the whole digit, see `harness.boxes`.
        factors: name -> float32 `[n]`, what makes each scene hard, by the names in `FACTORS`;
            empty if it is not known.
    """

    ids: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    factors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


PIECE = 64
"""Scenes that are made or changed at once: what is in between then stays in the processor's cache.
Measured on a shared core, twenty batches in one piece took ten times as long for each image."""


def in_pieces(make: Callable[[NDArray[np.int64]], Scenes], rows: NDArray[np.int64]) -> Scenes:
    """Return what `make` returns for some rows, asked for a few at a time.

    Args:
        make: scenes for rows, independent of each other.
        rows: int64 `[n]`.
    """
    if len(rows) <= PIECE:
        return make(rows)
    parts = [make(rows[start : start + PIECE]) for start in range(0, len(rows), PIECE)]

    def joined(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(arrays))

    return Scenes(
        ids=joined(part.ids for part in parts),
        images=joined(part.images for part in parts),
        labels=joined(part.labels for part in parts),
        boxes=joined(part.boxes for part in parts),
        factors={name: joined(part.factors[name] for part in parts) for name in parts[0].factors},
    )


FACTORS: Mapping[str, str] = {
    "digit_px": "side of the digit's patch, in pixels",
    "rotation_deg": "angle clockwise, in degrees",
    "contrast": "way of full ink from the background to white, 1 is white",
    "clutter": "fragments of other digits",
    "occlusion": "share of the digit's ink that a bar hides",
    "background": "0 black, 1 noise, 2 gradient, 3 texture",
    "x": "centre of the box, as a fraction of the width",
    "y": "centre of the box, as a fraction of the height",
}
"""What is known of each scene, and its unit."""


def places(n: int, *, data_seed: int, split: str, epoch: int) -> NDArray[np.int64]:
    """Return where the first `n` digits of a split stand in an epoch.

    Returns:
        int64 `[n, 2]`: x and y of the patch's upper left corner in pixels, each uniform in 0..47.
        Row `i` is the same for every `n` greater than `i`.
    """
    return corners_of(words(n, "places", data_seed, split, epoch), PLACES)


def corners_of(drawn: NDArray[np.uint64], places: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return x and y, each uniform in `0..places-1`, for random words `[n]`; int64 `[n, 2]`."""
    return np.stack([below(half, places) for half in halves(drawn)], axis=1)


def compose(
    ids: NDArray[np.int64],
    digits: NDArray[np.uint8],
    labels: NDArray[np.int64],
    corners: NDArray[np.int64],
    canvas_px: int = CANVAS_PX,
) -> Scenes:
    """Paste each digit at its place.

    Args:
        ids: int64 `[n]`.
        digits: uint8 `[n, m, m]`.
        labels: int64 `[n]`.
        corners: int64 `[n, 2]`, x and y in pixels of the patches' upper left corners.
        canvas_px: side of a scene.
    """
    n, side = digits.shape[:2]
    images = np.zeros((n, canvas_px, canvas_px), np.uint8)
    # A view of every 28x28 window of every canvas: one assignment pastes the whole batch.
    windows = sliding_window_view(images, (side, side), axis=(1, 2), writeable=True)
    windows[np.arange(n), corners[:, 1], corners[:, 0]] = digits
    edges = np.concatenate([corners, corners + side], axis=1)
    return Scenes(ids=ids, images=images, labels=labels, boxes=as_fractions(edges, canvas_px))


def as_fractions(edges: NDArray[np.int64], side_px: int) -> NDArray[np.float32]:
    """Return boxes as fractions of a side, from edges in whole pixels `[n, 4]`."""
    # Both operands are exact in float32, so IEEE division gives the same bits everywhere.
    return edges.astype(np.float32) / np.float32(side_px)
