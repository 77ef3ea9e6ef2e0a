"""Ink over a background, by hand and against the formula in fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.blend import blend


@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 100))
def test_pixels_are_the_formula_rounded(under: int, coverage: int, percent: int) -> None:
    way = Fraction(255 - under) * Fraction(coverage, 255) * Fraction(percent, 100)
    found = blend(np.uint8([under]), np.uint8([coverage]), np.array([percent]))
    assert found.dtype == np.uint8
    assert abs(Fraction(int(found[0])) - under - way) <= Fraction(1, 2)


def test_ink_at_full_contrast_on_black_is_its_coverage() -> None:
    coverage = np.arange(256, dtype=np.uint8)
    assert (blend(np.zeros(256, np.uint8), coverage, np.full(256, 100)) == coverage).all()
