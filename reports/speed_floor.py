"""The least difference of speed that may be claimed, from what identical cells showed.

The model: ln(images/s) of a process is what the contender reaches, plus the state of the machine,
which drifts, plus what this process happened to get (memory layout, placement, neighbours), plus
the mean of the noise of its steps. The last one shrinks with every step and tells nothing of the
one before it, so a t-test over the steps of two processes finds differences of identical code;
here a process is one observation.

Rounds pair processes that ran one after the other, so drift cancels in ln(first / second).
Identical contenders can change places in a pair, so these are symmetric around 0, whatever their
distribution. A difference is claimed if two tests agree, each of which keeps the level alone:

1. Student's t over rounds (`reports.speed.ratio`) excludes 0. It is exact for normal differences
   and errs on the safe side for symmetric long-tailed ones (Benjamini 1983).
2. The mean over rounds is beyond the noise floor, which knows how much the machine varies from
   more pairs than a comparison has rounds. For runs not timed in rounds it stands alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from harness.noise_floor import FALSE_ALARMS, NoiseFloor
from harness.record import Machine, device_kinds, timing_key
from reports.distributions import student_quantile
from reports.statistics import Estimate


def log_limit(
    log_ratios: ArrayLike, *, rounds: int = 1, false_alarms: float = FALSE_ALARMS
) -> float:
    """Return what |mean ln ratio| of identical contenders exceeds with such a probability at most.

    The larger of two prediction limits for one more pair. Student's: t(1 - a / 2, n) times the
    root mean square, as the mean is known to be 0. And, whatever the distribution, the k-th
    largest of n with k = a (n + 1) rounded down, or the largest if that is 0 (Wilks 1941). Over
    several rounds it is divided by their root, but by no more than that of n. The probability is
    over calibrations and comparisons together.

    Args:
        log_ratios: float `[n]`, ln(first / second) of pairs of identical cells.
        rounds: pairs that are averaged, at least 1.
        false_alarms: that probability, in (0, 1).
    """
    found = np.sort(np.abs(np.asarray(log_ratios, np.float64)))[::-1]
    student = student_quantile(1 - false_alarms / 2, found.size) * np.sqrt(np.mean(found**2))
    rank = max(1, math.floor(false_alarms * (found.size + 1) + 1e-9))  # 0.05 * 20 is below 1
    return float(max(student, found[rank - 1]) / math.sqrt(min(rounds, found.size)))


def least_difference(floor: NoiseFloor | None, rounds: int, comparisons: int = 1) -> float | None:
    """Return the relative difference up to which nothing is claimed; None without a floor.

    Args:
        floor: of the machine, if one is stored.
        rounds: processes of each contender that are compared in pairs; 1 if they are not.
        comparisons: verdicts of which any may be wrong in 5 % of cases (Bonferroni).
    """
    if floor is None or floor.log_limit is None:
        return None
    alarms = floor.false_alarms / comparisons
    return math.expm1(log_limit(floor.log_ratios, rounds=rounds, false_alarms=alarms))


def why_open(first: Estimate, second: Estimate, floor: float) -> str | None:
    """Return why the speeds of runs, not timed in turns, cannot be separated; None if they can.

    Args:
        first: images/s above 0, over seeds or of a single run.
        second: likewise.
        floor: of `least_difference`, for one round.

    Raises:
        ValueError: one was not measured.
    """
    if first.value is None or second.value is None:
        raise ValueError("two speeds are needed")
    slow, fast = (first, second) if first.value < second.value else (second, first)
    if max(first.value / second.value, second.value / first.value) - 1 <= floor:
        return f"below the noise floor of {100 * floor:.1f} %"
    over_seeds = first.varied == second.varied == "seeds"
    if over_seeds and (fast.low or 0.0) <= (slow.high or 0.0):
        return "their intervals over seeds overlap"
    return None


def steps_differ(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether Welch's t-test on the steps of two processes calls them different at 5 %.

    What is often done and must not be believed: calibrations count how often it is wrong.

    Args:
        first: rates of the graph calls of one process.
        second: those of the other.
    """
    from scipy.stats import ttest_ind  # takes most of a second to load; only calibrations need it

    a, b = np.log(np.asarray(first, np.float64)), np.log(np.asarray(second, np.float64))
    if min(a.size, b.size) < 2 or (np.ptp(a) == 0 and np.ptp(b) == 0):
        return False
    return bool(ttest_ind(a, b, equal_var=False).pvalue < FALSE_ALARMS)


def floor_of_machine(
    floors: Sequence[NoiseFloor],
    machine: Machine | None,
    devices: Sequence[str] | None = None,
) -> NoiseFloor | None:
    """Return the newest floor that was measured on a machine; None if there is none.

    Another processor, system, Python or TensorFlow is another machine: its noise is not known. So
    are its GPUs beside its CPU.

    Args:
        floors: of any machines.
        machine: where something was timed; None if that is not known.
        devices: kinds of the devices that were timed; those of `machine` if not given.
    """
    if machine is None:
        return None
    kinds = device_kinds(machine) if devices is None else tuple(devices)
    fit = [each for each in floors if each.log_limit is not None and _fits(each, machine, kinds)]
    return max(fit, key=lambda each: each.started_at, default=None)


def machine_digest(machine: Machine) -> str:
    """Return 12 hexadecimal digits that tell machines apart whose timings are not compared."""
    return hashlib.sha256(repr(timing_key(machine, source=False)).encode()).hexdigest()[:12]


def _fits(floor: NoiseFloor, machine: Machine, kinds: tuple[str, ...]) -> bool:
    alike = timing_key(floor.machine, source=False) == timing_key(machine, source=False)
    return alike and device_kinds(floor.machine) == kinds
