"""Is one contender faster than another, or can they not be separated?

The model: ln(images/s) of a process is what the contender reaches, plus the state of the machine,
which drifts, plus what this process happened to get (memory layout, placement, neighbours), plus
the mean of the noise of its steps. The last one shrinks with every step and tells nothing of the
one before it, so a t-test over the steps of two processes finds differences of identical code; here
a process is one observation.

Rounds pair processes that ran one after the other, so drift cancels in ln(first / second). Identical
contenders can change places in a pair, so these are symmetric around 0, whatever their
distribution. A difference is claimed if two tests agree, each of which keeps the level alone:

1. Student's t over rounds excludes 0. It is exact for normal differences and errs on the safe side
   for symmetric long-tailed ones (Benjamini 1983). A percentile bootstrap would not do: over five
   rounds it finds differences of identical contenders in 17 % of cases by the mean, 6 % by the
   median.
2. Mean and median over rounds are both beyond the noise floor, which knows how much the machine
   varies from more pairs than a comparison has rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.noise_floor import FALSE_ALARMS, NoiseFloor

Word = Literal["faster", "slower", "cannot separate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedVerdict:
    """The first contender against the second.

    Attributes:
        word: of the first.
        ratio: images/s of the first over those of the second; the median over rounds.
        low, high: Student's t-interval of the ratio at a level of 1 - 5 % / `comparisons`; None
            without several processes of each.
        rounds: processes of each that were compared in pairs; 1 if they were not paired.
        comparisons: verdicts of which any may be wrong in 5 % of cases (Bonferroni).
        floor: smallest relative difference that would be claimed; None if none is stored.
        reason: why they cannot be separated; None if they are.
    """

    word: Word
    ratio: float
    low: float | None
    high: float | None
    rounds: int
    comparisons: int
    floor: float | None
    reason: str | None


def log_limit(
    log_ratios: ArrayLike, *, rounds: int = 1, false_alarms: float = FALSE_ALARMS
) -> float:
    """Return what |mean ln ratio| of identical contenders exceeds with such a probability at most.

    The larger of two prediction limits for one more pair. Student's: t(1 - a / 2, n) times the root
    mean square, as the mean is known to be 0. And, whatever the distribution, the k-th largest of n
    with k = a (n + 1) rounded down, at least the largest (Wilks 1941). Over several rounds it is
    divided by their root, but by no more than that of n. The probability is over calibrations and
    comparisons together.

    Args:
        log_ratios: float `[n]`, ln(first / second) of pairs of identical cells.
        rounds: pairs that are averaged, at least 1.
        false_alarms: that probability, in (0, 1).
    """
    found = np.sort(np.abs(np.asarray(log_ratios, np.float64)))[::-1]
    student = stats.t.ppf(1 - false_alarms / 2, found.size) * np.sqrt(np.mean(found**2))
    rank = max(1, math.floor(false_alarms * (found.size + 1) + 1e-9))  # 0.05 * 20 is below 1
    return float(max(student, found[rank - 1]) / math.sqrt(min(rounds, found.size)))


def judge_rounds(
    first: ArrayLike, second: ArrayLike, floor: NoiseFloor | None, *, comparisons: int = 1
) -> SpeedVerdict:
    """Judge contenders that were timed in rounds, each round a process of both.

    Without a floor the interval decides alone; without several rounds, the floor.

    Args:
        first, second: float `[rounds]`, images/s of each process, in the same order of rounds.
        floor: of the machine, if one is stored.
        comparisons: verdicts that are given together, at least 1.
    """
    log_ratios = np.log(np.asarray(first, np.float64) / np.asarray(second, np.float64))
    alarms, rounds = FALSE_ALARMS / comparisons, log_ratios.size
    limit = _limit(floor, rounds, alarms)
    ends = _student(log_ratios, alarms) if rounds > 1 else None
    median, mean = float(np.median(log_ratios)), float(log_ratios.mean())
    nearer = min(abs(median), abs(mean)) if median * mean > 0 else 0.0
    if rounds == 1 and limit is None:
        reason = "one process of each tells nothing without a noise floor"
    else:
        reason = _why_not(nearer, limit, ends, f"{rounds} rounds")
    return _verdict(median, ends, limit, reason, rounds, comparisons)


def judge_runs(
    first: ArrayLike, second: ArrayLike, floor: NoiseFloor | None, *, comparisons: int = 1
) -> SpeedVerdict:
    """Judge runs that were not timed in rounds, such as those of two configurations over seeds.

    Runs of a command share a process, and nothing says that drift cancels: so the floor is that of
    one process each, however many runs there are, and without a floor nothing is claimed. Several
    runs of both must also differ by Welch's t-test (Welch 1947).

    Args:
        first, second: float `[runs]`, images/s of each run; not necessarily as many of both.
        floor: of the machine, if one is stored.
        comparisons: verdicts that are given together, at least 1.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    alarms = FALSE_ALARMS / comparisons
    limit = _limit(floor, 1, alarms)
    ends = _welch(np.log(a), np.log(b), alarms) if min(a.size, b.size) > 1 else None
    log_ratio = math.log(a.mean() / b.mean())
    if limit is None:
        reason: str | None = "no noise floor of their machine is stored"
    else:
        reason = _why_not(abs(log_ratio), limit, ends, f"{a.size} and {b.size} runs")
    return _verdict(log_ratio, ends, limit, reason, 1, comparisons)


