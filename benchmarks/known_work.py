"""A training of known length: what workers run where the machinery of sweeps is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.config import RunConfig
from harness.record import EpochPoint, Measure, RunRecord
from harness.store import Store


def execute(job: Mapping[str, Any], on_epoch: Callable[[EpochPoint], bool]) -> RunRecord:
    """Keep a core busy for `trial_s` seconds of the wall clock, an equal part in each epoch."""
    config, start_s = RunConfig.from_json(job["config"]), perf_counter()
    points: list[EpochPoint] = []
    for epoch in range(1, config.epochs + 1):
        begun_s = perf_counter()
        while perf_counter() - begun_s < job["trial_s"] / config.epochs:
            pass
        score = epoch / (1 + epoch + abs(config.learning_rate - 1e-3))
        points.append(
            EpochPoint(epoch=epoch, images=1, train_s=0.0, metrics={"validation_score": score})
        )
        on_epoch(points[-1])
    record = RunRecord(
        run_id=job["run_id"], role=job["role"], sweep=job["sweep"], trial=job["trial"],
        config=config, status="finished", started_at="2026-01-01T00:00:00+00:00",
        duration_s=perf_counter() - start_s, history=tuple(points),
        measures={"validation_score": Measure(value=points[-1].metrics["validation_score"])},
    )  # fmt: skip
    Store(Path(job["store"])).write_record(record)
    return record
