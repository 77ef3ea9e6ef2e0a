"""Scaled and turned digits, against a slow bilinear interpolation in floating point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.resample import Inked, halved, inked

RNG = np.random.default_rng(3)
DIGITS = RNG.integers(0, 256, (4, 28, 28), np.uint8)


def tiles(found: Inked) -> list[np.ndarray]:
    """Return each digit as an image, black where it lists no pixel."""
    images = []
    for side, start, count in zip(found.side_px, found.starts, found.counts, strict=True):
        part = slice(start, start + count)
        image = np.zeros((side, side), np.uint8)
        image[found.y[part], found.x[part]] = found.coverage[part]
        images.append(image)
    return images


def slow(digit: np.ndarray, side: int, degrees: int) -> np.ndarray:
    """Look up each pixel's centre in the digit, by the formula of a rotation, in doubles."""
    angle, m = math.radians(degrees), len(digit)
    reach = side * (abs(math.cos(angle)) + abs(math.sin(angle)))
    room = math.ceil(reach - 1e-9)
    padded = np.pad(digit.astype(float), 2)
    image = np.zeros((room, room))
    for y in range(room):
        for x in range(room):
            dx, dy = x + 0.5 - room / 2, y + 0.5 - room / 2
            u = (dx * math.cos(angle) + dy * math.sin(angle)) * m / side + m / 2 - 0.5
            v = (dy * math.cos(angle) - dx * math.sin(angle)) * m / side + m / 2 - 0.5
            if -1 < u < m and -1 < v < m:
                column, row = math.floor(u), math.floor(v)
                fx, fy = u - column, v - row
                a, b = padded[row + 2 : row + 4, column + 2 : column + 4] @ [1 - fx, fx]
                image[y, x] = a * (1 - fy) + b * fy
    return image


def test_a_digit_in_its_own_size_stays_as_it_is() -> None:
    for degrees, turns in ((0, 0), (90, -1), (180, 2), (-90, 1)):  # np.rot90 counts leftwards
        found = tiles(inked(DIGITS, [28] * 4, [degrees] * 4))
        assert (np.stack(found) == np.rot90(DIGITS, turns, axes=(1, 2))).all()


@pytest.mark.parametrize(("side", "degrees"), [(28, 17), (14, 0), (42, -30), (37, 5), (15, 45)])
def test_pixels_agree_with_the_formula(side: int, degrees: int) -> None:
    # Smooth digits: places are rounded to 1/16 pixel, and neighbours differ by at most 40.
    rows, columns = np.mgrid[:28, :28]
    digit = (127 + 60 * np.sin(rows / 3) + 60 * np.cos(columns / 3)).astype(np.uint8)
    found = tiles(inked(digit[None], [side], [degrees]))[0].astype(float)
    expected = slow(digit, side, degrees)
    assert found.shape == expected.shape
    # 1/32 pixel along both axes, where the digit ends at black: 2 * 255 / 32 = 16.
    assert np.abs(found - expected).max() <= 16
    assert np.abs(found - expected).mean() < 1.5


def test_small_digits_are_halved_first() -> None:
    # 28 / 8 > 2: the mean of 2 x 2, then 14 to 8.
    direct = tiles(inked(DIGITS, [8] * 4, [0] * 4))
    twice = tiles(inked(halved(DIGITS), [8] * 4, [0] * 4))
    assert (np.stack(direct) == np.stack(twice)).all()
    # (1 + 2 + 3 + 5 + 2) // 4 = 3, the last row and column left out.
    small = np.array([[[1, 2, 9], [3, 5, 9], [9, 9, 9]]], np.uint8)
    assert halved(small).tolist() == [[[3]]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(8, 60), st.integers(-180, 180)),
                min_size=1, max_size=5))  # fmt: skip
def test_a_digit_does_not_depend_on_its_company(wanted: list[tuple[int, int, int]]) -> None:
    which, sides, degrees = zip(*wanted, strict=True)
    together = tiles(inked(DIGITS[list(which)], sides, degrees))
    for image, (digit, side, angle) in zip(together, wanted, strict=True):
        assert (image == tiles(inked(DIGITS[[digit]], [side], [angle]))[0]).all()
