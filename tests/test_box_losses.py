"""Box losses: worked out by hand, in NumPy and in the graph alike, with gradients that lead on."""

from __future__ import annotations

import math
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import graph_boxes
from harness.box_losses import HUBER_DELTA, box_loss, inversion
from harness.boxes import iou
from harness.config import BoxLoss

Box = tuple[float, float, float, float]

LOSSES: tuple[BoxLoss, ...] = get_args(BoxLoss)
TRUE = (0.0, 0.0, 0.5, 0.5)


def both(name: BoxLoss, true: Box, predicted: Box) -> tuple[float, float]:
    """Return the loss by NumPy and by the graph."""
    pair = [np.array([box], np.float32) for box in (true, predicted)]
    return float(box_loss(name, *pair)[0]), float(graph_boxes.box_loss(name, *pair)[0])


def v(one: float, other: float) -> float:
    """Return CIoU's term of the aspect ratios (width over height)."""
    return 4 / math.pi**2 * (math.atan(one) - math.atan(other)) ** 2


@pytest.mark.parametrize(
    ("name", "predicted", "expected"),
    [
        # Errors 0, 0, 0.3, -0.1: (0.09 + 0.01) / 4.
        ("mse", (0, 0, 0.8, 0.4), 0.025),
        # 0.1 is below 1/9: 0.01 / 2. 0.3 is above: (0.3 - 1/18) / 9. Mean over four.
        ("huber", (0, 0, 0.8, 0.4), (0.005 + (0.3 - 1 / 18) / 9) / 4),
        # The same box costs nothing.
        ("giou", TRUE, 0),
        ("ciou", TRUE, 0),
        # Shifted by 1/4 both ways: IoU = 1/16 / (7/16) = 1/7; hull (3/4)^2 = 9/16 of which
        # 2/16 are in neither: GIoU = 1/7 - 2/9.
        ("giou", (0.25, 0.25, 0.75, 0.75), 1 - 1 / 7 + 2 / 9),
        # Centres 1/4 apart both ways: d^2 = 2/16; c^2 = 2 * 9/16. Same shape.
        ("ciou", (0.25, 0.25, 0.75, 0.75), 1 - 1 / 7 + 1 / 9),
        # Two quarters that touch at a corner: IoU 0, hull 1, half of it empty.
        ("giou", (0.5, 0.5, 1, 1), 1.5),
        # d^2 = 1/2, c^2 = 2.
        ("ciou", (0.5, 0.5, 1, 1), 1.25),
        # The left half: IoU 1/2, hull = union. d^2 = 1/64, c^2 = 1/2, width : height = 1 : 2.
        ("giou", (0, 0, 0.25, 0.5), 0.5),
        ("ciou", (0, 0, 0.25, 0.5), 0.5 + 1 / 32 + v(1, 0.5) ** 2 / (0.5 + v(1, 0.5))),
        # Inverted by 0.1 in x within the true box: no overlap, hull = union = true; plus 0.1.
        ("giou", (0.3, 0.1, 0.2, 0.4), 1.1),
    ],
)
def test_by_hand(name: BoxLoss, predicted: Box, expected: float) -> None:
    numpy_value, graph_value = both(name, TRUE, predicted)
    assert numpy_value == pytest.approx(expected, abs=1e-7)
    assert graph_value == pytest.approx(expected, abs=1e-6)  # float32


def test_huber_is_smooth_where_it_turns_linear() -> None:
    below, above = (both("huber", TRUE, (HUBER_DELTA + e, 0, 0.5, 0.5))[0] for e in (-1e-4, 1e-4))
    # Slope d / 4 on both sides.
    assert above - below == pytest.approx(2e-4 * HUBER_DELTA / 4, rel=1e-2)


proper = st.tuples(
    *[st.floats(-0.5, 1.5, width=32)] * 2, *[st.floats(0.125, 1, width=32)] * 2
).map(lambda x: (x[0], x[1], x[0] + x[2], x[1] + x[3]))
anything = st.tuples(*[st.floats(-1, 2, width=32)] * 4)


@given(proper, anything)
@settings(max_examples=200, deadline=None)
def test_numpy_and_graph_agree_on_any_box(true: Box, predicted: Box) -> None:
    for name in LOSSES:
        numpy_value, graph_value = both(name, true, predicted)
        # float32 products of sides near 1e-7 underflow; else sums of about ten terms of size 1.
        assert graph_value == pytest.approx(numpy_value, abs=2e-5)
        assert numpy_value >= -1e-12


@given(proper, proper)
@settings(max_examples=200, deadline=None)
def test_bounds_of_the_iou_losses(true: Box, predicted: Box) -> None:
    pair = [np.array([box]) for box in (true, predicted)]
    overlap = iou(*pair)[0]
    giou, ciou = (box_loss(name, *pair)[0] for name in ("giou", "ciou"))
    assert 1 - overlap - 1e-9 <= giou <= 2 + 1e-9
    assert 1 - overlap - 1e-9 <= ciou <= 3 + 1e-9
    assert box_loss("giou", *pair[::-1])[0] == pytest.approx(giou)


@given(anything)
@settings(max_examples=50, deadline=None)
def test_inversion_is_zero_for_proper_boxes_only(box: Box) -> None:
    is_proper = box[0] <= box[2] and box[1] <= box[3]
    assert (inversion(np.array([box]))[0] == 0) == is_proper


def gradient(name: BoxLoss, predicted: Any) -> Any:
    box = tf.Variable([predicted], dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = graph_boxes.box_loss(name, tf.constant([(0.25, 0.25, 0.75, 0.75)]), box)
    return tape.gradient(loss, box).numpy()[0]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "box",
    [
        (0.25, 0.25, 0.75, 0.75),  # the true one
        (0.0, 0.0, 0.0, 0.0),  # a point, as an untrained head predicts
        (0.5, 0.5, 0.5, 0.5),  # a point inside
        (0.7, 0.7, 0.3, 0.3),  # inverted
        (0.3, 0.7, 0.7, 0.3),
        (-3.0, -3.0, 5.0, 5.0),
    ],
)
def test_no_gradient_is_nan(name: BoxLoss, box: Box) -> None:
    assert np.isfinite(gradient(name, box)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_descent_leads_to_the_true_box(name: BoxLoss) -> None:
    true = tf.constant([(0.25, 0.25, 0.75, 0.75)])
    boxes = tf.Variable(
        [
            (0.01, -0.02, 0.02, 0.01),  # nearly a point, as an untrained head predicts
            (0.6, 0.6, 0.4, 0.4),  # inverted inside the true box, where GIoU itself is flat
            (0.8, 0.8, 0.95, 0.95),  # beside it
            (0.0, 0.0, 1.0, 1.0),  # around it
        ]
    )
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build([boxes])

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(graph_boxes.box_loss(name, true, boxes))
        optimizer.apply([tape.gradient(loss, boxes)], [boxes])

    for _ in range(400):
        step()
    assert (graph_boxes.iou(true, boxes).numpy() > 0.95).all()
