"""Student's t against SciPy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.students_t import t_quantile, t_tail


@given(st.floats(0, 60), st.floats(0.9, 20_000))
def test_the_tail_of_t_is_that_of_scipy(x: float, freedom: float) -> None:
    theirs = float(stats.t.sf(x, freedom))
    assert t_tail(x, freedom) == pytest.approx(theirs, rel=1e-8, abs=1e-15)


@given(st.floats(0.6, 0.9999), st.floats(0.9, 20_000))
def test_quantiles_of_t_are_those_of_scipy(p: float, freedom: float) -> None:
    theirs = float(stats.t.ppf(p, freedom))
    assert t_quantile(p, freedom) == pytest.approx(theirs, rel=1e-8)
