"""What a run left behind, read and checked: its record and what it said of each test image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import BenchError, StoreError
from harness.evaluate import ILSVRC_IOU, per_example
from harness.predictions import Predictions, predictions_file
from harness.record import RunRecord

IMAGE_MEASURES = ("score", "accuracy", "mean_iou", "localization_accuracy")
"""Measures that are a mean over images of one value for each image."""

_AGREEMENT = 1e-5  # float32 predictions; a recorded mean may have been summed in another order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What came of each test image, in ascending order of id.

    Attributes:
        ids: int64 `[n]`.
        labels, predicted: int64 `[n]`, true and most probable class.
        confidence: float64 `[n]` in [0, 1], probability of the most probable class.
        boxes: float32 `[n, 4]`, true boxes, see `harness.boxes`.
        iou: float64 `[n]`, of true and predicted box.
        factors: name -> float32 `[n]`, what made each image hard; empty if it is not known.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    boxes: NDArray[np.float32]
    iou: NDArray[np.float64]
    factors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(cls, predictions: Predictions) -> Outcomes:
        """Judge the predictions of one split.

        Raises:
            BenchError: a prediction is not finite, or there is none.
        """
        return cls(
            ids=predictions.ids,
            labels=predictions.labels,
            predicted=predictions.probabilities.argmax(axis=1),
            confidence=predictions.probabilities.max(axis=1).astype(np.float64),
            boxes=predictions.boxes,
            iou=per_example(predictions).iou,
            factors=predictions.factors,
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the true one; bool `[n]`."""
        return np.asarray(self.labels == self.predicted)

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return one value for each image; their mean is the measure of that name.

        Args:
            measure: one of `IMAGE_MEASURES`.
        """
        match measure:
            case "score":
                return np.where(self.right, self.iou, 0.0)
            case "accuracy":
                return self.right.astype(np.float64)
            case "mean_iou":
                return self.iou
            case "localization_accuracy":
                return (self.right & (self.iou >= ILSVRC_IOU)).astype(np.float64)
        raise ValueError(f"{measure} is not a mean over images")

    def same_images(self, other: Outcomes) -> bool:
        """Return whether both looked at the same images with the same truth."""
        return (
            np.array_equal(self.ids, other.ids)
            and np.array_equal(self.labels, other.labels)
            and np.array_equal(self.boxes, other.boxes)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """A run with its folder and, if it was tested, what came of each test image.

    Attributes:
        outcomes: None if the run was not tested or its predictions cannot be used.
        why_none: why there are no outcomes; None if there are.
    """

    record: RunRecord
    folder: Path
    outcomes: Outcomes | None = None
    why_none: str | None = None


def load(record: RunRecord, folder: Path) -> Evidence:
    """Read the test predictions of a run, if it says that it was tested.

    Predictions that cannot be read, or that do not give the recorded measures, are a reason and
    not an error: the other runs of the report stay readable.
    """
    if record.value("test_score") is None:
        return Evidence(record=record, folder=folder, why_none="the run has no test result")
    path = folder / predictions_file("test")
    if not path.is_file():
        return Evidence(record=record, folder=folder, why_none="its test predictions are missing")
    try:
        outcomes = Outcomes.of(Predictions.load(path))
    except StoreError:
        reason = "its test predictions cannot be read"
        return Evidence(record=record, folder=folder, why_none=reason)
    except BenchError as error:
        return Evidence(record=record, folder=folder, why_none=str(error))
    disagreement = _disagreement(record, outcomes)
    if disagreement:
        return Evidence(record=record, folder=folder, why_none=disagreement)
    return Evidence(record=record, folder=folder, outcomes=outcomes)


def _disagreement(record: RunRecord, outcomes: Outcomes) -> str | None:
    for measure in IMAGE_MEASURES:
        recorded = record.value(f"test_{measure}")
        computed = float(outcomes.values(measure).mean())
        if recorded is not None and not abs(recorded - computed) <= _AGREEMENT:
            return (
                f"its test predictions give {measure} {computed:.5f}, "
                f"but its record says {recorded:.5f}"
            )
    return None
