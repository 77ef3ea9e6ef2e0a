"""Where warm-up ends in a series of step times: from when on they only vary by chance.

The scheme of Heidelberger & Welch (1983, "Simulation run length control in the presence of an
initial transient", Operations Research 31): of the whole series, and then of ever less of it, it
is asked whether it looks stationary; the first part that does is kept, and if not even the later
half does, the series is not steady yet. Asked is what Geweke (1992, "Evaluating the accuracy of
sampling-based approaches to the calculation of posterior moments") asks: whether the beginning of
a series agrees with its end, because a programme may also warm up in jumps, slow down, or never
settle (Barrett et al. 2017, "Virtual machine warmup blows hot and cold", OOPSLA).

Their comparisons of means take times for normal. Here ranks are compared (Mann & Whitney 1947), so
that a few disturbed steps, however slow, decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

LEAST = 20
"""Of fewer samples the later half is too short for ranks to find a drift in it."""

TOLERANCE = 0.02
"""Parts whose medians differ by less are alike, however sure it is that they differ: on a machine
with slow swings nothing would ever be steady."""

_SURE_Z = 2.576
"""Parts differ where chance would do it once in a hundred times (two-sided)."""

_CUTS = 50  # Heidelberger and Welch cut tenths; finer cuts waste less

_FAR = 5.0
"""Standard deviations from the steady part beyond which a first sample belongs to warm-up."""

_FLOOR = 0.005
"""Least standard deviation as a share of the median: a series without noise has no scale."""

Times = NDArray[np.float64]


def steady_from(times: Sequence[float]) -> int | None:
    """Return the index of the first sample after warm-up; None if the series is not steady yet.

    Args:
        times: of equal pieces of work, in order; finite and positive.

    Raises:
        ValueError: a time is not finite and positive.
    """
    samples = np.asarray(times, np.float64)
    if not np.all(np.isfinite(samples) & (samples > 0)):
        raise ValueError("times must be finite and positive")
    count = samples.size
    if count < LEAST:
        return None
    cuts = np.unique(np.linspace(0, count // 2, _CUTS + 1).astype(int))
    for cut in cuts.tolist():
        if not any(_differ(early, late) for early, late in _parts(samples[cut:])):
            first = _past_far(samples, cut)
            return first if first <= count // 2 else None
    return None


def _parts(rest: Times) -> Iterator[tuple[Times, Times]]:
    """Yield pairs of an earlier and a later part that agree if a series is stationary.

    Geweke's pair finds a short beginning, the halves a slow trend, the last two a late change.
    """
    count = rest.size
    half, quarter = count // 2, count // 4
    tenth = max(count // 10, min(quarter, 4))  # of fewer than 4 samples ranks tell nothing
    yield rest[:tenth], rest[half:]
    yield rest[:quarter], rest[half:]
    yield rest[:half], rest[half:]
    yield rest[:-quarter], rest[-quarter:]
    yield rest[:-tenth], rest[-tenth:]


def _differ(early: Times, late: Times) -> bool:
    """Tell whether two parts differ beyond chance and beyond what matters."""
    centre = float(np.median(early))
    if abs(float(np.median(late)) - centre) <= TOLERANCE * centre:
        return False
    ordered = np.sort(early)
    lower, upper = (np.searchsorted(ordered, late, side) for side in ("left", "right"))
    # Pairs in which the later sample is the larger one, less those in which it is the smaller.
    surplus = float(np.sum(lower + upper - early.size))
    # Of the surplus if only chance were at work; ties would make it less.
    deviation = math.sqrt(early.size * late.size * (early.size + late.size + 1) / 3)
    return abs(surplus) > _SURE_Z * deviation


def _past_far(samples: Times, cut: int) -> int:
    """Return the first index from `cut` on whose sample is near the later half.

    A single slow step at the very start is compilation or an empty cache, though no rank tells.
    """
    later = samples[cut + (samples.size - cut) // 2 :]
    centre = float(np.median(later))
    # 1.4826 times the median absolute deviation is the standard deviation of a normal spread.
    spread = 1.4826 * float(np.median(np.abs(later - centre)))
    reach = _FAR * max(spread, _FLOOR * centre)
    near = np.abs(samples[cut:] - centre) <= reach
    return cut + int(np.argmax(near))
