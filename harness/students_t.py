"""Student's t distribution, with the standard library alone.

SciPy has it too, but costs a second to import: the tracker needs one quantile, and
`reports.recompute` a way that does not hang on SciPy.
"""

from __future__ import annotations

import math

TINY = 1e-300


def t_tail(x: float, freedom: float) -> float:
    """Return the probability that Student's t exceeds `x`, for `x` at least 0."""
    if x * x < freedom:  # else a small x is lost beside the degrees of freedom
        return 0.5 - 0.5 * _beta_share(x * x / (freedom + x * x), 0.5, freedom / 2)
    return 0.5 * _beta_share(freedom / (freedom + x * x), freedom / 2, 0.5)


def t_quantile(p: float, freedom: float) -> float:
    """Return the value that Student's t stays below with probability `p`, above 1/2."""
    low, high = 0.0, 2.0
    while t_tail(high, freedom) > 1 - p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > 1 - p else (low, middle)
    return (low + high) / 2


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function (DLMF 8.17), by its continued fraction."""
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # the fraction of the other side converges
        return 1 - _beta_share(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) - math.log(a)
    front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    # Lentz 1976: numerator and denominator of the fraction, one ratio at a time.
    above, below = 1.0, 1 / _kept(1 - (a + b) * x / (a + 1))
    fraction = below
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            below = 1 / _kept(1 + term * below)
            above = _kept(1 + term / above)
            fraction *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return math.exp(front) * fraction


def _kept(value: float) -> float:
    """Return a value that can be divided by."""
    return value if abs(value) > TINY else TINY
