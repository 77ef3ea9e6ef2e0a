"""What is made of measured times: percentiles, and the speed of training steps.

Pure values: who measured them, a run, a trial or a cell of `bench throughput`, does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.record import Measure

MLPERF_CONFIDENCE = 0.99
"""Of MLPerf Inference's early stopping (inference_rules.adoc, "Early Stopping Criterion")."""

_TAIL = 90
"""Up to this percentile a few samples tell something; beyond, too few say nothing at all."""

_MS_DIGITS = 4  # 0.1 µs: no clock of an operating system is finer


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One graph call of the train loop: from the end of the one before to the end of this one.

    The first begins with the loop, so spans leave no gap: waiting for data and telling progress
    are in them, and their sum is the time of the loop.

    Attributes:
        start_s, end_s: seconds of `time.perf_counter`.
        steps: training steps in the call, at least 1.
        images: that were trained on, over all replicas.
    """

    start_s: float
    end_s: float
    steps: int
    images: int

    def __post_init__(self) -> None:
        if self.steps < 1 or self.images < 1 or not self.end_s > self.start_s:
            raise ValueError(f"a span must hold steps, images and time, got {self}")

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return self.end_s - self.start_s

    @property
    def step_s(self) -> float:
        """Return the mean time of its steps, which one graph call cannot tell apart."""
        return self.seconds / self.steps


def step_measures(spans: Sequence[Span]) -> dict[str, Measure]:
    """Return what training steps took: `step_p50_ms`, `step_p90_ms` and `images_per_s`.

    The rate is total images over total time; its samples are the rates of the spans.
    """
    steps = step_percentiles([span.step_s for span in spans])
    if not spans:
        return {**steps, "images_per_s": Measure(reason="no training step was timed")}
    images, seconds = sum(span.images for span in spans), sum(span.seconds for span in spans)
    rates = tuple(span.images / span.seconds for span in spans)
    return {**steps, "images_per_s": Measure(value=images / seconds, samples=rates)}


def step_percentiles(steps_s: Sequence[float]) -> dict[str, Measure]:
    """Return `step_p50_ms` and `step_p90_ms` of the step times of graph calls, in seconds.

    The samples stand with the median only: a long run has many.
    """
    if not steps_s:
        none = Measure(reason="no training step was timed")
        return {"step_p50_ms": none, "step_p90_ms": none}
    p90 = replace(percentile(steps_s, 90), samples=())
    return {"step_p50_ms": percentile(steps_s, 50), "step_p90_ms": p90}


def percentile(samples_s: Sequence[float], q: int) -> Measure:
    """Return a percentile of times in milliseconds, with all of them as samples.

    It is interpolated between neighbours (Hyndman & Fan 1996, type 7, NumPy's default).

    Args:
        samples_s: times in seconds, in the order in which they were measured.
        q: 1 to 99; beyond 90 it is absent unless there are `least_samples(q)`.

    Raises:
        ValueError: `q` is out of range.
    """
    samples = tuple(round(1000 * sample, _MS_DIGITS) for sample in samples_s)
    least = least_samples(q) if q > _TAIL else 1
    if not samples:
        return Measure(reason="nothing was timed")
    if len(samples) < least:
        return Measure(
            reason=f"the {q}th percentile needs at least {least} samples (MLPerf's bound), but "
            f"there are {len(samples)}",
            samples=samples,
        )
    return Measure(value=float(np.percentile(samples, q)), samples=samples)


def least_samples(q: int) -> int:
    """Return how many samples a percentile needs by MLPerf's early-stopping bound: 662 for 99.

    With so many, the second largest sample is above the true percentile with a confidence of
    99 %: at most one of `n` lies above it with probability p^n + n (1 - p) p^(n - 1) <= 1 %.

    Args:
        q: 1 to 99, in percent.

    Raises:
        ValueError: `q` is out of range.
    """
    if not 1 <= q <= 99:
        raise ValueError(f"a percentile must be 1 to 99, got {q}")
    p, n = q / 100, 2
    while math.pow(p, n) + n * (1 - p) * math.pow(p, n - 1) > 1 - MLPERF_CONFIDENCE:
        n += 1
    return n
