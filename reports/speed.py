"""How fast contenders are and whether they differ: from the cells of `bench throughput`.

The unit is the process. Steps within a process agree far better than processes do, so an interval
over steps would be narrow and wrong: one number of each process counts, and what varies is which
process it was. Contenders are compared within rounds, which lie close together in time.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.cell import Cell
from harness.config import RunConfig
from harness.noise_floor import NoiseFloor
from harness.timings import Overhead, Timings
from reports.distributions import coin_p_value
from reports.speed_floor import least_difference
from reports.statistics import LEVEL, Estimate, Varied, no_spread, t_interval

RANKED_BY = "images_per_s"

Outcome = Literal["faster", "slower", "cannot separate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One contender over its processes.

    Attributes:
        name: of the contender.
        config: of the contender.
        processes: that measured.
        failures: reasons of those that did not.
        measures: by the names of `harness.record.METRICS`: medians over processes.
        ratio: training images/s over those of the first contender, in the same round.
        disturbed: share of the timed training in which something disturbed, 0 to 1.
        disturbed_by: the first reason for that; empty if there is none.
        disturbed_phases: phases behind training -> processes in which they were disturbed.
        parameters: number of weights.
        flags: what its cells say of themselves -> how many say so.
    """

    name: str
    config: RunConfig
    processes: int
    failures: tuple[str, ...]
    measures: Mapping[str, Estimate]
    ratio: Estimate
    disturbed: float
    disturbed_by: str
    disturbed_phases: Mapping[str, int]
    parameters: int | None
    flags: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two contenders compared.

    Attributes:
        first, other: their names.
        ratio: training images/s of the other over those of the first; its level is such that all
            pairs hold together with at least 95 % (Bonferroni).
        floor: least relative difference that this machine can tell; None if it is not known.
        outcome: of the other, against the first.
        reason: why they cannot be separated; None if they are.
    """

    first: str
    other: str
    ratio: Estimate
    floor: float | None
    outcome: Outcome
    reason: str | None


def speeds(timings: Timings) -> tuple[Speed, ...]:
    """Return each contender's speed, in the order asked for."""
    first = by_round(timings, timings.contenders[0].name)
    return tuple(_speed(timings, place, first=first) for place in range(len(timings.contenders)))


def pairs(timings: Timings, noise: NoiseFloor | None = None) -> tuple[Pair, ...]:
    """Compare each contender with each that was named before it.

    Args:
        timings: of at least two contenders, or there is nothing to compare.
        noise: floor of the machine; None if none is stored.
    """
    names = [each.name for each in timings.contenders]
    both = list(itertools.combinations(names, 2))
    level = 1 - (1 - LEVEL) / max(1, len(both))
    found = []
    for first, other in both:
        estimate = ratio(by_round(timings, first), by_round(timings, other), level=level)
        # Without several rounds there is no interval, and nothing is claimed anyway.
        floor = least_difference(noise, max(1, estimate.n), comparisons=len(both))
        outcome, reason = decide(estimate, floor)
        found.append(
            Pair(
                first=first, other=other, ratio=estimate, floor=floor, outcome=outcome,
                reason=reason,
            )
        )  # fmt: skip
    return tuple(found)


def by_round(timings: Timings, name: str, measure: str = RANKED_BY) -> dict[int, float]:
    """Return round -> what a contender's process measured in it; rounds without are left out."""
    return {
        cell.round: value
        for cell in timings.cells
        if cell.contender == name and (value := cell.value(measure)) is not None
    }


def median_interval(
    values: Sequence[float], *, varied: Varied = "processes", level: float = LEVEL
) -> Estimate:
    """Return the median with an interval between two of the values (Thompson 1936).

    Each value lies above the true median as a coin falls, so the k-th least and the k-th largest
    of n enclose it with 1 - 2 P(fewer than k heads of n), whatever the distribution. The largest k
    that keeps the level is taken; a bootstrap promises 95 % and holds 87 % of 7. The least and the
    largest reach 1 - 2^(1 - n): 94 % of 5 processes, a coin's toss of 2. Where that is less than
    was asked for, the estimate's level says so.

    Args:
        values: one for each process, or whatever varied.
        varied: what that was.
        level: confidence that is asked for, in (0, 1).
    """
    data = np.asarray(values, np.float64)
    n = data.size
    if not n:
        return Estimate(absent="nothing was measured")
    median = float(np.median(data))
    if n == 1:
        return Estimate(value=median, absent=no_spread(varied))
    if np.ptp(data) == 0:
        return Estimate(value=median, absent=f"all {n} {varied} gave the same value")
    beyond = 0  # values left out on each side: k - 1
    while beyond < (n - 1) // 2 and 1 - coin_p_value(beyond + 1, n) >= level:
        beyond += 1
    ordered = np.sort(data)
    return Estimate(
        value=median, low=float(ordered[beyond]), high=float(ordered[n - 1 - beyond]),
        varied=varied, n=n, method="order statistics",
        level=min(level, 1 - coin_p_value(beyond, n)),
    )  # fmt: skip


