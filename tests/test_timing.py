"""Percentiles, MLPerf's least number of samples, and the speed of training steps."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.metrics import METRICS
from harness.timing import Span, least_samples, percentile, step_measures

TIMES = st.lists(st.floats(1e-4, 10), min_size=1, max_size=30)


def tiled(seconds: list[float], steps: list[int], batch: int = 64) -> list[Span]:
    """Spans that follow each other without a gap."""
    ends = np.cumsum([5.0, *seconds]).tolist()
    return [
        Span(start_s=start, end_s=end, steps=count, images=count * batch)
        for start, end, count in zip(ends, ends[1:], steps, strict=False)
    ]


def test_a_percentile_by_hand() -> None:
    # Of 1, 2, 4, 8, 16 ms the median is 4; p90 lies 0.6 of the way from the 4th to the 5th:
    # 0.9 x (5 - 1) = 3.6, so 8 + 0.6 x 8 = 12.8.
    times = [0.004, 0.001, 0.016, 0.002, 0.008]
    median, p90 = percentile(times, 50), percentile(times, 90)
    assert median.value == pytest.approx(4)
    assert p90.value == pytest.approx(12.8)
    assert median.samples == p90.samples == (4.0, 1.0, 16.0, 2.0, 8.0), "raw, in order"


@given(TIMES)
def test_the_median_is_that_of_python(times: list[float]) -> None:
    # Samples are kept to 0.1 µs.
    assert percentile(times, 50).value == pytest.approx(1000 * statistics.median(times), abs=1e-3)


def test_mlperf_asks_for_so_many_samples() -> None:
    assert {q: least_samples(q) for q in (50, 90, 99)} == {50: 11, 90: 64, 99: 662}


@pytest.mark.parametrize("q", [1, 50, 90, 95, 97, 99])
def test_the_least_number_of_samples_is_that_of_the_binomial(q: int) -> None:
    n = least_samples(q)
    above = 1 - q / 100
    assert stats.binom.cdf(1, n, above) <= 0.01
    if n > 2:
        assert stats.binom.cdf(1, n - 1, above) > 0.01


def test_p99_of_too_few_samples_is_absent_with_the_reason() -> None:
    few = percentile([0.001] * 661, 99)
    assert few.value is None
    assert few.reason == (
        "the 99th percentile needs at least 662 samples (MLPerf's bound), but there are 661"
    )
    assert len(few.samples) == 661, "what was measured is kept"
    assert percentile([0.001] * 662, 99).value == pytest.approx(1)
    assert percentile([0.001], 90).value == pytest.approx(1), "the body needs no bound"


def test_a_percentile_of_nothing_is_absent() -> None:
    assert percentile([], 50).reason == "nothing was timed"


@pytest.mark.parametrize("q", [0, 100, -1])
def test_a_percentile_out_of_range_is_refused(q: int) -> None:
    with pytest.raises(ValueError, match=f"must be 1 to 99, got {q}"):
        least_samples(q)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"images": 0}, {"end_s": 1.0}, {"end_s": float("nan")}]
)
def test_a_span_without_work_or_time_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold steps, images and time"):
        Span(**{"start_s": 1.0, "end_s": 2.0, "steps": 1, "images": 64} | bad)  # type: ignore[arg-type]


def test_steps_by_hand() -> None:
    # 2 s over 20 steps, 3 s over 20 and 0.5 s over 10: 100, 150 and 50 ms a step.
    found = step_measures(tiled([2.0, 3.0, 0.5], [20, 20, 10]))
    assert set(found) <= set(METRICS)
    assert found["step_p50_ms"].value == pytest.approx(100)
    assert found["step_p90_ms"].value == pytest.approx(140)  # 0.8 of the way from 100 to 150
    # 50 steps of 64 images in 5.5 s; the mean of the three rates would be 862.
    assert found["images_per_s"].value == pytest.approx(50 * 64 / 5.5)
    assert found["images_per_s"].samples == pytest.approx((640, 1280 / 3, 1280))


@given(TIMES, st.data())
def test_the_rate_is_total_images_over_total_time(times: list[float], data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(1, 50), min_size=len(times), max_size=len(times)))
    spans = tiled(times, steps)
    expected = 64 * sum(steps) / (spans[-1].end_s - spans[0].start_s)
    assert step_measures(spans)["images_per_s"].value == pytest.approx(expected)


def test_no_steps_are_absent() -> None:
    assert {m.reason for m in step_measures([]).values()} == {"no training step was timed"}
