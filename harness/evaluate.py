"""Quality of a model from its predictions of every example: pure, NumPy only.

Predicted boxes are taken raw, neither clipped nor put in order: an inverted box is empty and has
IoU 0. Where classes are equally probable, the lowest is the predicted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import box_losses
from harness.boxes import iou
from harness.config import BoxLoss
from harness.errors import DataError, DivergedRun
from harness.predictions import Predictions

EPSILON = 1e-7
"""Keras's clip of probabilities (`keras.config.epsilon()`): no image costs more than 16.1 nat."""

ILSVRC_IOU = 0.5
"""A localization is right from this IoU on (Russakovsky et al. 2015, section 4.2)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerExample:
    """How well each example was predicted, in the order of `Predictions.ids`.

    Attributes:
        iou: float64 `[n]` in [0, 1], of true and predicted box.
        correct: bool `[n]`, whether the most probable class is the true one.
        score: float64 `[n]` in [0, 1], IoU where the class is right, else 0.
    """

    iou: NDArray[np.float64]
    correct: NDArray[np.bool_]
    score: NDArray[np.float64]


def evaluate(
    predictions: Predictions,
    *,
    class_weight: float,
    box_weight: float,
    box_loss: BoxLoss = "mse",
) -> dict[str, float]:
    """Return every measure of `record.QUALITY`, in that order; meanings in `record.METRICS`.

    Args:
        predictions: of at least one example.
        class_weight: of the cross-entropy in the loss.
        box_weight: of the box loss in the loss.
        box_loss: which one.

    Raises:
        DivergedRun: a prediction is not finite: training diverged.
        DataError: there is no example.
    """
    each = per_example(predictions)
    cross_entropy = float(_cross_entropy(predictions).mean())
    boxes = predictions.boxes, predictions.predicted_boxes
    box_cost = float(box_losses.box_loss(box_loss, *boxes).mean())
    return {
        "score": float(each.score.mean()),
        "accuracy": float(each.correct.mean()),
        "mean_iou": float(each.iou.mean()),
        "localization_accuracy": float((each.correct & (each.iou >= ILSVRC_IOU)).mean()),
        "iou_50": float((each.iou >= 0.50).mean()),
        "iou_60": float((each.iou >= 0.60).mean()),
        "iou_75": float((each.iou >= 0.75).mean()),
        "cross_entropy": cross_entropy,
        "box_mse": float(box_losses.box_loss("mse", *boxes).mean()),
        "loss": class_weight * cross_entropy + box_weight * box_cost,
    }


def per_example(predictions: Predictions) -> PerExample:
    """Return how well each example was predicted.

    Raises:
        DivergedRun: a prediction is not finite: training diverged.
        DataError: there is no example.
    """
    _check(predictions)
    overlap = iou(predictions.boxes, predictions.predicted_boxes)
    correct = predictions.probabilities.argmax(axis=1) == predictions.labels
    return PerExample(iou=overlap, correct=correct, score=np.where(correct, overlap, 0.0))


def _check(predictions: Predictions) -> None:
    if not len(predictions.ids):
        raise DataError("An evaluation needs at least one example, got none. Use a larger split.")
    outputs = np.hstack([predictions.probabilities, predictions.predicted_boxes])
    broken = int((~np.isfinite(outputs)).any(axis=1).sum())
    if broken:
        raise DivergedRun(
            f"Predictions must be finite, but {broken} of {len(outputs)} examples got NaN or "
            "infinity: training diverged. Lower learning_rate, class_weight or box_weight."
        )


def _cross_entropy(predictions: Predictions) -> NDArray[np.float64]:
    """Return -log p of each true class, in nat; float64 `[n]`."""
    rows = np.arange(len(predictions.labels))
    p = predictions.probabilities[rows, predictions.labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(p, EPSILON, 1 - EPSILON)))
