"""Measured peaks: the arithmetic by an invented clock, and that real ones are possible."""

from __future__ import annotations

import itertools

import pytest

from harness import peak


def ticking(*steps_s: float) -> peak.Clock:
    """A clock that advances by these steps, over and over."""
    times = itertools.accumulate(itertools.cycle(steps_s), initial=0.0)
    return lambda: next(times)


def test_a_matrix_product_counts_two_flop_for_each_multiply_add() -> None:
    # Each look at the clock is 0.05 s after the last one, which is long enough at once: side 256,
    # 2 x 256^3 = 33,554,432 FLOP in 0.05 s.
    measure = peak.matrix_gflops("cpu:0", "float32", clock=ticking(0.05))
    assert measure.value == pytest.approx(33_554_432 / 0.05 / 1e9)
    assert len(measure.samples) == peak.SAMPLES


def test_a_product_that_is_too_quick_to_be_timed_is_made_larger() -> None:
    # The start is one look; a sample of side 256 lies between the looks at 0 s and 0.001 s, then
    # one look for patience, then side 512 between 0.001 s and 0.051 s.
    clock = iter([0.0, 0.0, 0.001, 0.001, 0.001, 0.051, *(0.051 + 0.1 * n for n in range(40))])
    measure = peak.matrix_gflops("cpu:0", "float32", clock=lambda: next(clock))
    assert measure.samples[0] == pytest.approx(2 * 512**3 / 0.05 / 1e9)


def test_the_best_sample_is_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_ARRAY_BYTES", 2**20)
    # Samples of 0.5 s, 0.25 s, 0.5 s ...: three arrays of 1 MiB in 0.25 s at best.
    measure = peak.memory_gb_per_s("cpu:0", clock=ticking(0.5, 9.0, 0.25, 9.0))
    assert measure.value == pytest.approx(3 * 2**20 / 0.25 / 1e9)
    assert min(measure.samples) == pytest.approx(3 * 2**20 / 0.5 / 1e9)
    assert len(measure.samples) == peak.SAMPLES


def test_a_product_that_the_device_cannot_make_is_absent() -> None:
    measure = peak.matrix_gflops("cpu:0", "int16")
    assert measure.value is None
    assert measure.reason == "cpu:0 has no matrix product of int16"


@pytest.mark.parametrize("dtype", peak.DTYPES)
def test_real_peaks_are_positive(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_LEAST_S", 0.0)  # a small matrix: only that it works
    measure = peak.matrix_gflops("cpu:0", dtype)
    assert measure.value is not None
    assert 0 < min(measure.samples) <= measure.value


def test_products_side_by_side_count_together() -> None:
    # The clock says that any number of products takes as long as one.
    one = peak.matrix_gflops("cpu:0", "float32", clock=ticking(0.05))
    two = peak.matrix_gflops("cpu:0", "float32", at_once=2, clock=ticking(0.05))
    assert one.value is not None
    assert two.value == pytest.approx(2 * one.value)
