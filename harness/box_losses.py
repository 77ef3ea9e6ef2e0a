"""What a predicted box costs, in NumPy; `graph_boxes` has the same for training.

All take and return what `boxes.iou` does: float `[n, 4]` true and predicted boxes in, float64
`[n]` out. The IoU losses are defined for boxes with `x_min <= x_max` and `y_min <= y_max`. A
linear head may predict others, from which their formulas give no way back: those pay `inversion`
on top.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.boxes import area, iou
from harness.config import BoxLoss

Boxes = NDArray[np.floating]
Values = NDArray[np.float64]

LEAST_HEIGHT = 1e-7
"""What a side below it counts as where it divides; 0 / 0 has no gradient."""

HUBER_DELTA = 1 / 9
"""Where the Huber loss turns linear, in fractions of the image: as in Faster R-CNN's code."""


def box_loss(name: BoxLoss, true: Boxes, predicted: Boxes) -> Values:
    """Return the loss of each pair of boxes; float64 `[n]`, at least 0."""
    return _LOSSES[name](np.asarray(true, np.float64), np.asarray(predicted, np.float64))


def mse(true: Boxes, predicted: Boxes) -> Values:
    """Return the squared error, mean over the four coordinates."""
    return _mean(np.square(predicted - true))


def huber(true: Boxes, predicted: Boxes) -> Values:
    r"""Return Huber's loss (1964), mean over the four coordinates.

    With the error e and `HUBER_DELTA` d: e^2 / 2 up to d, from there on d (|e| - d / 2).
    """
    error = np.abs(predicted - true)
    small = np.minimum(error, HUBER_DELTA)
    return _mean(small * (error - small / 2))


def giou(true: Boxes, predicted: Boxes) -> Values:
    r"""Return 1 - GIoU (Rezatofighi et al. 2019, equation 4), in [0, 2] for proper boxes.

    With the smallest box C around both and their union U: GIoU = IoU - (C - U) / C. Boxes that do
    not touch still differ in C, so there is a way to go where IoU is 0 all around.
    """
    overlap = iou(true, predicted)
    union = (area(true) + area(predicted)) / (1 + overlap)
    sides = _hull_sides(true, predicted)
    hull = sides[:, 0] * sides[:, 1]
    return 1 - overlap + _ratio(hull - union, hull) + inversion(predicted)


def ciou(true: Boxes, predicted: Boxes) -> Values:
    r"""Return the complete IoU loss (Zheng et al. 2020, equations 10 and 11).

    With the distance of the centres d, the diagonal of the smallest box around both c, and
    v = 4 / pi^2 (atan(w / h) - atan(w' / h'))^2:

        1 - IoU + d^2 / c^2 + a v,    a = v / (1 - IoU + v)
    """
    overlap = iou(true, predicted)
    apart = np.square(_centres(true) - _centres(predicted)).sum(axis=1)
    diagonal = np.square(_hull_sides(true, predicted)).sum(axis=1)
    v = 4 / np.pi**2 * np.square(_aspect(true) - _aspect(predicted))
    shape = _ratio(v * v, 1 - overlap + v)
    return 1 - overlap + _ratio(apart, diagonal) + shape + inversion(predicted)


def inversion(boxes: Boxes) -> Values:
    """Return by how much `x_min` exceeds `x_max` and `y_min` exceeds `y_max`; 0 if they do not."""
    total: Values = np.clip(boxes[:, :2] - boxes[:, 2:], 0, None).sum(axis=1)
    return total


_LOSSES: dict[BoxLoss, Callable[[Boxes, Boxes], Values]] = {
    "mse": mse,
    "huber": huber,
    "giou": giou,
    "ciou": ciou,
}


def _hull_sides(a: Boxes, b: Boxes) -> Values:
    """Return width and height of the smallest box around both; float64 `[n, 2]`."""
    low, high = np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])
    return np.asarray(np.clip(high - low, 0, None), np.float64)


def _centres(boxes: Boxes) -> Values:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float64)


def _aspect(boxes: Boxes) -> Values:
    """Return the angle atan(width / height); a width below 0 counts as 0."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(np.arctan2(sides[:, 0], np.maximum(sides[:, 1], LEAST_HEIGHT)), np.float64)


def _mean(values: Values) -> Values:
    return np.asarray(values.mean(axis=1), np.float64)


def _ratio(numerator: Values, denominator: Values) -> Values:
    """Return the quotient, 0 where the denominator is 0."""
    result = np.zeros_like(denominator)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
