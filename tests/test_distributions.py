"""What reports compute with `scipy.special` is what `scipy.stats` and statsmodels call it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports.distributions import (
    coin_p_value,
    normal_quantile,
    student_quantile,
    student_tail,
    wilson_interval,
)


@pytest.mark.parametrize("probability", [0.005, 0.2, 0.5, 0.8, 0.975, 0.9999])
def test_quantiles(probability: float) -> None:
    freedoms = np.array([1, 1.5, 2, 7.25, 30, 9999, 1e6])
    expected = stats.t.ppf(probability, freedoms)
    assert student_quantile(probability, freedoms) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert normal_quantile(probability) == pytest.approx(stats.norm.ppf(probability), abs=1e-12)
    endless = float(student_quantile(probability, math.inf))
    assert endless == pytest.approx(normal_quantile(probability), abs=1e-12)


@pytest.mark.parametrize("freedom", [1, 2.5, 40, 9999])
def test_tails(freedom: float) -> None:
    for value in (0.0, 0.3, 2.0, 12.0):
        expected = stats.t.sf(value, freedom)
        assert student_tail(value, freedom) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 301])
def test_a_coin(n: int) -> None:
    assert coin_p_value(0, 0) == 1.0
    for hits in range(n + 1):
        expected = stats.binomtest(hits, n, 0.5).pvalue
        assert coin_p_value(hits, n) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 40, 10_000])
def test_wilsons_interval(n: int) -> None:
    for hits in {0, 1, n // 3, n}:
        for level in (0.5, 0.95):
            test = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
            found = wilson_interval(hits, n, level)
            assert found == pytest.approx((test.low, test.high), abs=1e-12)
            assert 0 <= found[0] < found[1] <= 1
