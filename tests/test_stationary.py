"""Where warm-up ends, on series whose end of warm-up is known because they are made so."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.stationary import LEAST, _differ, steady_from

Times = NDArray[np.float64]

SERIES = 100
"""Of each kind: one of them by chance proves nothing."""


def noise(rng: np.random.Generator, count: int, spread: float = 0.02) -> Times:
    """Steady times around 1 with a relative spread."""
    return np.exp(rng.normal(0, spread, count))


def spiked(rng: np.random.Generator, times: Times, share: float = 0.1) -> Times:
    """Times of which some steps were disturbed: 1.5 to 20 times as long."""
    hit = rng.random(times.size) < share
    return np.where(hit, times * rng.uniform(1.5, 20, times.size), times)


def found(make: object, count: int = 100) -> list[int | None]:
    """What is found in many series of a kind; the seeds are fixed."""
    rngs = (np.random.default_rng(seed) for seed in range(SERIES))
    return [steady_from(make(rng, count)) for rng in rngs]  # type: ignore[operator]


def known(values: list[int | None]) -> list[int]:
    return [value for value in values if value is not None]


@pytest.mark.parametrize("count", [LEAST, 40, 100, 300])
@pytest.mark.parametrize("spread", [0.02, 0.1])
def test_noise_alone_has_no_warm_up(count: int, spread: float) -> None:
    values = found(lambda rng, n: noise(rng, n, spread), count)
    assert len(known(values)) >= 0.96 * SERIES
    # Each cut may be rejected by one of five comparisons at 1 %: 5 % at most, by chance alone.
    assert np.mean([value == 0 for value in values]) >= 0.9


@pytest.mark.parametrize("count", [40, 100, 300])
def test_spikes_are_no_warm_up(count: int) -> None:
    values = found(lambda rng, n: spiked(rng, noise(rng, n)), count)
    assert len(known(values)) >= 0.96 * SERIES
    assert np.quantile(known(values), 0.85) <= 2, "a spike at the very start is cut off"


@pytest.mark.parametrize("count", [40, 100, 300])
@pytest.mark.parametrize("spikes", [0.0, 0.1])
def test_a_decay_is_cut_off_until_noise_hides_it(count: int, spikes: float) -> None:
    def decay(rng: np.random.Generator, n: int) -> Times:
        return spiked(rng, noise(rng, n) * (1 + 2 * np.exp(-np.arange(n) * 25 / n)), spikes)

    values = found(decay, count)
    assert len(known(values)) >= 0.96 * SERIES
    # 1 + 2 exp(-25 x) is within 10 % at x = 0.12 and within 1 % at x = 0.212.
    assert np.quantile(known(values), 0.05) >= 0.1 * count
    assert np.median(known(values)) <= 0.22 * count


@pytest.mark.parametrize("before", [0.8, 1.2, 3.0])
@pytest.mark.parametrize("count", [40, 100, 300])
def test_a_step_is_where_it_is(before: float, count: int) -> None:
    at = count // 4
    values = found(lambda rng, n: noise(rng, n) * np.where(np.arange(n) < at, before, 1.0), count)
    assert len(known(values)) >= 0.96 * SERIES
    assert abs(float(np.median(known(values))) - at) <= max(1, count // 50)
    assert np.quantile(known(values), 0.05) >= at - max(2, count // 25)


@pytest.mark.parametrize("at", [0.75, 0.9])
@pytest.mark.parametrize("after", [0.8, 1.2])
def test_a_step_too_late_to_tell_is_not_steady(at: float, after: float) -> None:
    values = found(lambda rng, n: noise(rng, n) * np.where(np.arange(n) < at * n, 1.0, after))
    assert known(values) == []


@pytest.mark.parametrize("change", [0.3, 1.0, -0.5])
@pytest.mark.parametrize("spikes", [0.0, 0.05])
def test_a_trend_that_never_ends_is_not_steady(change: float, spikes: float) -> None:
    values = found(
        lambda rng, n: spiked(rng, noise(rng, n) * (1 + change * np.arange(n) / n), spikes)
    )
    assert len(known(values)) <= 0.02 * SERIES


def test_a_drift_below_what_matters_is_steady() -> None:
    times = 1 + 0.015 * np.arange(200) / 200  # certain, and smaller than the tolerance of 2 %
    assert steady_from(times.tolist()) == 0


def test_a_longer_look_finds_that_a_slow_decay_ended() -> None:
    rng = np.random.default_rng(5)
    times = noise(rng, 400) * (1 + 2 * np.exp(-np.arange(400) / 15))
    assert steady_from(times[:40].tolist()) is None
    found_at = steady_from(times.tolist())
    assert found_at is not None
    assert 30 <= found_at <= 90  # within 27 % at 30, within 0.5 % at 90


def test_one_slow_first_step_is_warm_up() -> None:
    rng = np.random.default_rng(0)
    times = [10.0, 5.0, *noise(rng, 60).tolist()]
    assert steady_from(times) == 2


def test_times_without_any_noise() -> None:
    assert steady_from([0.25] * 40) == 0
    assert steady_from([3.0] * 6 + [1.0] * 40) == 6


@pytest.mark.parametrize("count", [0, 1, LEAST - 1])
def test_a_short_series_is_not_steady_yet(count: int) -> None:
    assert steady_from([1.0] * count) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite and positive"):
        steady_from([1.0] * 30 + [bad])


def test_the_unit_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    times = spiked(rng, noise(rng, 150) * (1 + 2 * np.exp(-np.arange(150) / 6)))
    assert steady_from(times.tolist()) == steady_from((times * 1e-3).tolist())


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.2])
def test_parts_differ_where_scipy_says_so(shift: float) -> None:
    sure = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        early, late = noise(rng, 12), noise(rng, 40) + shift
        p = stats.mannwhitneyu(early, late, method="asymptotic", use_continuity=False).pvalue
        matters = abs(np.median(late) - np.median(early)) > 0.02 * np.median(early)
        assert _differ(early, late) == (p < 0.01 and matters)
        sure.append(p < 0.01)
    assert shift == 0 or any(sure)


def test_a_long_series_needs_no_quadratic_work() -> None:
    times = noise(np.random.default_rng(0), 200_000) * np.linspace(2, 1, 200_000)
    assert steady_from(times.tolist()) is None, "pairs of so many samples would not fit in memory"
