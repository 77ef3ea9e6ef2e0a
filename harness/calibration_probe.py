"""Measures, in a fresh process, how fast one cell of a calibration trains; nothing else of it.

The same training as in a cell of `bench throughput` (`harness.cell_probe`), without what comes
behind it there: a calibration needs many processes, not many quantities.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from harness.cell import Cell
from harness.cell_probe import Request
from harness.data import load
from harness.disturbance import Watcher
from harness.engines import compiled_engine, open_devices
from harness.fresh_process import answer, end_with_the_caller
from harness.machine import fingerprint
from harness.tf_keras import tf
from harness.timed_training import WARM_UP_S, Training
from harness.timing import step_measures


def tell(request: str, to: str) -> None:
    """Measure as a request (JSON) says; write the cell to a file, or why there is none."""
    end_with_the_caller()
    answer(to, lambda: measure(Request.from_json(json.loads(request))).dumps())


def measure(request: Request, trainer: type[Training] = Training) -> Cell:
    """Train until the pace is stationary, then for as long as is timed; in a fresh process.

    Args:
        request: what to measure.
        trainer: what trains.

    Raises:
        BenchError: devices or data cannot be had, or the network cannot be trained.
    """
    start, started = perf_counter(), datetime.now(UTC)
    config = request.config
    layout = open_devices(config)
    data = load(config, Path(request.data_dir) if request.data_dir else None, say=lambda _: None)
    engine, compile_s, _ = compiled_engine(config, data, layout)
    engine.reset(config.seed)
    training = trainer(config, engine, data)
    with Watcher() as watcher:
        warm_up, steady = training.warm_up(WARM_UP_S)
        tf.test.experimental.sync_devices()
        spans = training.train(request.plan.seconds)
        tf.test.experimental.sync_devices()
        disturbances = tuple(watcher.between(span.start_s, span.end_s) for span in spans)
    machine = fingerprint(
        strategy=layout.name, replicas=layout.replicas, workers=layout.workers,
        devices=layout.devices, threads=config.threads,
    )  # fmt: skip
    return Cell(
        contender=request.contender, config=config, round=request.round, place=request.place,
        started_at=started.isoformat(timespec="milliseconds"),
        duration_s=round(perf_counter() - start, 3), status="finished", data=data.identity(),
        machine=dataclasses.replace(machine, jit="on" if engine.key.jit else "off"),
        measures={**step_measures(spans), "compile_s": compile_s},
        warm_up=tuple(warm_up), spans=tuple(spans), disturbances=disturbances,
        flags=() if steady else (f"never became stationary within {WARM_UP_S:.0f} s",),
    )  # fmt: skip
