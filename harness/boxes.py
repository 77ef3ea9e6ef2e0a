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
        a, b: float `[n, 4]`, the two boxes of each pair.

    Returns:
        float64 `[n]` in [0, 1]; 0 where both boxes are empty.
    """
    a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a64[:, :2], b64[:, :2])
    high = np.minimum(a64[:, 2:], b64[:, 2:])
    intersection = np.prod(np.clip(high - low, 0, None), axis=1)
    union = area(a64) + area(b64) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def area(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area of each box as a fraction of the image; float64 `[n]`, 0 if empty."""
    sides = np.clip(np.asarray(boxes, np.float64)[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(np.prod(sides, axis=1), np.float64)
