"""The one box format, and intersection over union.

A box is `[x_min, y_min, x_max, y_max]` as fractions of the image's width and height in [0, 1];
x grows to the right, y downwards. A box with `x_max < x_min` or `y_max < y_min` is empty: its
area is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return intersection over union, pair by pair (Jaccard 1901; Everingham et al. 2010).

    Args:
        a: float `[n, 4]`, one box of each pair.
        b: float `[n, 4]`, the other; a box with NaN or infinity in it counts as empty.

    Returns:
        float64 `[n]` in [0, 1]; 0 where a box is empty; exactly 1 for equal boxes.
    """
    a64, b64 = _finite(a), _finite(b)
    low = np.maximum(a64[:, :2], b64[:, :2])
    high = np.minimum(a64[:, 2:], b64[:, 2:])
    intersection: NDArray[np.float64] = np.prod(np.clip(high - low, 0, None), axis=1)
    union = area(a64) + area(b64) - intersection
    overlap = np.zeros_like(union)
    np.divide(intersection, union, out=overlap, where=union > 0)
    return overlap


def area(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area of each box as a fraction of the image; float64 `[n]`, 0 if empty."""
    corners = _finite(boxes)
    sides = np.clip(corners[:, 2:] - corners[:, :2], 0, None)
    return np.asarray(np.prod(sides, axis=1), np.float64)


def _finite(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the boxes in double precision, with those that are not finite made empty."""
    corners = np.asarray(boxes, np.float64)
    return np.where(np.isfinite(corners).all(axis=1, keepdims=True), corners, 0.0)
