"""IoU against counting pixels with scikit-learn, exact fractions, and its invariants."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import jaccard_score

from harness.boxes import area, iou

PX = 16
Box = tuple[float, float, float, float]


def one(a: Box, b: Box) -> float:
    return float(iou(np.array([a]), np.array([b]))[0])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # The lower half of a: intersection 1/8, union 1/4.
        ((0, 0, 0.5, 0.5), (0, 0.25, 0.5, 0.5), 0.5),
        # Two 1/2 squares shifted by 1/4 both ways: 1/16 / (1/4 + 1/4 - 1/16) = 1/7.
        ((0, 0, 0.5, 0.5), (0.25, 0.25, 0.75, 0.75), 1 / 7),
        # b holds a: 1/16 / 1/4.
        ((0.5, 0.5, 0.75, 0.75), (0.5, 0.5, 1, 1), 0.25),
        # An edge, a corner, nothing in common.
        ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), 0),
        ((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1), 0),
        ((0, 0, 0.25, 0.25), (0.5, 0.5, 1, 1), 0),
        # Outside of the image boxes are boxes: 1/4 / (1/2 + 1/4 - 1/4) = 1/2.
        ((-0.5, 0, 0.5, 0.5), (0, 0, 0.5, 0.5), 0.5),
        # Inverted along one axis and along both: empty, not the product of two negative sides.
        ((0.5, 0, 0, 0.5), (0, 0, 0.5, 0.5), 0),
        ((0.5, 0.5, 0, 0), (0, 0, 0.5, 0.5), 0),
        ((0.5, 0.5, 0, 0), (0.5, 0.5, 0, 0), 0),
        # A point.
        ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), 0),
    ],
)
def test_by_hand(a: Box, b: Box, expected: float) -> None:
    assert one(a, b) == pytest.approx(expected, abs=1e-15)


corners = st.tuples(*[st.integers(0, PX)] * 4)


def mask(box: tuple[int, ...]) -> NDArray[np.bool_]:
    x_min, y_min, x_max, y_max = box
    pixels = np.zeros((PX, PX), bool)
    pixels[y_min:y_max, x_min:x_max] = True
    return pixels.ravel()


@settings(deadline=None, max_examples=200)
@given(corners, corners)
def test_agrees_with_counting_pixels(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    # On the pixel grid (16ths are exact in binary) area is the number of pixels covered.
    masks = mask(a), mask(b)
    expected = jaccard_score(*masks, zero_division=0.0)
    assert one(*(tuple(c / PX for c in box) for box in (a, b))) == pytest.approx(
        expected, abs=1e-15
    )


coordinates = st.floats(-2, 2, width=32)
boxes = st.tuples(*[coordinates] * 4)
ordered = boxes.map(lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])))


def exact(a: Box, b: Box) -> Fraction:
    """IoU in exact arithmetic, side by side."""
    sides = []
    for axis in (0, 1):
        (p, q), (r, s) = ((Fraction(box[axis]), Fraction(box[axis + 2])) for box in (a, b))
        sides.append((max(q - p, 0), max(s - r, 0), max(min(q, s) - max(p, r), 0)))
    area_a, area_b, common = (x * y for x, y in zip(*sides, strict=True))
    union = area_a + area_b - common
    return common / union if union else Fraction(0)


@settings(deadline=None)
@given(boxes, boxes)
def test_agrees_with_exact_fractions(a: Box, b: Box) -> None:
    # float32 corners are exact in float64: six roundings of 1e-16 each, and no cancellation.
    assert one(a, b) == pytest.approx(float(exact(a, b)), rel=1e-14)


@settings(deadline=None)
@given(boxes, boxes)
def test_symmetric_and_between_0_and_1(a: Box, b: Box) -> None:
    assert one(a, b) == one(b, a)
    assert 0 <= one(a, b) <= 1


@settings(deadline=None)
@given(ordered)
def test_exactly_1_with_itself_unless_empty(box: Box) -> None:
    empty = float(area(np.array([box]))[0]) == 0
    assert one(box, box) == (0 if empty else 1)


@settings(deadline=None)
@given(corners, corners, st.integers(-64, 64), st.integers(-64, 64))
def test_moving_both_changes_nothing(
    a: tuple[int, ...], b: tuple[int, ...], dx: int, dy: int
) -> None:
    # 16ths stay exact after the move, so equality is exact too.
    here = [tuple(c / PX for c in box) for box in (a, b)]
    there = [(p + dx, q + dy, r + dx, s + dy) for p, q, r, s in here]
    assert one(*here) == one(*there)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", range(4))
def test_a_box_that_is_not_finite_is_empty(bad: float, at: int) -> None:
    box = np.array([[0.0, 0.0, 0.5, 0.5]])
    broken = box.copy()
    broken[0, at] = bad
    assert area(broken)[0] == 0
    assert iou(broken, box)[0] == iou(box, broken)[0] == iou(broken, broken)[0] == 0


def test_one_broken_box_leaves_its_neighbours_alone() -> None:
    a = np.array([[0, 0, 1, 1], [0, 0, np.nan, 1], [0, 0, 1, 1]], np.float32)
    b = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0.5]], np.float32)
    assert iou(a, b).tolist() == [1, 0, 0.5]
    assert iou(a, b).dtype == area(a).dtype == np.float64


def test_no_boxes() -> None:
    none = np.empty((0, 4), np.float32)
    assert iou(none, none).shape == area(none).shape == (0,)
