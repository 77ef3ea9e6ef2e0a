"""Boxes as graph operations, for training: `boxes.iou` and `box_losses.box_loss` with gradients.

All take float32 `[n, 4]` true and predicted boxes and return float32 `[n]`. Formulas and sources
stand in `box_losses`. Square roots and quotients are written so that no gradient is NaN, also for
boxes that are equal, empty or inverted.
"""

from __future__ import annotations

import math
from typing import Any

from harness.box_losses import HUBER_DELTA, LEAST_HEIGHT
from harness.config import BoxLoss
from harness.tf_keras import tf


# AutoGraph cannot read `match`, and warns of it.
@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def box_loss(name: BoxLoss, true: Any, predicted: Any) -> Any:
    """Return the loss of each pair of boxes."""
    match name:
        case "mse":
            return squared_error(true, predicted)
        case "huber":
            error = tf.abs(predicted - true)
            small = tf.minimum(error, HUBER_DELTA)
            return tf.reduce_mean(small * (error - small / 2), axis=1)
        case "giou":
            return _giou_loss(true, predicted)
        case "ciou":
            return _ciou_loss(true, predicted)


def squared_error(true: Any, predicted: Any) -> Any:
    """Return the squared error, mean over the four coordinates."""
    return tf.reduce_mean((predicted - true) ** 2, axis=1)


def iou(true: Any, predicted: Any) -> Any:
    """Return intersection over union; 0 where a box is empty."""
    return tf.math.divide_no_nan(*_intersection_and_union(true, predicted))


def _giou_loss(true: Any, predicted: Any) -> Any:
    intersection, union = _intersection_and_union(true, predicted)
    hull = tf.reduce_prod(_hull_sides(true, predicted), axis=1)
    divide = tf.math.divide_no_nan
    loss = 1 - divide(intersection, union) + divide(hull - union, hull)
    return loss + _inversion(predicted)


def _ciou_loss(true: Any, predicted: Any) -> Any:
    divide = tf.math.divide_no_nan
    overlap = iou(true, predicted)
    apart = tf.reduce_sum((_centres(true) - _centres(predicted)) ** 2, axis=1)
    diagonal = tf.reduce_sum(_hull_sides(true, predicted) ** 2, axis=1)
    v = 4 / math.pi**2 * (_aspect(true) - _aspect(predicted)) ** 2
    # The paper treats the weight of v as a constant (section 3.3, "Trade-off").
    weight = tf.stop_gradient(divide(v, 1 - overlap + v))
    return 1 - overlap + divide(apart, diagonal) + weight * v + _inversion(predicted)


def _intersection_and_union(true: Any, predicted: Any) -> tuple[Any, Any]:
    sides = tf.nn.relu(
        tf.minimum(true[:, 2:], predicted[:, 2:]) - tf.maximum(true[:, :2], predicted[:, :2])
    )
    intersection = sides[:, 0] * sides[:, 1]
    areas = [tf.reduce_prod(_sides(boxes), axis=1) for boxes in (true, predicted)]
    return intersection, areas[0] + areas[1] - intersection


def _sides(boxes: Any) -> Any:
    return tf.nn.relu(boxes[:, 2:] - boxes[:, :2])


def _hull_sides(true: Any, predicted: Any) -> Any:
    low = tf.minimum(true[:, :2], predicted[:, :2])
    high = tf.maximum(true[:, 2:], predicted[:, 2:])
    return tf.nn.relu(high - low)


def _centres(boxes: Any) -> Any:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _aspect(boxes: Any) -> Any:
    sides = _sides(boxes)
    return tf.atan2(sides[:, 0], tf.maximum(sides[:, 1], LEAST_HEIGHT))


def _inversion(boxes: Any) -> Any:
    return tf.reduce_sum(tf.nn.relu(boxes[:, :2] - boxes[:, 2:]), axis=1)
