import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.boxes import iou
from harness.letterbox import letterboxed, place, to_canvas, to_source

sides = st.integers(1, 5000)
canvases = st.integers(8, 512)
fractions = st.tuples(*[st.floats(0, 1)] * 4)


def boxes_in(width, height, fraction):
    x, y = sorted(fraction[:2]), sorted(fraction[2:])
    return np.array([[x[0] * width, y[0] * height, x[1] * width, y[1] * height]])


def test_by_hand():
    # 200 x 100 on 50: 50 x 25, below 12 rows of bar; both scales are 1/4.
    placed = place(np.array([[200, 100]]), 50)
    assert placed.scaled_px.tolist() == [[50, 25]]
    assert placed.corner_px.tolist() == [[0, 12]]
    # x: 20/4/50, 120/4/50; y: (12 + 10/4)/50, (12 + 60/4)/50
    canvas = to_canvas(np.array([[20.0, 10, 120, 60]]), placed)
    np.testing.assert_allclose(canvas, [[0.1, 0.29, 0.6, 0.54]], rtol=1e-15)


def test_each_axis_has_the_scale_of_its_rounding():
    # 3 x 2 on 10: 10 x 6.67 is rounded to 7, so y is scaled by 7/2 and lies behind 1 row.
    placed = place(np.array([[3, 2], [2, 3], [5000, 1]]), 10)
    assert placed.scaled_px.tolist() == [[10, 7], [7, 10], [10, 1]]
    assert placed.corner_px.tolist() == [[0, 1], [1, 0], [0, 4]]
    whole = np.array([[0.0, 0, 3, 2], [0, 0, 2, 3], [0, 0, 5000, 1]])
    expected = [[0, 0.1, 1, 0.8], [0.1, 0, 0.8, 1], [0, 0.4, 1, 0.5]]
    np.testing.assert_allclose(to_canvas(whole, placed), expected, rtol=1e-15)


@given(sides, sides, canvases, fractions)
def test_boxes_come_back_and_stay_on_the_canvas(width, height, canvas_px, fraction):
    placed = place(np.array([[width, height]]), canvas_px)
    assert placed.scaled_px.max() == canvas_px
    assert placed.scaled_px.min() >= 1
    boxes = boxes_in(width, height, fraction)
    canvas = to_canvas(boxes, placed)
    # A few roundings of 2^-53 each.
    assert canvas.min() >= 0
    assert canvas.max() <= 1 + 1e-15
    back = to_source(canvas, placed)
    np.testing.assert_allclose(back, boxes, rtol=0, atol=max(width, height) * canvas_px * 1e-15)


@given(sides, sides, canvases, fractions, fractions)
def test_intersection_over_union_is_that_of_the_photo(width, height, canvas_px, one, other):
    placed = place(np.array([[width, height]]), canvas_px)
    a, b = boxes_in(width, height, one), boxes_in(width, height, other)
    sides_px = np.concatenate([a[0, 2:] - a[0, :2], b[0, 2:] - b[0, :2]])
    if sides_px.min() < 1e-3:
        return  # a box of no area: its rounded sides are noise
    there = iou(to_canvas(a, placed), to_canvas(b, placed))
    np.testing.assert_allclose(there, iou(a, b), atol=1e-6)


@pytest.mark.parametrize(
    ("width", "height"), [(200, 100), (100, 200), (30, 20), (64, 64), (333, 77)]
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_lie_where_the_box_says(width, height, mode):
    white = Image.new(mode, (width, height))
    box = (width // 5, height // 4, width // 2, height * 4 // 5)
    white.paste(255 if mode == "L" else (255, 255, 255), box)
    canvas = letterboxed(white, 64)
    assert canvas.dtype == np.uint8
    assert canvas.shape == ((64, 64) if mode == "L" else (64, 64, 3))
    grey = canvas if mode == "L" else canvas[..., 0]
    rows, columns = np.nonzero(grey > 127)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    placed = place(np.array([[width, height]]), 64)
    (expected,) = to_canvas(np.array([box], np.float64), placed) * 64
    # Half of the light shows an edge to half a pixel, and antialiasing of a step adds little.
    np.testing.assert_allclose(seen, expected, atol=1)


def test_bars_are_black_and_a_fitting_photo_is_left_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    assert (letterboxed(Image.fromarray(pixels), 40) == pixels).all()
    canvas = letterboxed(Image.new("L", (40, 10), 255), 40)
    assert (canvas[15:25] == 255).all()
    assert not canvas[:15].any()
    assert not canvas[25:].any()


def test_reduction_does_not_alias():
    # Stripes one pixel wide become their mean, 127.5, not black or white.
    stripes = np.tile(np.array([0, 255], np.uint8), (160, 80))
    assert np.abs(letterboxed(Image.fromarray(stripes), 16).astype(float) - 127.5).max() < 20
