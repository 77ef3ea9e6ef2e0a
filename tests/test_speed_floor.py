"""The noise floor: its limit by hand, and how often verdicts are wrong or right in simulation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import MACHINE
from scipy import stats
from simulated_timings import Spread, floor_of, rounds_of, steps_of

from harness.noise_floor import FALSE_ALARMS
from reports.speed import decide, ratio
from reports.speed_floor import floor_of_machine, least_difference, log_limit, steps_differ

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
PAIRS, ROUNDS = 20, 5


def claims(spread: Spread, *, gain: float = 0.0, floor: bool = True) -> float:
    """Share of comparisons that find the first one slower, if it is, or else any difference.

    Each has a calibration of its own, if any.
    """
    rng, found = np.random.default_rng(1234), 0
    for _ in range(SIMULATIONS):
        noise = floor_of(*rounds_of(rng, spread, PAIRS)) if floor else None
        known = least_difference(noise, ROUNDS)
        first, second = rounds_of(rng, spread, ROUNDS, gain=gain)
        outcome, _why = decide(ratio(dict(enumerate(second)), dict(enumerate(first))), known)
        found += outcome == "slower" if gain else outcome != "cannot separate"
    return found / SIMULATIONS


def test_limit_by_hand() -> None:
    # 19 pairs at 1 %: root mean square 0.01, t(0.975, 19) = 2.093024; the largest is 0.01.
    assert log_limit([0.01, -0.01] * 9 + [0.01]) == pytest.approx(0.02093024, rel=1e-6)
    # One pair far out: root mean square sqrt((18 * 0.0001 + 0.01) / 19) = 0.024921; times t it is
    # 0.05216, less than the largest.
    assert log_limit([0.01] * 18 + [-0.1]) == pytest.approx(0.1)
    # Of 39 the second largest will do: 0.05 * 40 = 2. sqrt((37 * 0.0001 + 0.0064 + 0.01) / 39)
    # = 0.022703, times t(0.975, 39) = 2.022691 is 0.045922, less than 0.08.
    assert log_limit([0.01] * 37 + [0.08, -0.1]) == pytest.approx(0.08)


def test_limit_falls_with_the_root_of_the_rounds_but_not_beyond_the_pairs() -> None:
    ratios = [0.01, -0.01] * 10
    assert log_limit(ratios, rounds=4) == pytest.approx(log_limit(ratios) / 2)
    assert log_limit(ratios, rounds=20) == log_limit(ratios, rounds=1000)


def test_the_more_is_compared_the_larger_a_difference_must_be() -> None:
    floor = floor_of(*rounds_of(np.random.default_rng(1), SPREADS["1 %"], PAIRS))
    one, three = least_difference(floor, ROUNDS), least_difference(floor, ROUNDS, comparisons=3)
    assert one is not None
    assert one == pytest.approx(floor.relative(ROUNDS))
    # A level of 5 % / 3 with 20 degrees of freedom: t(1 - 0.05 / 6, 20) = 2.613 instead of 2.086.
    student = stats.t.ppf(1 - 0.05 / 6, PAIRS) * np.sqrt(np.mean(np.square(floor.log_ratios)))
    assert three == pytest.approx(math.expm1(student / math.sqrt(ROUNDS)))
    assert least_difference(None, ROUNDS) is None
    assert least_difference(dataclasses.replace(floor, log_limit=None), ROUNDS) is None


@given(
    st.lists(st.floats(0.001, 0.5), min_size=19, max_size=19),
    st.floats(1.0, 10.0),
    st.sampled_from([1.0, -1.0]),
)
def test_limit_is_the_same_for_either_order_and_grows_with_the_spread(
    found: list[float], factor: float, sign: float
) -> None:
    assert log_limit([sign * each for each in found]) == log_limit(found)
    larger = log_limit([factor * each for each in found])
    assert larger == pytest.approx(factor * log_limit(found))
    assert log_limit(found) >= max(found)  # of 19 none is beyond


# One pair has one order, so that a trend is in it.
@pytest.mark.parametrize("name", [name for name in SPREADS if not SPREADS[name].trend])
def test_a_pair_of_identical_processes_is_seldom_beyond_the_limit(name: str) -> None:
    spread = SPREADS[name]
    rng, beyond = np.random.default_rng(1234), 0
    for _ in range(SIMULATIONS):
        first, second = rounds_of(rng, spread, PAIRS)
        (one,), (two,) = rounds_of(rng, spread, 1)
        beyond += abs(math.log(one / two)) > log_limit(np.log(first / second))
    assert beyond / SIMULATIONS <= MOST


@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())
def test_identical_contenders_are_seldom_called_different(spread: Spread) -> None:
    assert claims(spread) <= MOST


@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS.keys())
def test_without_a_floor_the_interval_over_rounds_keeps_the_level(spread: Spread) -> None:
    assert claims(spread, floor=False) <= MOST


def test_a_bootstrap_of_the_mean_of_five_rounds_does_not_keep_the_level() -> None:
    rng = np.random.default_rng(1234)
    logs = rng.normal(0, 0.02, (SIMULATIONS, ROUNDS))
    drawn = rng.integers(0, ROUNDS, (1000, ROUNDS))
    low, high = np.quantile(logs[:, drawn].mean(axis=2), [0.025, 0.975], axis=1)
    assert np.mean((low > 0) | (high < 0)) > 2.5 * FALSE_ALARMS  # 17 %


@pytest.mark.parametrize("spread", [SPREADS[name] for name in ("1 %", "2 %, drift")])
def test_a_t_test_within_runs_calls_most_identical_contenders_different(spread: Spread) -> None:
    rng, called = np.random.default_rng(1234), 0
    for _ in range(300):
        (one,), (two,) = rounds_of(rng, spread, 1)
        called += steps_differ(steps_of(rng, one, 200), steps_of(rng, two, 200))
    assert called / 300 > 0.5


def test_a_t_test_within_runs_is_welch_s() -> None:
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.02, 0.05):
        one, two = np.exp(rng.normal(0, 0.05, 30)), np.exp(rng.normal(shift, 0.03, 50))
        test = stats.ttest_ind(np.log(one), np.log(two), equal_var=False)
        assert steps_differ(one, two) == (not test.confidence_interval().low <= 0
                                          <= test.confidence_interval().high)  # fmt: skip


def test_a_t_test_of_too_few_or_equal_steps_finds_nothing() -> None:
    assert not steps_differ([100.0], [110.0, 111.0])
    assert not steps_differ([100.0, 100.0], [110.0, 110.0])


@pytest.mark.parametrize(
    ("name", "least"),
    [("1 %", 0.99), ("2 %, drift", 0.9), ("2 %, two states", 0.9), ("1 %, trend", 0.9)],
)
def test_steps_that_take_ten_percent_longer_are_found(name: str, least: float) -> None:
    assert claims(SPREADS[name], gain=-math.log(1.1)) >= least


def test_of_a_machine_counts_its_newest_floor_that_has_a_limit() -> None:
    rng = np.random.default_rng(1)
    floor = floor_of(*rounds_of(rng, SPREADS["1 %"], PAIRS))
    newer = dataclasses.replace(floor, started_at="2026-02-02T03:04:05+00:00")
    unfinished = dataclasses.replace(
        floor, started_at="2026-03-02T03:04:05+00:00", log_limit=None, pairs=floor.pairs[:3]
    )
    assert floor_of_machine([newer, unfinished, floor], MACHINE) is newer
    assert floor_of_machine([unfinished], MACHINE) is None
    assert floor_of_machine([floor], None) is None


@pytest.mark.parametrize(
    "changes", [{"host_digest": "other"}, {"cpu_model": "other"}, {"devices": ("gpu:0",)}]
)
def test_a_floor_of_another_machine_is_not_taken(changes: dict[str, object]) -> None:
    floor = floor_of(*rounds_of(np.random.default_rng(1), SPREADS["1 %"], PAIRS))
    assert floor_of_machine([floor], dataclasses.replace(MACHINE, **changes)) is None  # type: ignore[arg-type]
