"""What a run's steps, scenes and first batch took, over all its attempts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, thread_time

import numpy as np
from numpy.typing import NDArray

from harness.record import Measure, RunRecord
from harness.scenes import Scenes
from harness.timing import Span, step_percentiles

Ids = NDArray[np.int64]

MOST_SAMPLES = 2000
"""Step times kept at most, some 25 kB of a record: those of a million calls would be 12 MB, and
written with each checkpoint. At least half as many are kept of a longer run, which hold a 90th
percentile to within 3 % of the calls (three standard errors)."""


@dataclass(slots=True, kw_only=True)
class RunTimes:
    """Times of a run that has not ended.

    An attempt that goes on from a checkpoint takes over the samples in the checkpoint's record.

    Attributes:
        begun_s: `perf_counter` seconds when this attempt began.
        step_s: of each graph call, its time over its steps; of a long run that of every second,
            every fourth, and so on, evenly spaced, so that a drift can still be seen.
        data_rates: scenes per second of each epoch.
        first_batch_s: until the first graph call was done, in the first attempt.
    """

    begun_s: float = field(default_factory=perf_counter)
    step_s: list[float] = field(default_factory=list)
    data_rates: list[float] = field(default_factory=list)
    first_batch_s: float | None = None
    _calls: int = 0
    _stride: int = 1
    _scenes: int = 0
    _making_s: float = 0.0

    def timed(self, make: Callable[[int, Ids], Scenes], epoch: int, ids: Ids) -> Scenes:
        """Make scenes and note how long their thread was at work.

        Its CPU time: while training keeps all cores busy, a thread that makes scenes also waits.
        """
        start_s = thread_time()
        scenes = make(epoch, ids)
        self._making_s += thread_time() - start_s
        self._scenes += len(ids)
        return scenes

    def note(self, spans: Sequence[Span]) -> None:
        """Take in the graph calls of an epoch that has just been trained."""
        for span in spans:
            self._keep(span.step_s)
        if self.first_batch_s is None:
            self.first_batch_s = spans[0].end_s - self.begun_s
        if self._making_s > 0:
            self.data_rates.append(self._scenes / self._making_s)
        self._scenes, self._making_s = 0, 0.0

    def _keep(self, step_s: float) -> None:
        if self._calls % self._stride == 0:
            self.step_s.append(step_s)
        self._calls += 1
        if len(self.step_s) > MOST_SAMPLES:
            del self.step_s[1::2]
            self._stride *= 2

    def measures(self) -> dict[str, Measure]:
        """Return what is known so far."""
        rates, first = self.data_rates, self.first_batch_s
        unknown = Measure(reason="nothing was trained")
        return {
            **step_percentiles(self.step_s),
            # Each epoch makes as many scenes: the harmonic mean is their total over its time.
            "data_images_per_s": Measure(
                value=len(rates) / sum(1 / rate for rate in rates), samples=tuple(rates)
            )
            if rates
            else unknown,
            "first_batch_s": unknown if first is None else Measure(value=first),
        }

    def continues(self, before: RunRecord) -> None:
        """Take over what an earlier attempt measured."""
        measures = before.measures
        steps, rates = (measures.get(name) for name in ("step_p50_ms", "data_images_per_s"))
        self.step_s = [ms / 1000 for ms in steps.samples] if steps else []
        self.data_rates = list(rates.samples) if rates else []
        first = measures.get("first_batch_s")
        self.first_batch_s = first.value if first else None
        self._calls = _calls(before)
        kept = max(1, len(self.step_s))
        # Of c calls every s-th is kept, c / s rounded up; s is a power of 2.
        self._stride = 2 ** round(math.log2(max(self._calls, kept) / kept))


def _calls(record: RunRecord) -> int:
    """Return how many graph calls trained the epochs of a record."""
    config = record.config
    step = config.batch
    if config.global_batch_size is None and record.machine is not None:
        step *= record.machine.replicas
    call = step * config.steps_per_call
    return sum(math.ceil(point.images / call) for point in record.history)
