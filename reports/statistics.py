"""Means with intervals: over seeds, over images, and of the difference of two contenders.

Everything is two-sided. What varied (seeds, images, epochs) travels with each number, because an
interval over images says nothing of training noise, and one over seeds nothing of other images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.distributions import student_quantile, wilson_interval

LEVEL = 0.95
"""Confidence of every interval that stands alone."""

RESAMPLES = 10_000
"""Bootstrap resamples: the 2.5 % tail then rests on 250 of them (Efron & Tibshirani 1993, ch. 19
ask for at least 1,000)."""

_CHUNK = 500  # resamples drawn at once: keeps the weights of 10,000 images below 50 MB

Varied = Literal[
    "seeds", "images", "epochs", "seeds and images", "processes", "rounds", "pairs"
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval, or the reason why one of them is missing.

    Attributes:
        value: the mean; None if nothing was measured.
        low, high: ends of the interval at `level`; both None if there is none.
        varied: over what the interval looks; None without an interval.
        n: how many of these that was (the smaller number for two contenders).
        method: the name of the interval, for the reader.
        absent: why the value, or the interval, is missing; None if both are there.
        level: confidence, in (0, 1).
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    varied: Varied | None = None
    n: int = 0
    method: str = ""
    absent: str | None = None
    level: float = LEVEL

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends")
        if (self.value is None or self.low is None) and self.absent is None:
            raise ValueError("what is missing has a reason")

    @property
    def excludes_zero(self) -> bool:
        """Return whether there is an interval and 0 lies outside of it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def t_interval(
    values: Sequence[float] | NDArray[np.floating],
    *,
    varied: Varied,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = LEVEL,
) -> Estimate:
    """Return the mean of independent values with Student's t-interval (Student 1908).

    Args:
        values: float `[n]`, one value for each seed, image or epoch.
        varied: what those are.
        bounds: the values that the quantity can take; the interval is cut there.
        level: confidence, in (0, 1).
    """
    data = np.asarray(values, np.float64)
    if data.size == 0:
        return Estimate(absent="nothing was measured")
    mean = float(data.mean())
    if data.size == 1:
        return Estimate(value=mean, absent=no_spread(varied))
    if np.ptp(data) == 0:
        return Estimate(value=mean, absent=f"all {data.size} {varied} gave the same value")
    error = data.std(ddof=1) / math.sqrt(data.size)
    half = float(student_quantile((1 + level) / 2, data.size - 1) * error)
    return Estimate(
        value=mean, low=max(mean - half, bounds[0]), high=min(mean + half, bounds[1]),
        varied=varied, n=int(data.size), method="t", level=level,
    )  # fmt: skip


def no_spread(varied: Varied) -> str:
    """Return why a single value has no interval."""
    return f"one {'process' if varied == 'processes' else varied.removesuffix('s')} has no spread"


def share_interval(hits: NDArray[np.bool_], *, level: float = LEVEL) -> Estimate:
    """Return the share of images that hit with Wilson's score interval (Wilson 1927).

    Unlike mean +- t it has a width when all or none hit, and never leaves [0, 1].

    Args:
        hits: bool `[n]`, one for each image.
        level: confidence, in (0, 1).
    """
    if hits.size == 0:
        return Estimate(absent="nothing was measured")
    low, high = wilson_interval(int(hits.sum()), int(hits.size), level)
    return Estimate(
        value=float(hits.mean()), low=low, high=high, varied="images",
        n=int(hits.size), method="Wilson", level=level,
    )  # fmt: skip


def bootstrap_means(
    columns: NDArray[np.floating], *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return the mean of each column over images drawn with replacement (Efron 1979).

    All columns see the same resamples, so that differences of columns stay paired.

    Args:
        columns: float `[n, k]`, one row for each image.
        resamples: number of draws of `n` images.
        seed: of the draws.

    Returns:
        float64 `[resamples, k]`.
    """
    data = np.asarray(columns, np.float64)
    n = data.shape[0]
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, data.shape[1]))
    for start in range(0, resamples, _CHUNK):
        stop = min(start + _CHUNK, resamples)
        # How often each image was drawn; a product with the data then is faster than picking.
        counts = np.empty((stop - start, n))
        for row in counts:
            row[:] = np.bincount(generator.integers(0, n, n), minlength=n)
        means[start:stop] = counts @ data / n
    return means
