"""A photo of any shape on a square canvas: scaled to fit, centred, with black bars.

A photo of `w x h` pixels becomes `n_w x n_h` on a canvas of side `s`, where the longer side is
`s` and the other is rounded to a whole pixel (half up, at least 1); the bars before it have
`(s - n_w) // 2` columns or `(s - n_h) // 2` rows. Small photos are enlarged. With this rounding
the two scales differ a little, so boxes are mapped with each axis's own:

    x' = (left + x * n_w / w) / s        x = (x' * s - left) * w / n_w

and the same for y. Intersection over union is the same in both frames, because it does not change
when an axis is stretched or moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RULE = "letterbox-bilinear-1"
"""Short name of the rule, part of a data set's identity: another rule is other data."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """Where photos lie on their canvases; each is int64 `[n, 2]`, first x then y, in pixels.

    Attributes:
        source_px: width and height of the photo.
        scaled_px: width and height on the canvas, at least 1.
        corner_px: its upper left corner on the canvas.
        canvas_px: side of the canvas.
    """

    source_px: NDArray[np.int64]
    scaled_px: NDArray[np.int64]
    corner_px: NDArray[np.int64]
    canvas_px: int


def place(source_px: NDArray[np.int64], canvas_px: int) -> Placement:
    """Return where photos of these sizes lie.

    Args:
        source_px: int64 `[n, 2]`, width and height, at least 1.
        canvas_px: side of the canvas, at least 1.
    """
    longer = source_px.max(axis=1, keepdims=True)
    # Whole numbers only, so that no machine rounds otherwise.
    scaled = np.maximum(1, (2 * source_px * canvas_px + longer) // (2 * longer))
    return Placement(
        source_px=source_px,
        scaled_px=scaled,
        corner_px=(canvas_px - scaled) // 2,
        canvas_px=canvas_px,
    )


def to_canvas(boxes: NDArray[np.float64], placement: Placement) -> NDArray[np.float64]:
    """Map boxes from pixels of the photo to fractions of the canvas.

    Args:
        boxes: `[n, 4]`, edges in pixels of the upright photo.
        placement: of the same `n` photos.

    Returns:
        float64 `[n, 4]`, see `harness.boxes`.
    """
    scale = _twice(placement.scaled_px) / _twice(placement.source_px)
    canvas = (_twice(placement.corner_px) + boxes * scale) / placement.canvas_px
    return np.asarray(canvas, np.float64)


def to_source(boxes: NDArray[np.floating], placement: Placement) -> NDArray[np.float64]:
    """Map boxes from fractions of the canvas to pixels of the photo: the inverse of `to_canvas`.

    Args:
        boxes: `[n, 4]`; one that reaches into the bars lies partly outside the photo.
        placement: of the same `n` photos.

    Returns:
        float64 `[n, 4]`, edges in pixels of the upright photo.
    """
    on_canvas = boxes.astype(np.float64) * placement.canvas_px - _twice(placement.corner_px)
    scale = _twice(placement.source_px) / _twice(placement.scaled_px)
    return np.asarray(on_canvas * scale, np.float64)


def _twice(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return x, y, x, y for each x, y."""
    return np.concatenate([pairs, pairs], axis=1)


def letterboxed(image: Image.Image, canvas_px: int) -> NDArray[np.uint8]:
    """Return a photo on its canvas; uint8 `[s, s]` of mode "L", `[s, s, 3]` of mode "RGB".

    Pillow's bilinear filter widens with the reduction, so that nothing aliases (Turkowski 1990);
    its output is the same on all machines with one version of Pillow, but not promised over
    versions.
    """
    placed = place(np.array([image.size], np.int64), canvas_px)
    width, height = (int(side) for side in placed.scaled_px[0])
    left, top = (int(side) for side in placed.corner_px[0])
    scaled = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    canvas = np.zeros((canvas_px, canvas_px, *scaled.shape[2:]), np.uint8)
    canvas[top : top + height, left : left + width] = scaled
    return canvas
