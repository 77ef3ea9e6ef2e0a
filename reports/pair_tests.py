"""Tests of two contenders on the same images, and what would tell them apart.

One seed each: exact McNemar test for accuracy, paired bootstrap for means over images. They speak
of these two trained networks on other images. Several seeds each: seeds and images are both
counted as chance, and the answer is about the configurations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.distributions import coin_p_value, normal_quantile, student_quantile, student_tail
from reports.statistics import LEVEL, Estimate

POWER = 0.8
"""How sure a test is to find the smallest detectable difference (Cohen 1988, section 2.4)."""

MOST_SEEDS = 100
"""Further seeds that are looked at: who needs more should look for a larger difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The variances that stand behind a difference of two means.

    Attributes:
        seeds: variance over seeds of each contender's mean, its share of the images' included;
            () if a contender has one seed only.
        counts: seeds of each.
        images: variance of the mean difference over images, as endless seeds would leave it.
        n: number of images.
    """

    seeds: tuple[float, ...]
    counts: tuple[int, ...]
    images: float
    n: int

    def spread(self, more: int = 0) -> tuple[float, float]:
        """Return the standard error of the difference, and its degrees of freedom.

        After Welch (1947) and Satterthwaite (1946).

        Args:
            more: seeds that each contender gets beyond those it has.
        """
        parts = [v / (count + more) for v, count in zip(self.seeds, self.counts, strict=True)]
        freedoms = [count + more - 1 for count in self.counts]
        parts, freedoms = [*parts, self.images], [*freedoms, self.n - 1]
        variance = sum(parts)
        if variance == 0:
            return 0.0, math.inf
        rest = sum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
        return math.sqrt(variance), variance**2 / rest

    def detectable(self, *, alarms: float, more: int = 0) -> float:
        """Return the smallest true difference that a test finds with probability `POWER`, about.

        With 3 seeds it is found with 0.7 rather than 0.8, because the degrees of freedom are
        themselves an estimate (`tests/test_pair_tests.py` simulates it).

        Args:
            alarms: probability that the test sees a difference where none is.
            more: see `spread`.
        """
        return float(self._detectable([more], alarms)[0])

    def _detectable(self, more: Sequence[int], alarms: float) -> NDArray[np.float64]:
        errors, freedoms = np.array([self.spread(each) for each in more]).T
        quantiles = student_quantile([[1 - alarms / 2], [POWER]], freedoms)
        return np.asarray(errors * quantiles.sum(axis=0))

    def more_seeds(self, difference: float, *, alarms: float) -> int | None:
        """Return how many more seeds of each find a difference as large with probability `POWER`.

        Args:
            difference: that is there, if the one measured is the true one.
            alarms: see `detectable`.

        Returns:
            None if not even `MOST_SEEDS` do: then images are too few, or it is too small.
        """
        found = self._detectable(range(MOST_SEEDS + 1), alarms) <= abs(difference)
        return int(found.argmax()) if found.any() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """What a test says of two contenders, before other pairs are thought of.

    Attributes:
        difference: of the means, first minus second, with its 95 % interval.
        p_value: two-sided: how probable a difference as large were if there was none.
        method: name of the test.
        noise: what stands behind the difference.
    """

    difference: Estimate
    p_value: float
    method: str
    noise: Noise


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairTest:
    """Test whether two networks are right equally often (exact; McNemar 1947).

    Only images count that one of the two gets right. The interval is that of Bonett and Price
    (2012), which has a width also where they never differ.

    Args:
        first: bool `[n]`, whether it was right on each image.
        second: likewise.
    """
    n = first.size
    ahead, behind = int((first & ~second).sum()), int((second & ~first).sum())
    differ = ahead + behind
    p_value = coin_p_value(ahead, differ)
    # One more of each, among two more images: Laplace's estimate of both shares.
    up, down = (ahead + 1) / (n + 2), (behind + 1) / (n + 2)
    half = normal_quantile((1 + LEVEL) / 2) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    variance = (differ / n - ((ahead - behind) / n) ** 2) / n
    return PairTest(
        difference=Estimate(
            value=(ahead - behind) / n, low=max(-1.0, up - down - half),
            high=min(1.0, up - down + half), varied="images", n=n, method="Bonett-Price",
        ),
        p_value=p_value, method="exact McNemar test",
        noise=Noise(seeds=(), counts=(), images=variance, n=n),
    )  # fmt: skip


def bootstrap_test(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    resampled: NDArray[np.floating],
) -> PairTest:
    """Test whether two means over the same images are equal (Efron & Tibshirani 1993, ch. 16).

    Args:
        first: float `[n]`, one value for each image.
        second: likewise.
        resampled: float `[resamples]`, the difference of their means in each resample of images,
            the same resample for both, see `statistics.bootstrap_means`.
    """
    difference = np.asarray(first, np.float64) - second
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # The measured difference counts as one of the resamples: no p-value is 0.
    tail = min(np.count_nonzero(resampled <= 0), np.count_nonzero(resampled >= 0))
    p_value = min(1.0, 2 * (tail + 1) / (resampled.size + 1))
    return PairTest(
        difference=Estimate(
            value=float(difference.mean()), low=float(low), high=float(high), varied="images",
            n=difference.size, method="paired bootstrap",
        ),
        p_value=p_value, method="paired bootstrap",
        noise=Noise(
            seeds=(), counts=(), images=float(difference.var(ddof=1)) / difference.size,
            n=difference.size,
        ),
    )  # fmt: skip


def crossed_test(first: NDArray[np.floating], second: NDArray[np.floating]) -> PairTest:
    r"""Test whether two configurations are equal, with seeds and images both counted as chance.

    With the values x of one contender for its k seeds s and n images i,

        x_si = mean + seed_s + image_i + rest_si,

    and images shared by both, the variance of the difference of means is

        V = sum over both of var(seed means) / k + (var over images of the mean difference
            - sum over both of var(rest) / k) / n.

    Seed means hold a part of the rest already, hence its subtraction; it is estimated by two-way
    analysis of variance. A Student's t with the degrees of freedom of Welch (1947) and
    Satterthwaite (1946).

    Args:
        first: float `[seeds, n]` with at least 2 seeds.
        second: float `[other seeds, n]`, the same images, at least 2 seeds.
    """
    both = [np.asarray(each, np.float64) for each in (first, second)]
    n = both[0].shape[1]
    differences = both[0].mean(axis=0) - both[1].mean(axis=0)
    value = float(differences.mean())
    rest = sum(_rest(each) / len(each) for each in both)
    noise = Noise(
        seeds=tuple(float(each.mean(axis=1).var(ddof=1)) for each in both),
        counts=tuple(len(each) for each in both),
        images=max(0.0, float(differences.var(ddof=1)) - rest) / n,
        n=n,
    )
    error, freedom = noise.spread()
    method = "t-test, seeds and images crossed"
    if error == 0:
        same = Estimate(value=value, absent="all seeds and images differ by the same amount")
        return PairTest(difference=same, p_value=float(value == 0), method=method, noise=noise)
    half = float(student_quantile((1 + LEVEL) / 2, freedom)) * error
    return PairTest(
        difference=Estimate(
            value=value, low=value - half, high=value + half, varied="seeds and images",
            n=min(noise.counts), method="crossed t",
        ),
        p_value=2 * student_tail(abs(value) / error, freedom), method=method, noise=noise,
    )  # fmt: skip


def _rest(values: NDArray[np.float64]) -> float:
    """Return the variance of what neither seed nor image explains; values are `[seeds, n]`."""
    seeds, n = values.shape
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum() / ((seeds - 1) * (n - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values as they count where several tests are made at once (Holm 1979).

    Whoever takes each below 5 % for true errs once with at most 5 %, whatever the tests share.

    Args:
        p_values: of single tests, in any order.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted
