"""What is timed and how, known before anything slow is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.config import RunConfig
from harness.errors import UsageError

LATENCY_SAMPLES = 200
"""Ten above the 95th percentile, within seconds; a 99th one needs 662."""

MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """What is timed, under a name.

    Attributes:
        name: unique among those that are timed together.
        config: its seed, weights and rates take part, but should not matter.
    """

    name: str
    config: RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlan:
    """How a cell is measured; the same for all that are compared.

    Attributes:
        seconds: of training that is timed, once the pace is stationary.
        inference_batch: images of a prediction; None for the training batch.
        latency_samples: predictions of a single image.

    Raises:
        UsageError: a number is out of range.
    """

    seconds: float = 10.0
    inference_batch: int | None = None
    latency_samples: int = LATENCY_SAMPLES

    def __post_init__(self) -> None:
        if not (0 < self.seconds <= MOST_SECONDS and math.isfinite(self.seconds)):
            raise UsageError(
                f"--seconds must be above 0 and at most {MOST_SECONDS:.0f}, got {self.seconds:g}."
            )
        if self.inference_batch is not None and not 1 <= self.inference_batch <= 2**20:
            raise UsageError(
                f"--inference-batch must be 1 to {2**20}, got {self.inference_batch}."
            )
        if not 1 <= self.latency_samples <= 10**6:
            raise UsageError(
                f"--latency-samples must be 1 to 1000000, got {self.latency_samples}."
            )
