"""Tests of pairs: by hand, against scipy and statsmodels' definitions, and in simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from reports.pair_tests import (
    MOST_SEEDS,
    Noise,
    PairTest,
    bootstrap_test,
    crossed_test,
    holm,
    mcnemar,
)
from reports.statistics import bootstrap_means

SIMULATIONS = 1000
ALARMS = 50
"""Expected among them at 5 %."""

ERROR = math.sqrt(SIMULATIONS * 0.05 * 0.95)
"""Standard error of a count of events that have probability 5 %: 6.9."""


def bootstrapped(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairTest:
    means = bootstrap_means(np.stack([first, second], axis=1), resamples=600)
    return bootstrap_test(first, second, means[:, 0] - means[:, 1])


def test_mcnemar_by_hand() -> None:
    # 8 images only the first has right, 2 only the second: P(X <= 2 or X >= 8) with X of
    # binomial(10, 1/2) is 2 (1 + 10 + 45) / 1024.
    first = np.array([True] * 8 + [False] * 2 + [True] * 80 + [False] * 10)
    second = np.array([False] * 8 + [True] * 2 + [True] * 80 + [False] * 10)
    found = mcnemar(first, second)
    assert found.p_value == pytest.approx(2 * 56 / 1024)
    assert found.difference.value == pytest.approx(0.06)
    # Bonett and Price: shares 9/102 and 3/102.
    middle, half = 6 / 102, 1.959964 * math.sqrt((12 / 102 - (6 / 102) ** 2) / 102)
    assert found.difference.low == pytest.approx(middle - half)
    assert found.difference.high == pytest.approx(middle + half)


def test_networks_that_never_differ_are_not_separated_but_have_an_interval() -> None:
    right = np.array([True] * 95 + [False] * 5)
    found = mcnemar(right, right)
    assert (found.p_value, found.difference.value) == (1.0, 0.0)
    assert found.difference.low is not None
    assert -0.06 < found.difference.low < -0.01


def test_a_p_value_of_the_bootstrap_counts_both_tails_and_is_never_zero() -> None:
    first, second = np.array([1.0, 0.5, 0.75]), np.array([0.5, 0.5, 0.5])
    resampled = np.array([-0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert bootstrap_test(first, second, resampled).p_value == pytest.approx(2 * 2 / 10)
    assert bootstrap_test(first, second, np.full(99, 0.25)).p_value == pytest.approx(2 / 100)
    assert bootstrap_test(first, second, np.zeros(99)).p_value == 1.0


def test_the_bootstrap_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.6, 0.2, 300), rng.normal(0.5, 0.2, 300)
    means = bootstrap_means(np.stack([a, b], axis=1), resamples=4000)
    ours = bootstrap_test(a, b, means[:, 0] - means[:, 1]).difference
    theirs = stats.bootstrap(
        (a - b,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    # Both are random: a 2.5 % quantile of 4,000 draws has a standard error of about
    # 0.04 standard errors of the mean (0.016), so 0.003 is more than four of them.
    assert ours.low == pytest.approx(theirs.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.high, abs=0.003)


def test_crossed_by_hand() -> None:
    # Seed means of a: 2, 4 (variance 2, over 2 seeds: 1), of b: 1, 1 (variance 0); the image
    # differences (2, 2) have variance 0, and neither has a rest.
    # Total variance 1, all of it from one degree of freedom: t(0.975, 1) = 12.7062, and
    # p = 2 P(t_1 > 2) = 1 - 2 atan(2) / pi.
    a = np.array([[2.5, 1.5], [4.5, 3.5]])
    b = np.array([[1.5, 0.5], [1.5, 0.5]])
    found = crossed_test(a, b)
    assert found.difference.value == 2
    assert found.difference.low == pytest.approx(2 - 12.7062, abs=1e-4)
    assert found.p_value == pytest.approx(1 - 2 * math.atan(2) / math.pi)
    assert found.difference.varied == "seeds and images"


def test_crossed_takes_the_rest_once() -> None:
    # a = seeds (0, 0) + images (0, 0) + rest (1, -1 / -1, 1): variance of its rest
    # 4 / ((2 - 1) (2 - 1)) = 4; seed means and image means are all 0, b is 0.
    # Without subtraction nothing would be wrong here: the images' part stays at 0, not below.
    a = np.array([[1.0, -1.0], [-1.0, 1.0]])
    noise = crossed_test(a, np.zeros((2, 2))).noise
    assert noise.seeds == (0.0, 0.0)
    assert noise.images == 0.0
    # b' = images (0, 6) instead: differences (0, -6), variance 18, less 4 / 2, over 2 images.
    noise = crossed_test(a, np.array([[0.0, 6.0], [0.0, 6.0]])).noise
    assert noise.images == pytest.approx((18 - 2) / 2)


def test_crossed_with_still_seeds_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(40), rng.random(40)
    found = crossed_test(np.stack([a, a]), np.stack([b, b]))
    theirs = stats.ttest_rel(a, b)
    ends = theirs.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((ends.low, ends.high))
    assert found.p_value == pytest.approx(theirs.pvalue)


def test_crossed_with_still_images_is_welchs_t_test() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random(4), rng.random(6)
    found = crossed_test(np.tile(a[:, None], 50), np.tile(b[:, None], 50))
    assert found.p_value == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_no_spread_at_all_is_said() -> None:
    same = crossed_test(np.ones((2, 5)), np.ones((3, 5)))
    assert (same.p_value, same.difference.value, same.difference.low) == (1.0, 0.0, None)
    other = crossed_test(np.ones((2, 5)), np.zeros((3, 5)))
    assert (other.p_value, other.difference.value) == (0.0, 1.0)


def seeds_and_images(rng: np.random.Generator, images: int = 200, seeds: int = 3) -> np.ndarray:
    """Return two contenders of equal quality: seeds, images and the rest of both vary."""
    shared = rng.normal(0, 0.3, images)
    return np.stack(
        [
            shared + rng.normal(0, 0.02, (seeds, 1)) + rng.normal(0, 0.1, images)
            + rng.normal(0, 0.2, (seeds, images))
            for _ in "ab"
        ]
    )  # fmt: skip


def test_crossed_errs_in_5_percent_and_covers_95() -> None:
    rng = np.random.default_rng(7)
    found = [crossed_test(*seeds_and_images(rng)) for _ in range(SIMULATIONS)]
    alarms = sum(each.p_value <= 0.05 for each in found)
    missed = sum(each.difference.excludes_zero for each in found)
    assert alarms == missed
    assert abs(alarms - ALARMS) <= 3 * ERROR


def scores(
    rng: np.random.Generator, images: int, *, better: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of two networks on images that are hard or easy for both."""
    easy = rng.beta(8, 2, images)
    wrong = rng.random((2, images)) < 0.2 - 0.15 * easy - np.array([[better], [0.0]])
    values = np.clip(easy + rng.normal(0, 0.05, (2, images)), 0, 1)
    first, second = np.where(wrong, 0.0, values)
    return first, second


