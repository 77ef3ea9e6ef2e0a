"""Intervals against hand arithmetic, scipy, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics import (
    Estimate,
    bootstrap_means,
    share_interval,
    t_interval,
)


def test_t_interval_by_hand() -> None:
    # mean 4; deviations -2, 0, 2; variance 8 / 2 = 4; standard error 2 / sqrt(3);
    # t(0.975, 2 degrees of freedom) = 4.302653
    estimate = t_interval([2.0, 4.0, 6.0], varied="seeds")
    half = 4.302653 * 2 / math.sqrt(3)
    assert estimate.value == 4
    assert estimate.low == pytest.approx(4 - half, rel=1e-6)  # t has 7 digits above
    assert estimate.high == pytest.approx(4 + half, rel=1e-6)
    assert (estimate.varied, estimate.n) == ("seeds", 3)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_t_interval_is_that_of_scipy(values: list[float]) -> None:
    estimate = t_interval(values, varied="seeds")
    if np.ptp(values) == 0:
        assert estimate.low is None
        assert "same value" in str(estimate.absent)
        return
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert estimate.low == pytest.approx(theirs.low, rel=1e-9, abs=1e-9)
    assert estimate.high == pytest.approx(theirs.high, rel=1e-9, abs=1e-9)


def test_t_interval_stays_inside_what_the_quantity_can_be() -> None:
    estimate = t_interval([0.90, 0.99], varied="seeds", bounds=(0, 1))
    assert estimate.high == 1.0


def test_one_value_has_no_interval_and_says_why() -> None:
    estimate = t_interval([0.5], varied="seeds")
    assert (estimate.value, estimate.low) == (0.5, None)
    assert estimate.absent == "one seed has no spread"
    assert t_interval([], varied="seeds").value is None


def test_wilson_interval_by_hand() -> None:
    # 8 of 10, z = 1.959964: centre (0.8 + z^2/20) / (1 + z^2/10),
    # half-width z / (1 + z^2/10) * sqrt(0.8 * 0.2 / 10 + z^2 / 400)
    z = 1.959964
    centre = (0.8 + z**2 / 20) / (1 + z**2 / 10)
    half = z / (1 + z**2 / 10) * math.sqrt(0.016 + z**2 / 400)
    estimate = share_interval(np.array([True] * 8 + [False] * 2))
    assert estimate.low == pytest.approx(centre - half, abs=1e-6)
    assert estimate.high == pytest.approx(centre + half, abs=1e-6)


def test_share_has_a_width_when_all_hit() -> None:
    estimate = share_interval(np.ones(100, bool))
    assert estimate.low is not None
    assert 0.95 < estimate.low < 1.0


def test_bootstrap_means_have_the_known_spread() -> None:
    data = np.random.default_rng(0).exponential(size=(400, 1))
    means = bootstrap_means(data, resamples=4000)
    # The bootstrap standard error of a mean is s / sqrt(n) with s over n; 4,000 draws know a
    # standard deviation to 1 / sqrt(8,000) = 1.1 %.
    assert means.std() == pytest.approx(data.std() / 20, rel=0.05)
    assert means.mean() == pytest.approx(data.mean(), abs=4 * data.std() / 20 / math.sqrt(4000))


def test_bootstrap_pairs_the_columns() -> None:
    data = np.random.default_rng(0).normal(size=100)
    means = bootstrap_means(np.stack([data, data + 1], axis=1), resamples=50)
    assert means[:, 1] - means[:, 0] == pytest.approx(np.ones(50))


def test_bootstrap_is_repeatable() -> None:
    data = np.random.default_rng(0).normal(size=(50, 1))
    assert np.array_equal(
        bootstrap_means(data, resamples=700), bootstrap_means(data, resamples=700)
    )


def test_coverage_of_the_t_interval() -> None:
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(1000):
        e = t_interval(rng.normal(0.5, 0.1, 3), varied="seeds")
        assert e.low is not None
        assert e.high is not None
        inside += e.low <= 0.5 <= e.high
    assert 950 - 21 <= inside <= 950 + 21  # three standard errors of 7


def test_an_estimate_without_value_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        Estimate(value=None)
    with pytest.raises(ValueError, match="two ends"):
        Estimate(value=1.0, low=0.0)
