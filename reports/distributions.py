"""What is needed of Student's, the normal and the binomial distribution, from `scipy.special`.

`scipy.stats` has the same under better names, but takes most of a second to import: more than a
report of a few runs takes to be computed. `tests/test_distributions.py` compares the two.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def student_quantile(probability: ArrayLike, freedom: ArrayLike) -> NDArray[np.float64]:
    """Return what a t-distributed value stays below with such a probability, in (0, 1)."""
    return np.asarray(special.stdtrit(freedom, probability))


def student_tail(value: float, freedom: float) -> float:
    """Return the probability of a t-distributed value above this one."""
    return float(special.stdtr(freedom, -value))


def normal_quantile(probability: float) -> float:
    """Return what a standard normal value stays below with such a probability, in (0, 1)."""
    return float(special.ndtri(probability))


def coin_p_value(hits: int, n: int) -> float:
    """Return how probable a count at least as far from `n / 2` is with a fair coin: exact test.

    Args:
        hits: heads.
        n: throws; without any it is 1.
    """
    if n == 0:
        return 1.0
    return min(1.0, 2 * float(special.bdtr(min(hits, n - hits), n, 0.5)))


def wilson_interval(hits: int, n: int, level: float) -> tuple[float, float]:
    """Return Wilson's score interval (1927) for a probability that gave `hits` in `n` trials.

    Args:
        hits: 0 to `n`.
        n: at least 1.
        level: confidence, in (0, 1).
    """
    z = normal_quantile((1 + level) / 2)
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)