def test_the_bootstrap_errs_in_5_percent_and_covers_95() -> None:
    rng = np.random.default_rng(3)
    found = [bootstrapped(*scores(rng, 200)) for _ in range(SIMULATIONS)]
    alarms = sum(each.p_value <= 0.05 for each in found)
    missed = sum(each.difference.excludes_zero for each in found)
    assert abs(alarms - ALARMS) <= 3 * ERROR
    assert abs(missed - ALARMS) <= 3 * ERROR


def both_right(
    rng: np.random.Generator, images: int, *, better: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    first, second = scores(rng, images, better=better)
    return first > 0, second > 0


def test_mcnemar_errs_in_at_most_5_percent_and_its_interval_covers_95() -> None:
    rng = np.random.default_rng(4)
    found = [mcnemar(*both_right(rng, 1000)) for _ in range(SIMULATIONS)]
    alarms = sum(each.p_value <= 0.05 for each in found)
    missed = sum(each.difference.excludes_zero for each in found)
    # An exact test of few images has few levels to choose from, and takes one below 5 %.
    assert 0.4 * ALARMS <= alarms <= ALARMS + 3 * ERROR
    assert abs(missed - ALARMS) <= 3 * ERROR


def test_corrected_tests_of_many_pairs_err_at_once_in_5_percent_at_most() -> None:
    rng = np.random.default_rng(5)
    families = 0
    for _ in range(SIMULATIONS):
        # Six contenders alike: 15 pairs, which share contenders and images.
        values = rng.normal(0, 0.3, 100) + rng.normal(0, 0.2, (6, 3, 100))
        values += rng.normal(0, 0.02, (6, 3, 1))
        pairs = [(a, b) for a in range(6) for b in range(a)]
        p_values = [crossed_test(values[a], values[b]).p_value for a, b in pairs]
        families += min(holm(p_values)) <= 0.05
    assert families <= ALARMS + 3 * ERROR


def power(found: Callable[[], float]) -> int:
    return sum(found() <= 0.05 for _ in range(300))


def test_paired_tests_find_more_than_unpaired_ones() -> None:
    rng = np.random.default_rng(6)

    def paired() -> float:
        return bootstrapped(*scores(rng, 400, better=0.03)).p_value

    def unpaired() -> float:
        return float(stats.ttest_ind(*scores(rng, 400, better=0.03), equal_var=False).pvalue)

    ours, theirs = power(paired), power(unpaired)
    # Counts of 300: their difference has a standard error of sqrt(300 / 2) = 12 at most.
    assert ours > theirs + 3 * 12

    def paired_shares() -> float:
        return mcnemar(*both_right(rng, 2000, better=0.015)).p_value

    def unpaired_shares() -> float:
        first, second = both_right(rng, 2000, better=0.015)
        hits = [int(first.sum()), int(second.sum())]
        return float(stats.fisher_exact([hits, [2000 - hit for hit in hits]]).pvalue)

    assert power(paired_shares) >= power(unpaired_shares)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.65), (10, 0.8)])
