"""Verdicts on speed: the limit by hand, and how often they are wrong or right in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.noise_floor import FALSE_ALARMS, NoiseFloor, least_pairs
from reports.speed_verdict import judge_rounds, judge_runs, log_limit, steps_differ
from simulated_timings import Spread, floor_of, rounds_of, steps_of

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


def floor_with(*log_ratios: float) -> NoiseFloor:
    return floor_of(np.exp(np.array(log_ratios)), np.ones(len(log_ratios)))


def calibrated(rng: np.random.Generator, spread: Spread, pairs: int = 20) -> NoiseFloor:
    return floor_of(*rounds_of(rng, spread, pairs))


def claims(spread: Spread, rounds: int, *, gain: float = 0.0, floor: bool = True) -> float:
    """Share of comparisons in which a difference is claimed, each with a calibration of its own."""
    rng = np.random.default_rng(1234)
    found = 0
    for _ in range(SIMULATIONS):
        known = calibrated(rng, spread) if floor else None
        verdict = judge_rounds(*rounds_of(rng, spread, rounds, gain=gain), known)
        found += verdict.word == ("slower" if gain < 0 else verdict.word)
        found -= verdict.word == "cannot separate"
    return found / SIMULATIONS


def test_limit_by_hand() -> None:
    # 19 pairs at 1 %: root mean square 0.01, t(0.975, 19) = 2.093024; the largest is 0.01.
    assert log_limit([0.01, -0.01] * 9 + [0.01]) == pytest.approx(0.02093024, rel=1e-6)
    # One pair far out: root mean square sqrt((18 * 0.0001 + 0.01) / 19) = 0.024921; times t 0.05216
    # is less than the largest.
    assert log_limit([0.01] * 18 + [-0.1]) == pytest.approx(0.1)
    # Of 39 the second largest will do: 0.05 * 40 = 2. sqrt((37 * 0.0001 + 0.0064 + 0.01) / 39)
    # = 0.022703, times t(0.975, 39) = 2.022691 is 0.045922, less than 0.08.
    assert log_limit([0.01] * 37 + [0.08, -0.1]) == pytest.approx(0.08)


def test_limit_falls_with_the_root_of_the_rounds_but_not_beyond_the_pairs() -> None:
    ratios = [0.01, -0.01] * 10
    assert log_limit(ratios, rounds=4) == pytest.approx(log_limit(ratios) / 2)
    assert log_limit(ratios, rounds=20) == log_limit(ratios, rounds=1000)


def test_the_least_number_of_pairs_is_what_a_largest_value_needs() -> None:
    assert least_pairs() == 19
    assert least_pairs(0.01) == 99


@pytest.mark.parametrize("rounds", [1, 3, 5])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())
def test_identical_contenders_are_seldom_called_different(spread: Spread, rounds: int) -> None:
    if rounds == 1 and spread.trend:
        pytest.skip("one pair has one order: a trend is in it")
    assert claims(spread, rounds) <= MOST


@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())
def test_without_a_floor_the_interval_over_rounds_keeps_the_level(spread: Spread) -> None:
    assert claims(spread, 5, floor=False) <= MOST