def steps_differ(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether Welch's t-test on the steps of two processes calls them different at 5 %.

    What is often done and must not be believed: calibrations count how often it is wrong.
    """
    a, b = np.log(np.asarray(first, np.float64)), np.log(np.asarray(second, np.float64))
    if min(a.size, b.size) < 2:
        return False
    low, high = _welch(a, b, FALSE_ALARMS)
    return low != high and not low <= 0 <= high


def _limit(floor: NoiseFloor | None, rounds: int, false_alarms: float) -> float | None:
    if floor is None or floor.log_limit is None:
        return None
    return log_limit(floor.log_ratios, rounds=rounds, false_alarms=false_alarms)


def _why_not(
    log_ratio: float, limit: float | None, ends: tuple[float, float] | None, over: str
) -> str | None:
    """Return why a difference is not claimed, or None if it is."""
    if limit is not None and log_ratio <= limit:
        return f"below the noise floor of {math.expm1(limit):.1%}".replace("%", " %")
    if ends is not None and ends[0] == ends[1]:  # a clock so coarse says nothing of the spread
        return f"{over} gave the same, so no spread can be seen"
    if ends is not None and ends[0] <= 0 <= ends[1]:
        return f"the interval over {over} includes 1"
    return None


def _verdict(
    log_ratio: float, ends: tuple[float, float] | None, limit: float | None,
    reason: str | None, rounds: int, comparisons: int,
) -> SpeedVerdict:  # fmt: skip
    claimed: Word = "faster" if log_ratio > 0 else "slower"
    return SpeedVerdict(
        word="cannot separate" if reason else claimed,
        ratio=math.exp(log_ratio),
        low=None if ends is None else math.exp(ends[0]),
        high=None if ends is None else math.exp(ends[1]),
        rounds=rounds,
        comparisons=comparisons,
        floor=None if limit is None else math.expm1(limit),
        reason=reason,
    )


def _student(values: NDArray[np.float64], false_alarms: float) -> tuple[float, float]:
    """Return Student's t-interval of the mean (Student 1908)."""
    half = float(stats.t.ppf(1 - false_alarms / 2, values.size - 1) * stats.sem(values))
    return float(values.mean()) - half, float(values.mean()) + half


def _welch(
    a: NDArray[np.float64], b: NDArray[np.float64], false_alarms: float
) -> tuple[float, float]:
    """Return the t-interval of the difference of two means with variances of their own."""
    parts = np.array([a.var(ddof=1) / a.size, b.var(ddof=1) / b.size])
    difference, variance = float(a.mean() - b.mean()), float(parts.sum())
    if variance == 0:
        return difference, difference
    freedom = variance**2 / float((parts**2 / np.array([a.size - 1, b.size - 1])).sum())
    half = float(stats.t.ppf(1 - false_alarms / 2, freedom)) * math.sqrt(variance)
    return difference - half, difference + half