def test_the_detectable_difference_is_found_with_the_stated_power(
    seeds: int, least: float
) -> None:
    rng = np.random.default_rng(8)
    # True variances of `seeds_and_images`: seed means vary by 0.02^2 + 0.2^2 / 200, images by
    # 2 x 0.1^2. With 3 seeds the degrees of freedom are guessed too low now and then.
    each = 0.02**2 + 0.2**2 / 200
    truth = Noise(seeds=(each, each), counts=(seeds, seeds), images=2 * 0.1**2 / 200, n=200)
    shift = truth.detectable(alarms=0.05)

    def test() -> float:
        first, second = seeds_and_images(rng, seeds=seeds)
        return crossed_test(first + shift, second).p_value

    error = math.sqrt(300 * 0.8 * 0.2)
    assert 300 * least - 3 * error <= power(test) <= 240 + 3 * error


def test_more_seeds_by_hand() -> None:
    # Images do not matter; variances of 1 for each seed. With endless degrees of freedom a
    # difference of 1 needs (1.96 + 0.84)^2 x 2 = 15.7 seeds each, with those of t one more.
    noise = Noise(seeds=(1.0, 1.0), counts=(2, 2), images=0.0, n=10_000)
    assert noise.more_seeds(1.0, alarms=0.05) == 15
    assert noise.more_seeds(-1.0, alarms=0.05) == 15
    assert noise.more_seeds(10.0, alarms=0.05) == 0
    assert noise.more_seeds(0.01, alarms=0.05) is None
    theirs = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert noise.detectable(alarms=0.05, more=MOST_SEEDS - 2) == pytest.approx(
        theirs * math.sqrt(2 / MOST_SEEDS), rel=0.01
    )


def test_no_number_of_seeds_helps_where_images_are_too_few() -> None:
    noise = Noise(seeds=(1e-9, 1e-9), counts=(3, 3), images=1.0, n=100)
    assert noise.more_seeds(1.0, alarms=0.05) is None


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3 = 0.06, 0.03 x 2 = 0.06, 0.5 x 1.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    for single, corrected in zip(p_values, holm(p_values), strict=True):
        assert single <= corrected <= min(1.0, single * len(p_values))
