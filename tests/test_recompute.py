"""The second way to each statistic against SciPy and against the first way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import pair_tests, recompute
from reports.statistics import bootstrap_means, share_interval, t_interval


def test_intervals_are_those_of_the_report() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(7).tolist()
    ours, theirs = recompute.over_seeds(values), t_interval(values, varied="seeds", bounds=(0, 1))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    for hits in (rng.random(50) < 0.7, np.ones(50, bool)):
        one = recompute.over_images(hits.astype(float), share=True)
        other = share_interval(hits)
        assert (one.value, one.low, one.high) == pytest.approx(
            (other.value, other.low, other.high)
        )
    assert recompute.over_seeds([0.5]).low is None
    assert recompute.over_seeds([0.5, 0.5]).low is None


def same(ours: recompute.Test, theirs: pair_tests.PairTest) -> None:
    difference = theirs.difference
    assert ours.p_value == pytest.approx(theirs.p_value, rel=1e-8)
    assert ours.difference.value == pytest.approx(difference.value)
    assert (ours.difference.low, ours.difference.high) == (
        pytest.approx(difference.low), pytest.approx(difference.high),
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_mcnemar_is_that_of_the_report(share: float) -> None:
    rng = np.random.default_rng(1)
    first = rng.random(500) < 0.9
    second = np.where(rng.random(500) < share, ~first, first)
    for a, b in ((first, second), (second, first)):
        same(recompute.mcnemar(a.astype(float), b.astype(float)), pair_tests.mcnemar(a, b))


def test_crossed_is_that_of_the_report() -> None:
    rng = np.random.default_rng(2)
    for seeds, spread in (((3, 3), 0.02), ((2, 5), 0.2), ((4, 2), 0.0)):
        images = rng.random(300)
        first, second = (
            images + rng.normal(0, spread, (k, 1)) + rng.normal(0, 0.1, (k, 300)) for k in seeds
        )
        same(recompute.crossed(first, second), pair_tests.crossed_test(first, second))
    still = np.ones((2, 9))
    same(recompute.crossed(still, still), pair_tests.crossed_test(still, still))


def test_the_bootstrap_draws_what_the_report_drew() -> None:
    rng = np.random.default_rng(3)
    columns = {"a": rng.random(200), "b": rng.random(200) + 0.02}
    means = recompute.resampled_means(columns)
    theirs = bootstrap_means(np.stack(list(columns.values()), axis=1))
    assert means["a"] == pytest.approx(theirs[:, 0])
    same(
        recompute.bootstrapped(*columns.values(), *means.values()),
        pair_tests.bootstrap_test(*columns.values(), theirs[:, 0] - theirs[:, 1]),
    )


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_that_of_the_report(p_values: list[float]) -> None:
    assert recompute.corrected(p_values) == pytest.approx(pair_tests.holm(p_values))
