"""Speeds over processes: by hand, against scipy, and how often the intervals are right."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from calibrated import floor as calibration
from scipy import stats
from timed import cell, contender, failed, timings

from harness.record import Measure
from harness.timings import Overhead
from reports.speed import by_round, median_interval, overhead_share, pairs, ratio, speeds
from reports.statistics import Estimate


def test_the_median_of_five_processes_lies_between_the_least_and_the_largest() -> None:
    found = median_interval([5.0, 1.0, 3.0, 2.0, 40.0])
    assert (found.value, found.low, found.high) == (3.0, 1.0, 40.0)
    assert (found.n, found.varied, found.method) == (5, "processes", "order statistics")
    assert found.level == pytest.approx(1 - 2 / 2**5), "93.75 %: all of five on one side"


@pytest.mark.parametrize(("n", "level"), [(2, 0.5), (3, 0.75), (5, 0.9375), (6, 0.95), (30, 0.95)])
def test_a_level_beyond_reach_is_not_claimed(n: int, level: float) -> None:
    assert median_interval(np.arange(n) + 1.0).level == pytest.approx(level)


@pytest.mark.parametrize("n", range(2, 31))
def test_the_interval_of_a_median_covers_what_it_says_and_is_the_narrowest(n: int) -> None:
    def coverage(low: int, high: int) -> float:
        """Chance that `low` to `high - 1` of n values lie below the median, counted out."""
        return sum(math.comb(n, below) for below in range(low, high)) / 2**n

    # The values are their own places: 1 is the least one.
    found = median_interval(np.random.default_rng(n).permutation(n) + 1.0)
    low, high = int(found.low or 0), int(found.high or 0)
    assert low == n + 1 - high
    assert coverage(low, high) >= found.level
    if low > 1:
        assert found.level == 0.95
    if low + 1 < high - 1:
        assert coverage(low + 1, high - 1) < 0.95


def test_the_interval_of_a_median_is_that_of_scipy() -> None:
    # Its quantile test is that of Conover 1999 (Practical Nonparametric Statistics, section 3.2).
    data = np.random.default_rng(7).lognormal(0, 0.1, 25)
    found = median_interval(data)
    other = stats.quantile_test(data, q=np.median(data), p=0.5).confidence_interval(0.95)
    assert (found.low, found.high) == (other.low, other.high)


def test_what_has_no_interval_says_why() -> None:
    assert median_interval([]) == Estimate(absent="nothing was measured")
    one = median_interval([3.0])
    assert (one.value, one.low) == (3.0, None)
    assert one.absent == "one process has no spread"
    assert median_interval([2.0, 2.0]).absent == "all 2 processes gave the same value"


def test_ratios_by_hand() -> None:
    # 1.2, 1.2 and 1.5 within rounds, however the machine drifts: geometric mean 2.16^(1/3).
    found = ratio({1: 100.0, 2: 10.0, 3: 50.0}, {1: 120.0, 2: 12.0, 3: 75.0})
    assert found.value == pytest.approx(2.16 ** (1 / 3))
    logs = np.log([1.2, 1.2, 1.5])
    half = stats.t.ppf(0.975, 2) * np.std(logs, ddof=1) / math.sqrt(3)
    assert found.low == pytest.approx(math.exp(logs.mean() - half))
    assert found.high == pytest.approx(math.exp(logs.mean() + half))
    assert (found.n, found.varied) == (3, "rounds")


def test_only_rounds_of_both_count() -> None:
    found = ratio({1: 100.0, 2: 100.0, 4: 1.0}, {2: 110.0, 3: 5.0, 1: 121.0})
    assert found.value == pytest.approx(math.sqrt(1.1 * 1.21))
    assert ratio({1: 1.0}, {2: 1.0}).absent == "there is no round in which both were measured"
    one = ratio({1: 2.0}, {1: 3.0})
    assert (one.value, one.low) == (pytest.approx(1.5), None)


def test_two_rounds_far_apart_still_give_numbers() -> None:
    found = ratio({1: 1.0, 2: 1.0}, {1: 1e-60, 2: 1e60})
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 1 < found.high < math.inf


# Half a per cent from step to step, five per cent from process to process.
STEPS, WITHIN, BETWEEN = 50, 0.005, 0.05


def measured(rng: np.random.Generator, processes: int) -> np.ndarray:
    """Return rates of steps `[processes, STEPS]` of a contender whose true median is 100."""
    level = rng.normal(0, BETWEEN, (processes, 1))
    return 100 * np.exp(level + rng.normal(0, WITHIN, (processes, STEPS)))


def coverage(
    interval: Callable[[np.ndarray], Estimate], processes: int, times: int = 400
) -> float:
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(times):
        found = interval(measured(rng, processes))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 100 <= found.high
    return hits / times


def over_processes(rates: np.ndarray) -> Estimate:
    return median_interval(rates.mean(axis=1))


def test_intervals_over_processes_hold_what_they_say_and_those_over_steps_do_not() -> None:
    # Of 400 simulations a share of 94 % has a standard error of 1.2 %.
    assert coverage(over_processes, 5) == pytest.approx(1 - 2 / 2**5, abs=0.036)
    assert coverage(over_processes, 3) == pytest.approx(0.75, abs=0.065)
    assert coverage(over_processes, 10) > 0.95 - 0.04

    def over_steps(rates: np.ndarray) -> Estimate:
        return median_interval(rates[0])

    assert coverage(over_steps, 5) < 0.1


@pytest.mark.parametrize("rounds", [2, 5])
def test_ratios_of_equals_include_one_as_often_as_they_say(rounds: int) -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(1000):
        drift = np.exp(rng.normal(0, 0.2, rounds))  # shared by a round
        first, other = (measured(rng, rounds).mean(axis=1) * drift for _ in range(2))
        found = ratio(dict(enumerate(first)), dict(enumerate(other)))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1 <= found.high
    # The standard error of a share of 95 % of 1,000 is 0.7 %.
    assert hits / 1000 == pytest.approx(0.95, abs=0.021)


def test_rows_hold_medians_ratios_and_what_else_there_is_to_know() -> None:
    made = timings({"notebook-cnn": (100.0, 110.0, 105.0), "patch-s": (120.0, 132.0, 127.0)})
    cells = (*made.cells, failed("readme-cnn"))
    shaken = cell("patch-s", 4, 130.0, flags=("never became stationary within 60 s",),
                  disturbances=((), ("steal 12 %",)),
                  phases={"latency": ("steal 3 %",)})  # fmt: skip
    made = timings(cells=(*cells, shaken), contenders=(*made.contenders, contender("readme-cnn")))
    one, two, three = speeds(made)
    assert (one.name, one.processes, one.failures) == ("notebook-cnn", 3, ())
    assert one.measures["images_per_s"].value == 105.0
    assert one.ratio.value is None
    assert two.measures["images_per_s"].value == 128.5
    assert two.ratio.value == pytest.approx((1.2 * 1.2 * 127 / 105) ** (1 / 3))
    assert two.ratio.n == 3, "the fourth round has no partner"
    assert two.disturbed == pytest.approx((2 / 3) / 4)
    assert (two.disturbed_by, two.disturbed_phases) == ("steal 12 %", {"latency": 1})
    assert two.flags == {"never became stationary within 60 s": 1}
    assert two.parameters == 685_774
    assert two.measures["latency_p99_ms"].absent == "too few samples"
    assert two.measures["mfu"].absent == "all 4 processes gave the same value"
    assert (three.processes, three.failures) == (0, ("No such luck.",))
    assert three.measures == {}
    assert three.ratio.absent == "there is no round in which both were measured"


def test_rates_by_round_leave_out_what_is_absent() -> None:
    absent = cell("notebook-cnn", 2, measures={"images_per_s": Measure(reason="none")})
    made = timings(cells=(cell("notebook-cnn", 3, 50.0), absent, failed("notebook-cnn", 1)))
    assert by_round(made, "notebook-cnn") == {3: 50.0}


def test_all_pairs_are_judged_at_a_level_that_holds_for_them_together() -> None:
    rates = {
        "notebook-cnn": (100.0, 101.0, 99.0, 100.0, 100.5),
        "patch-s": (120.0, 121.0, 119.5, 120.5, 119.0),
        "readme-cnn": (100.5, 100.0, 100.0, 99.0, 101.0),
    }
    found = pairs(timings(rates))
    assert [(p.first, p.other, p.outcome) for p in found] == [
        ("notebook-cnn", "patch-s", "faster"),
        ("notebook-cnn", "readme-cnn", "cannot separate"),
        ("patch-s", "readme-cnn", "slower"),
    ]
    assert found[1].reason == "the interval over 5 rounds includes 1"
    assert all(p.ratio.level == pytest.approx(1 - 0.05 / 3) for p in found)
    assert pairs(timings({"patch-s": (1.0, 2.0)})) == ()


def test_what_the_harness_costs_is_the_median_of_pairs() -> None:
    cost = Overhead(contender="x", pairs=((1.0, 1.01), (2.0, 2.04), (1.0, 0.99)))
    found = overhead_share(cost)
    assert found.value == pytest.approx(0.01)
    assert (found.low, found.high) == (pytest.approx(-0.01), pytest.approx(0.02))
    assert overhead_share(Overhead(contender="x", reason="It failed.")).absent == "It failed."


def test_nothing_below_the_noise_floor_is_claimed() -> None:
    # 2 % apart in each of five rounds, within a tenth of a per cent. Twenty pairs 1 % apart:
    # t(0.975, 20) x ln 1.01 / sqrt(5) is 0.9 %; 5 % apart: 2.085963 x ln 1.05 / sqrt(5) is 4.7 %.
    rates = {"notebook-cnn": [100.0] * 5, "patch-s": [102.0, 102.1, 101.9, 102.0, 102.1]}
    (unknown,) = pairs(timings(rates))
    (quiet,) = pairs(timings(rates), calibration())
    (noisy,) = pairs(timings(rates), calibration([1.05, 1 / 1.05] * 10))
    assert (unknown.outcome, unknown.floor) == ("faster", None)
    assert (quiet.outcome, quiet.floor) == ("faster", pytest.approx(0.0093257, rel=1e-4))
    assert noisy.outcome == "cannot separate"
    assert noisy.reason == "below the noise floor of 4.7 %"