def ratio(
    first: Mapping[int, float], other: Mapping[int, float], *, level: float = LEVEL
) -> Estimate:
    """Return other over first within rounds: geometric mean with Student's t-interval of its log.

    A bootstrap of so few rounds is too narrow, of 2 it would be wrong every other time; Student's
    factor (12.7 for 2 rounds, 2.8 for 5) is what such small numbers cost.

    Args:
        first: round -> a positive rate.
        other: the same of another contender.
        level: confidence, in (0, 1).
    """
    rounds = sorted(first.keys() & other.keys())
    logs = [math.log(other[number] / first[number]) for number in rounds]
    found = t_interval(logs, varied="rounds", level=level)
    if found.value is None:
        return replace(found, absent="there is no round in which both were measured")
    if found.low is None or found.high is None:
        return replace(found, value=math.exp(found.value))
    # Of two rounds that differ much the ends are beyond all numbers.
    low, high = (math.exp(max(-700.0, min(700.0, end))) for end in (found.low, found.high))
    return replace(
        found, value=math.exp(found.value), low=low, high=high, method="t of logarithms"
    )


def decide(estimate: Estimate, floor: float | None) -> tuple[Outcome, str | None]:
    """Return whether a ratio of rates can be told from 1, and why not.

    Args:
        estimate: other over first.
        floor: least relative difference that this machine can tell; None if it is not known.
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "cannot separate", estimate.absent
    if estimate.low <= 1 <= estimate.high:
        return "cannot separate", f"the interval over {estimate.n} rounds includes 1"
    if floor is not None and abs(math.log(estimate.value)) <= math.log1p(floor):
        return "cannot separate", f"below the noise floor of {100 * floor:.1f} %"
    return ("faster" if estimate.value > 1 else "slower"), None


def overhead_share(overhead: Overhead) -> Estimate:
    """Return what the harness costs as a share of the time of training, from pairs of pieces."""
    if overhead.reason is not None:
        return Estimate(absent=overhead.reason)
    return median_interval([full / bare - 1 for bare, full in overhead.pairs], varied="pairs")


def _speed(timings: Timings, place: int, *, first: Mapping[int, float]) -> Speed:
    contender = timings.contenders[place]
    cells = [cell for cell in timings.cells if cell.contender == contender.name]
    done = [cell for cell in cells if cell.status == "finished"]
    names = dict.fromkeys(name for cell in done for name in cell.measures)
    reasons = (why for cell in done for each in cell.disturbances for why in each)
    own = by_round(timings, contender.name)
    return Speed(
        name=contender.name,
        config=contender.config,
        processes=len(done),
        failures=tuple(cell.reason or "" for cell in cells if cell.status == "failed"),
        measures={name: _median(done, name) for name in names},
        ratio=ratio(first, own) if place else Estimate(absent="it is compared with itself"),
        disturbed=float(np.mean([cell.disturbed for cell in done])) if done else 0.0,
        disturbed_by=next(reasons, ""),
        disturbed_phases=dict(Counter(phase for cell in done for phase in cell.phases)),
        parameters=next((cell.parameters for cell in done if cell.parameters is not None), None),
        flags=dict(Counter(flag for cell in done for flag in cell.flags)),
    )


def _median(cells: Sequence[Cell], name: str) -> Estimate:
    measures = [cell.measures[name] for cell in cells if name in cell.measures]
    values = [each.value for each in measures if each.value is not None]
    if values:
        return median_interval(values)
    return Estimate(absent=measures[0].reason or "nothing was measured")
