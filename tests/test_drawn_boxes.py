"""Boxes drawn into pictures: where they are, in which size, and never outside."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from harness.drawn_boxes import BOX_COLOUR, drawn
from reports.style import PREDICTED_BOX


def orange(image: Image.Image) -> np.ndarray:
    return np.all(np.asarray(image) == BOX_COLOUR, axis=2)


def test_the_colour_is_that_of_reports() -> None:
    assert "#{:02X}{:02X}{:02X}".format(*BOX_COLOUR) == PREDICTED_BOX


def test_a_large_picture_keeps_its_pixels() -> None:
    before = Image.new("RGB", (600, 500), (9, 9, 9))
    after = drawn(before, (100, 200, 300, 400), "7  99 %")
    assert after.size == before.size
    assert before.getpixel((100, 300)) == (9, 9, 9), "the picture that came is left alone"
    assert after.getpixel((200, 300)) == (9, 9, 9), "inside of the box nothing is drawn"
    for point in ((100, 300), (300, 300), (200, 200), (200, 400)):
        assert after.getpixel(point) == BOX_COLOUR
    rows, columns = np.nonzero(orange(after))
    assert (rows.max(), columns.min(), columns.max()) == (400, 100, 300)
    assert 150 < rows.min() < 200, "the label stands above the box"


def test_a_small_one_is_enlarged_by_a_whole_factor_with_its_box() -> None:
    after = drawn(Image.new("RGB", (75, 60)), (10, 30, 38, 58), "7")
    assert after.size == (75 * 7, 60 * 7)
    rows, columns = np.nonzero(orange(after))
    assert (rows.max(), columns.min(), columns.max()) == (58 * 7, 70, 38 * 7)


@pytest.mark.parametrize(
    "box",
    [(-50, -50, 700, 700), (0, 0, 20, 20), (590, 0, 640, 40), (300, 300, 200, 200)],
)
def test_the_label_is_always_inside(box: tuple[float, float, float, float]) -> None:
    size = (600, 600)
    with_label = orange(drawn(Image.new("RGB", size), box, "ankle boot  98 %"))
    ink = orange(drawn(Image.new("RGB", size), box, ""))
    assert with_label.sum() > ink.sum() + 1000, "a label of some size is to be seen"
