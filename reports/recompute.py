"""The statistics of a report once more, from predictions alone: a second, independent way.

Only NumPy and the standard library, and nothing of the modules that wrote the report: what both
ways agree on does not hang on a mistake of one, nor on a release of SciPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.students_t import t_quantile, t_tail

Values = NDArray[np.float64]
Key = TypeVar("Key")

_RESAMPLES, _CHUNK, _SEED = 10_000, 500, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval; no ends where there is no spread."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Difference of two means, and how probable one as large were if there was none."""

    difference: Interval
    p_value: float


def outcomes(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Values]:
    """Return measure -> one value for each image.

    Args:
        arrays: `labels` `[n]`, `probabilities` `[n, classes]`, `boxes` and `predicted_boxes`
            `[n, 4]` as x_min, y_min, x_max, y_max.
    """
    true, guess = (np.asarray(arrays[k], np.float64) for k in ("boxes", "predicted_boxes"))
    wide = np.minimum(true[:, 2], guess[:, 2]) - np.maximum(true[:, 0], guess[:, 0])
    high = np.minimum(true[:, 3], guess[:, 3]) - np.maximum(true[:, 1], guess[:, 1])
    common = np.maximum(wide, 0) * np.maximum(high, 0)
    both = _area(true) + _area(guess) - common
    iou = np.where(both > 0, common / np.where(both > 0, both, 1), 0.0)
    right = np.argmax(arrays["probabilities"], axis=1) == arrays["labels"]
    return {
        "score": iou * right,
        "accuracy": right.astype(np.float64),
        "mean_iou": iou,
        "localization_accuracy": (right & (iou >= 0.5)).astype(np.float64),
    }


def _area(boxes: Values) -> Values:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float64)


def over_seeds(values: Sequence[float], *, most: float = 1.0) -> Interval:
    """Return the mean of values from 0 to `most` with Student's interval."""
    data = np.asarray(values, np.float64)
    mean = float(data.mean())
    if len(data) < 2 or np.ptp(data) == 0:
        return Interval(value=mean)
    half = t_quantile(0.975, len(data) - 1) * float(data.std(ddof=1)) / math.sqrt(len(data))
    return Interval(value=mean, low=max(0.0, mean - half), high=min(most, mean + half))


def over_images(values: Values, *, share: bool) -> Interval:
    """Return the mean over images: of a share with Wilson's interval, else with Student's."""
    if not share:
        return over_seeds(values.tolist())
    n, mean, z = len(values), float(values.mean()), NormalDist().inv_cdf(0.975)
    middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return Interval(value=mean, low=middle - half, high=middle + half)


def mcnemar(first: Values, second: Values) -> Test:
    """Return the exact McNemar test, with the interval of Bonett and Price (2012)."""
    n = len(first)
    ahead, behind = int(np.sum(first > second)), int(np.sum(second > first))
    few, differ = min(ahead, behind), ahead + behind
    tail = sum(math.comb(differ, k) for k in range(few + 1))
    p_value = 1.0 if 2 * few == differ else float(2 * tail / 2**differ)
    up, down = (ahead + 1) / (n + 2), (behind + 1) / (n + 2)
    half = NormalDist().inv_cdf(0.975) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    ends = {"low": max(-1.0, up - down - half), "high": min(1.0, up - down + half)}
    return Test(difference=Interval(value=(ahead - behind) / n, **ends), p_value=min(1.0, p_value))


def crossed(first: Values, second: Values) -> Test:
    """Return the t-test on seeds and images crossed; values are `[seeds, images]`."""
    n = first.shape[1]
    gap = first.mean(axis=0) - second.mean(axis=0)
    value, of_seeds, rest, freedom = float(gap.mean()), 0.0, 0.0, 0.0
    for each in (first, second):
        k = len(each)
        part = float(np.var(each.mean(axis=1), ddof=1)) / k
        of_seeds += part
        freedom += part**2 / (k - 1)
        grand = each - each.mean(axis=1)[:, None] - each.mean(axis=0)[None, :] + each.mean()
        rest += float(np.sum(grand * grand)) / ((k - 1) * (n - 1)) / k
    of_images = max(0.0, float(np.var(gap, ddof=1)) - rest) / n
    freedom += of_images**2 / (n - 1)
    variance = of_seeds + of_images
    if variance == 0:
        return Test(difference=Interval(value=value), p_value=float(value == 0))
    error, freedom = math.sqrt(variance), variance**2 / freedom
    half = t_quantile(0.975, freedom) * error
    return Test(
        difference=Interval(value=value, low=value - half, high=value + half),
        p_value=2 * t_tail(abs(value) / error, freedom),
    )


def resampled_means(columns: Mapping[Key, Values]) -> dict[Key, Values]:
    """Return key -> means over the resamples of images that the report drew, `[10000]`."""
    names = list(columns)
    data = np.stack([columns[name] for name in names], axis=1)
    n, generator, means = len(data), np.random.default_rng(_SEED), []
    for start in range(0, _RESAMPLES, _CHUNK):
        for _ in range(min(_CHUNK, _RESAMPLES - start)):
            drawn = np.bincount(generator.integers(0, n, n), minlength=n)
            means.append(drawn @ data / n)
    return dict(zip(names, np.asarray(means).T, strict=True))


def bootstrapped(first: Values, second: Values, first_means: Values, second_means: Values) -> Test:
    """Return the paired bootstrap, given the values and the means of all resamples of both."""
    gaps = first_means - second_means
    low, high = np.quantile(gaps, [0.025, 0.975])
    tail = min(int(np.sum(gaps <= 0)), int(np.sum(gaps >= 0)))
    return Test(
        difference=Interval(
            value=float(first.mean() - second.mean()), low=float(low), high=float(high)
        ),
        p_value=min(1.0, 2 * (tail + 1) / (len(gaps) + 1)),
    )


def corrected(p_values: Sequence[float]) -> list[float]:
    """Return Holm's p-values by their definition: the largest product so far, at most 1."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    result = np.empty(len(p_values))
    result[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(p) for p in result]
