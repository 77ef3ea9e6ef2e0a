"""Calibrations written by hand: nothing here was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from records import MACHINE

from harness.config import RunConfig
from harness.noise_floor import NoiseFloor, Pair, least_pairs
from harness.record import Measure
from reports.speed_floor import log_limit


def floor(ratios: Sequence[float] = (1.01, 1 / 1.01) * 10, **changes: Any) -> NoiseFloor:
    """Return the calibration of pairs with these ratios of images/s."""
    pairs = tuple(
        Pair(
            first=Measure(value=400.0 * ratio, samples=(400.0, 401.0)),
            second=Measure(value=400.0, samples=(399.0, 401.0)), called=ratio > 1,
        )
        for ratio in ratios
    )  # fmt: skip
    logs = [math.log(ratio) for ratio in ratios]
    values: dict[str, Any] = {
        "name": "0123456789ab-20260102-030405", "started_at": "2026-01-02T03:04:05.000+00:00",
        "duration_s": 300.0, "config": RunConfig(dataset="digits"), "seconds": 2.0,
        "machine": MACHINE, "pairs": pairs, "asked": len(pairs),
        "log_limit": log_limit(logs) if len(logs) >= least_pairs() else None,
    }  # fmt: skip
    return NoiseFloor(**values | changes)
