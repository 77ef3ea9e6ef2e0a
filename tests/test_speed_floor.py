"""Least differences by hand, and how often verdicts on speed are wrong or right in simulation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from calibrated import floor
from numpy.typing import NDArray
from records import MACHINE
from scipy import stats
from simulated_timings import Spread, rounds_of, steps_of

from harness.noise_floor import FALSE_ALARMS, least_pairs
from harness.record import Machine
from reports.speed import decide, median_interval, ratio
from reports.speed_floor import (
    floor_of_machine,
    least_difference,
    log_limit,
    machine_digest,
    steps_differ,
)

TEN_PERCENT = -math.log(1.1)
"""ln of the gain of a contender whose steps take 10 % longer."""

SPREADS = {
    "1 %": Spread(processes=0.01),
    "2 %, drift": Spread(processes=0.02, drift=0.01),
    "5 %": Spread(processes=0.05),
    "2 %, long tails": Spread(processes=0.02, tail="t3", drift=0.005),
    "2 %, two states": Spread(processes=0.02, tail="two states"),
    "2 %, only slower": Spread(processes=0.02, tail="exponential"),
    "2 %, bursts": Spread(processes=0.02, burst=0.1),
    "1 %, deep bursts": Spread(processes=0.01, burst=0.05, depth=0.6),
    "1 %, trend": Spread(processes=0.01, trend=-0.005),
}

SIMULATIONS = 1000
# A share of 5 % among 1,000 has a standard error of 0.7 %.
MOST = FALSE_ALARMS + 3 * math.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / SIMULATIONS)

each_spread = pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())


def logs(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(first / second)


def claims(
    spread: Spread, *, gain: float = 0.0, floor: bool = True, noisier: float = 1.0
) -> tuple[float, float]:
    """Share of comparisons of five rounds in which the first is called faster, and slower.

    Each has a calibration of its own.

    Args:
        gain: ln of how much faster the first one is.
        floor: whether there is a calibration.
        noisier: how much more processes vary in the comparison than when it was calibrated.
    """
    rng = np.random.default_rng(1234)
    now = dataclasses.replace(spread, processes=noisier * spread.processes)
    found = {"faster": 0, "slower": 0, "cannot separate": 0}
    for _ in range(SIMULATIONS):
        null = logs(*rounds_of(rng, spread, 20))
        limit = math.expm1(log_limit(null, rounds=5)) if floor else None
        first, second = (dict(enumerate(each)) for each in rounds_of(rng, now, 5, gain=gain))
        found[decide(ratio(second, first), limit)[0]] += 1
    return found["faster"] / SIMULATIONS, found["slower"] / SIMULATIONS


def test_limit_by_hand() -> None:
    # 19 pairs at 1 %: root mean square 0.01, t(0.975, 19) = 2.093024; the largest is 0.01.
    assert log_limit([0.01, -0.01] * 9 + [0.01]) == pytest.approx(0.02093024, rel=1e-6)
    # One far out: root mean square sqrt((18 * 0.0001 + 0.01) / 19) = 0.024921; times t it is
    # 0.05216, less than the largest.
    assert log_limit([0.01] * 18 + [-0.1]) == pytest.approx(0.1)
    # Of 39 the second largest will do, 0.05 * 40 = 2: sqrt((37 * 0.0001 + 0.0064 + 0.01) / 39)
    # = 0.022703, times t(0.975, 39) = 2.022691 is 0.045922, less than 0.08.
    assert log_limit([0.01] * 37 + [0.08, -0.1]) == pytest.approx(0.08)


def test_limit_falls_with_the_root_of_the_rounds_but_not_beyond_the_pairs() -> None:
    ratios = [0.01, -0.01] * 10
    assert log_limit(ratios, rounds=4) == pytest.approx(log_limit(ratios) / 2)
    assert log_limit(ratios, rounds=20) == log_limit(ratios, rounds=1000)


def test_several_verdicts_share_the_level() -> None:
    # 20 pairs at ln 1.01 = 0.00995033; two-sided 5 % / 3 of Student's t with 20 degrees.
    t = stats.t.ppf(1 - 0.05 / 3 / 2, 20)
    found = least_difference(floor(), rounds=5, comparisons=3)
    assert found == pytest.approx(math.expm1(t * 0.00995033 / math.sqrt(5)), rel=1e-6)
    assert least_difference(None, rounds=5) is None
    assert least_difference(floor([1.01] * 18), rounds=5) is None


def test_the_least_number_of_pairs_is_what_a_largest_value_needs() -> None:
    assert (least_pairs(), least_pairs(0.01)) == (19, 99)


def test_the_newest_floor_of_the_same_machine_counts() -> None:
    old, new = floor(), floor(started_at="2026-02-02T03:04:05.000+00:00")
    stopped = floor([1.01] * 3, started_at="2026-03-02T03:04:05.000+00:00")
    laptop = dataclasses.replace(MACHINE, host_digest="beef")
    assert floor_of_machine([new, old, stopped], MACHINE) is new
    assert floor_of_machine([new], laptop) is None
    assert floor_of_machine([new], None) is None
    other_threads = dataclasses.replace(MACHINE, threads=1)
    assert machine_digest(other_threads) == machine_digest(MACHINE) != machine_digest(laptop)


@each_spread
def test_identical_contenders_are_seldom_called_different(spread: Spread) -> None:
    assert sum(claims(spread)) <= MOST


@each_spread
def test_nor_without_a_floor(spread: Spread) -> None:
    assert sum(claims(spread, floor=False)) <= MOST


@pytest.mark.parametrize("spread", [each for each in SPREADS.values() if not each.trend], ids=repr)
def test_nor_by_one_process_each_beyond_the_floor(spread: Spread) -> None:
    # A trend is left out: it is in one pair, which has one order.
    rng = np.random.default_rng(99)
    wrong = 0
    for _ in range(SIMULATIONS):
        null = logs(*rounds_of(rng, spread, 20))
        wrong += abs(logs(*rounds_of(rng, spread, 1))[0]) > log_limit(null)
    assert wrong / SIMULATIONS <= MOST


def test_a_machine_that_became_noisier_fools_the_floor_but_not_the_verdict() -> None:
    spread = SPREADS["1 %"]
    rng = np.random.default_rng(5)
    now = dataclasses.replace(spread, processes=0.03)
    alone = [
        abs(logs(*rounds_of(rng, now, 5)).mean())
        > log_limit(logs(*rounds_of(rng, spread, 20)), rounds=5)
        for _ in range(SIMULATIONS)
    ]
    assert np.mean(alone) > 0.3
    assert sum(claims(spread, noisier=3.0)) <= MOST


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.05])
def test_steps_of_two_processes_find_differences_of_identical_code(spread: float) -> None:
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        first, second = rounds_of(rng, Spread(processes=spread), 1)
        wrong += steps_differ(*(steps_of(rng, float(rate[0]), 60) for rate in (first, second)))
    # 60 calls of 5 % know a rate to 0.65 % if they were independent; processes differ by more.
    assert wrong / 300 > 0.3


def test_a_median_or_a_percentile_bootstrap_of_five_rounds_is_too_narrow() -> None:
    rng = np.random.default_rng(11)
    wrong = {"median": 0, "mean": 0}
    for _ in range(SIMULATIONS):
        null = logs(*rounds_of(rng, SPREADS["1 %"], 5))
        found = median_interval(null, varied="rounds")
        assert found.low is not None
        assert found.high is not None
        wrong["median"] += not found.low <= 0 <= found.high
        means = rng.choice(null, (1000, 5)).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        wrong["mean"] += not low <= 0 <= high
    # All five on one side have probability 2 / 32 = 6.25 %, with a standard error of 0.8 %.
    assert wrong["median"] / SIMULATIONS == pytest.approx(0.0625, abs=0.024)
    assert wrong["mean"] / SIMULATIONS > 0.1


@pytest.mark.parametrize(("spread", "least"), [(0.01, 0.99), (0.02, 0.97), (0.03, 0.85)])
def test_a_slowdown_of_ten_percent_is_found(spread: float, least: float) -> None:
    faster, slower = claims(Spread(processes=spread, drift=0.005), gain=TEN_PERCENT)
    assert slower >= least
    assert faster == 0


def test_steps_that_cannot_be_tested_are_not_called_different() -> None:
    assert not steps_differ([1.0], [2.0, 2.1])
    assert not steps_differ([1.0, 1.0], [2.0, 2.0])
    assert steps_differ([1.0, 1.01, 1.02], [2.0, 2.1, 2.2])


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(MACHINE, host_digest="other"),
        dataclasses.replace(MACHINE, packages={**MACHINE.packages, "tensorflow": "0"}),
        dataclasses.replace(MACHINE, devices=("gpu:0",)),
    ],
    ids=["host", "TensorFlow", "device"],
)
def test_a_floor_of_another_machine_is_not_taken(other: Machine) -> None:
    assert floor_of_machine([floor()], MACHINE) == floor()
    assert floor_of_machine([floor()], other) is None
