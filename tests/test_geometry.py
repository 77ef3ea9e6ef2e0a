"""Moved images and boxes, against masks that are moved pixel by pixel in floating point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.geometry import Motion, moved_boxes, moved_images

RNG = np.random.default_rng(5)


def motion(zoom: float = 1, degrees: int = 0, x: float = 0, y: float = 0, n: int = 1) -> Motion:
    """Return a motion with the shift in pixels."""
    whole = [round(4096 * zoom), degrees, round(32 * x), round(32 * y)]
    factor, angle, right, down = (np.full(n, value, np.int64) for value in whole)
    return Motion.of(zoom=factor, degrees=angle, x=right, y=down)


def slow_mask(
    mask: np.ndarray, zoom: float, degrees: int, x: float, y: float
) -> np.ndarray:  # fmt: skip
    """Move a mask: each pixel looks at the one that its centre came from, in doubles."""
    height, width = mask.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    moved = np.zeros_like(mask)
    for row in range(height):
        for column in range(width):
            dx, dy = column + 0.5 - width / 2 - x, row + 0.5 - height / 2 - y
            u = (dx * cos + dy * sin) / zoom + width / 2
            v = (dy * cos - dx * sin) / zoom + height / 2
            if 0 <= u < width and 0 <= v < height:
                moved[row, column] = mask[int(v), int(u)]
    return moved


def box_in_pixels(box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return box.astype(float) * [shape[1], shape[0], shape[1], shape[0]]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_boxes_are_the_bounds_of_masks_moved_pixel_by_pixel(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(24, 60)), data.draw(st.integers(24, 60))
    left, top = data.draw(st.integers(0, width - 8)), data.draw(st.integers(0, height - 8))
    right = data.draw(st.integers(left + 6, width))
    bottom = data.draw(st.integers(top + 6, height))
    zoom = data.draw(st.floats(0.7, 1.5).map(lambda z: round(z * 4096) / 4096))
    # Quarter turns need no corner to be found between pixels; any angle is tested below.
    degrees = data.draw(st.sampled_from([0, 0, 90, -90, 180]))
    x, y = (data.draw(st.integers(-320, 320)) / 32 for _ in range(2))
    box = (np.array([[left, top, right, bottom]]) / [width, height, width, height]).astype("f4")
    moved, kept = moved_boxes(box, motion(zoom, degrees, x, y), (height, width))
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 1
    found = slow_mask(mask, zoom, degrees, kept.x[0] / 32, kept.y[0] / 32)
    rows, columns = np.nonzero(found)
    bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    # A pixel is in the mask if its centre is: half a pixel, 1/32 for rounding, and as much as
    # the rounded sines move a point 30 px away.
    assert np.abs(box_in_pixels(moved[0], (height, width)) - bounds).max() <= 0.5 + 0.07


@pytest.mark.parametrize("degrees", [7, -20, 45, 133])
def test_turned_boxes_are_the_bounds_of_large_masks(degrees: int) -> None:
    # The tip of a turned corner is narrower than a pixel: it may end up to a pixel further out.
    mask = np.zeros((80, 70), np.uint8)
    mask[30:45, 25:50] = 1
    box = np.array([[25 / 70, 30 / 80, 50 / 70, 45 / 80]], np.float32)
    moved, kept = moved_boxes(box, motion(1.1, degrees, 2.5, -3), (80, 70))
    found = slow_mask(mask, 1.1, degrees, kept.x[0] / 32, kept.y[0] / 32)
    rows, columns = np.nonzero(found)
    bounds = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    outwards = (box_in_pixels(moved[0], (80, 70)) - bounds) * [-1, -1, 1, 1]
    assert outwards.min() >= -0.55
    assert outwards.max() <= 1.5


def test_a_quarter_turn_of_a_box_by_hand() -> None:
    # On 100 x 100 about (50, 50), clockwise: (x, y) goes to (100 - y, x).
    box = np.array([[0.1, 0.2, 0.3, 0.6]], np.float32)
    moved, _ = moved_boxes(box, motion(1, 90), (100, 100))
    assert moved == pytest.approx(np.array([[0.4, 0.1, 0.8, 0.3]]), abs=4e-4)


def test_boxes_stay_inside_where_they_fit_and_fill_the_image_where_not() -> None:
    box = np.array([[0.7, 0.1, 0.9, 0.3]], np.float32)
    moved, kept = moved_boxes(box, motion(1, 0, x=50, y=-2), (100, 100))
    # 0.1 of room on the right is 10 px; upwards there is room for all of the 2 px.
    assert moved == pytest.approx(np.array([[0.8, 0.08, 1.0, 0.28]]), abs=4e-4)
    assert (kept.x[0], kept.y[0]) == (320, -64)
    large = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)
    moved, kept = moved_boxes(large, motion(1.5, 0, x=40, y=0), (100, 100))
    assert moved.tolist() == [[0, 0, 1, 1]]  # 150 px wide: it may go 25 px to the right
    assert kept.x[0] == pytest.approx(25 * 32, abs=1)


@pytest.mark.parametrize("shape", [(20, 31), (20, 31, 3)])
def test_nothing_moves_without_motion(shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (3, *shape), np.uint8)
    assert (moved_images(images, motion(n=3)) == images).all()
    boxes = RNG.random((3, 4), np.float32) * 0.1 + np.float32([0.1, 0.1, 0.7, 0.7])
    moved, _ = moved_boxes(boxes.astype(np.float32), motion(n=3), (320, 310))
    assert np.abs(moved - boxes).max() <= 0.5 / (32 * 310) + 1e-6


def test_whole_pixels_and_quarter_turns_move_pixels_as_they_are() -> None:
    images = RNG.integers(0, 256, (2, 21, 21), np.uint8)
    right = moved_images(images, motion(x=3, y=-2, n=2))
    assert (right[:, :-2, 3:] == images[:, 2:, :-3]).all()
    assert not right[:, -2:].any()
    assert not right[:, :, :3].any()
    assert (moved_images(images, motion(degrees=90, n=2)) == np.rot90(images, -1, (1, 2))).all()


def test_half_a_pixel_is_the_mean_of_two() -> None:
    images = np.array([[[10, 20, 41, 0]]], np.uint8)
    # (10 + 0) / 2, (20 + 10) / 2, (41 + 20) / 2 = 30.5 upwards, (0 + 41) / 2 = 20.5 upwards
    assert moved_images(images, motion(x=0.5)).tolist() == [[[5, 15, 31, 21]]]


def test_pixels_agree_with_the_formula() -> None:
    """A smooth image zoomed by 1.3 and turned by 20 degrees is the function at other places."""
    rows, columns = np.mgrid[:60, :50] + 0.5

    def shade(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 127 + 60 * np.sin(x / 5) + 60 * np.cos(y / 4)

    image = np.rint(shade(columns, rows)).astype(np.uint8)
    found = moved_images(image[None], motion(1.3, 20, 2, 1))[0].astype(float)
    cos, sin = math.cos(math.radians(20)), math.sin(math.radians(20))
    dx, dy = columns - 25 - 2, rows - 30 - 1
    u, v = (dx * cos + dy * sin) / 1.3 + 25, (dy * cos - dx * sin) / 1.3 + 30
    inside = (u > 1) & (u < 49) & (v > 1) & (v < 59)
    # Slopes of 12 and 15 a pixel times 1/32 pixel, half a level twice, and 15 / 4 / 8 of bending.
    assert np.abs(found - shade(u, v))[inside].max() < 2.5


def test_colours_move_together() -> None:
    images = RNG.integers(0, 256, (2, 18, 25, 3), np.uint8)
    found = moved_images(images, motion(0.8, -33, 1.5, 2.25, n=2))
    for channel in range(3):
        alone = moved_images(images[..., channel], motion(0.8, -33, 1.5, 2.25, n=2))
        assert (found[..., channel] == alone).all()
