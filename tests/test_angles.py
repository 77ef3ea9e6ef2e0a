"""Sines in fixed point, against the C library's."""

from __future__ import annotations

import math

import pytest

from harness.angles import ONE, cosine, sine, turned_px


def test_sines_and_cosines_are_the_nearest_multiples() -> None:
    for degrees in range(-720, 721):
        assert sine(degrees) == round(math.sin(math.radians(degrees)) * ONE)
        assert cosine(degrees) == round(math.cos(math.radians(degrees)) * ONE)


@pytest.mark.parametrize(
    # 28 (1 + 0) = 28, 28 sqrt(2) = 39.6, 10 (0.866 + 0.5) = 13.7, and -30 degrees are as wide.
    ("side", "degrees", "px"),
    [(28, 0, 28), (28, 90, 28), (28, 45, 40), (10, 30, 14), (10, -30, 14), (10, 150, 14)],
)
def test_sides_around_turned_squares_by_hand(side: int, degrees: int, px: int) -> None:
    assert turned_px(side, degrees) == px
