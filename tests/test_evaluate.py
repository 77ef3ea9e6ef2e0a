"""Quality from predictions: by hand, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

from harness.errors import BenchError, DataError
from harness.evaluate import evaluate, per_example
from harness.predictions import Predictions
from harness.record import QUALITY

BOX = (0.0, 0.0, 0.5, 0.5)


def predictions(
    labels: ArrayLike, probabilities: ArrayLike, boxes: ArrayLike, predicted: ArrayLike
) -> Predictions:
    labels = np.array(labels, np.int64)
    return Predictions(
        ids=np.arange(len(labels)),
        labels=labels,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        probabilities=np.array(probabilities, np.float32),
        predicted_boxes=np.array(predicted, np.float32).reshape(-1, 4),
    )


FOUR = predictions(
    labels=[0, 1, 1, 2],
    probabilities=[
        (0.5, 0.25, 0.25),  # right
        (0.25, 0.5, 0.25),  # right
        (0.75, 0.125, 0.125),  # wrong
        (0.0, 0.0, 1.0),  # right
    ],
    boxes=[BOX] * 4,
    predicted=[
        BOX,  # IoU 1
        (0, 0, 0.5, 0.25),  # half of it: IoU 0.5
        BOX,  # IoU 1, but of a wrong class
        (0.5, 0.5, 0, 0),  # inverted: IoU 0
    ],
)


def test_by_hand() -> None:
    ln2 = math.log(2)
    found = evaluate(FOUR, class_weight=2.0, box_weight=4.0)
    expected = {
        "score": (1 + 0.5 + 0 + 0) / 4,
        "accuracy": 3 / 4,
        "mean_iou": (1 + 0.5 + 1 + 0) / 4,
        "localization_accuracy": 2 / 4,  # the first two; IoU 0.5 is enough
        "iou_50": 3 / 4,
        "iou_60": 2 / 4,
        "iou_75": 2 / 4,
        # 1/2, 1/2 and 1/8 cost 1, 1 and 3 ln 2; certainty is clipped to 1 - 1e-7.
        "cross_entropy": (ln2 + ln2 + 3 * ln2 + 1e-7) / 4,
        # Second: one coordinate off by 1/4, (1/16) / 4. Fourth: all four off by 1/2, 1/4.
        "box_mse": (1 / 64 + 1 / 4) / 4,
    }
    expected["loss"] = 2 * expected["cross_entropy"] + 4 * expected["box_mse"]
    assert found == pytest.approx(expected, abs=1e-12)
    assert tuple(found) == QUALITY
    assert all(type(value) is float for value in found.values())


def test_per_example() -> None:
    each = per_example(FOUR)
    assert each.iou.tolist() == [1, 0.5, 1, 0]
    assert each.correct.tolist() == [True, True, False, True]
    assert each.score.tolist() == [1, 0.5, 0, 0]


def test_of_equally_probable_classes_the_lowest_is_predicted() -> None:
    tied = predictions([0, 1], [(0.5, 0.5), (0.5, 0.5)], [BOX] * 2, [BOX] * 2)
    assert per_example(tied).correct.tolist() == [True, False]


def test_probability_0_costs_what_keras_clips_it_to() -> None:
    sure_and_wrong = predictions([0], [(0.0, 1.0)], [BOX], [BOX])
    found = evaluate(sure_and_wrong, class_weight=1, box_weight=1)
    assert found["cross_entropy"] == pytest.approx(-math.log(1e-7))  # 16.118


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_agrees_with_scikit_learn(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    some = predictions(
        generator.integers(0, 10, n),
        generator.dirichlet(np.ones(10), n).clip(1e-5),  # away from the clip
        generator.random((n, 4)),
        generator.normal(0.5, 0.5, (n, 4)),
    )
    found = evaluate(some, class_weight=0.5, box_weight=3)
    accuracy = accuracy_score(some.labels, some.probabilities.argmax(1))
    assert found["accuracy"] == pytest.approx(accuracy)
    mse = mean_squared_error(some.boxes.astype(float), some.predicted_boxes.astype(float))
    assert found["box_mse"] == pytest.approx(mse)
    # log_loss divides by the sum of a row, which the clip above moved from 1.
    rows = some.probabilities.astype(np.float64)
    sums = rows.sum(1)
    loss = log_loss(some.labels, rows / sums[:, None], labels=range(10)) - np.log(sums).mean()
    assert found["cross_entropy"] == pytest.approx(loss)
    assert found["score"] <= min(found["accuracy"], found["mean_iou"])
    assert found["iou_75"] <= found["iou_60"] <= found["iou_50"]
    assert found["localization_accuracy"] <= min(found["accuracy"], found["iou_50"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["probabilities", "predicted_boxes"])
def test_diverged_predictions_are_counted_not_averaged(where: str, bad: float) -> None:
    broken = predictions([0, 0, 0], [(1, 0)] * 3, [BOX] * 3, [BOX] * 3)
    getattr(broken, where)[1:, :] = bad
    with pytest.raises(BenchError, match=r"2 of 3 examples got NaN or infinity.*learning_rate"):
        evaluate(broken, class_weight=1, box_weight=1)
    with pytest.raises(BenchError, match="2 of 3"):
        per_example(broken)


def test_no_example_is_no_measure() -> None:
    none = predictions([], np.empty((0, 10)), [], [])
    with pytest.raises(DataError, match="at least one example, got none"):
        evaluate(none, class_weight=1, box_weight=1)
