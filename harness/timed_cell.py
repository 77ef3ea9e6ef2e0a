"""What every cell begins with: its network, trained in a fresh process and timed.

It trains as a run does (`harness.epoch`), so that what is timed here is what a run would take.
Every graph call ends with its sums on this machine; before and after the timed part all devices
have finished besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.cell import Cell, CellPlan
from harness.config import RunConfig
from harness.data import load
from harness.disturbance import Watcher
from harness.engines import compiled_engine, open_devices
from harness.machine import fingerprint
from harness.record import Measure
from harness.tf_keras import tf
from harness.timed_training import WARM_UP_S, Training
from harness.timing import Span, step_measures


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to measure.

    Attributes:
        contender: name.
        config: to be trained.
        round, place: of the cell.
        plan: how to measure.
        data_dir: folder of MNIST's files as given, or None.
    """

    contender: str
    config: RunConfig
    round: int
    place: int
    plan: CellPlan
    data_dir: str | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Request:
        """Build a request from plain values."""
        config, plan = RunConfig.from_json(values["config"]), CellPlan(**values["plan"])
        return cls(**dict(values) | {"config": config, "plan": plan})


class TimedCell:
    """One contender in this process, compiled and with its first weights.

    Args:
        request: what to measure.

    Attributes:
        start_s: `perf_counter` seconds when it was begun.
        layout: the open strategy.
        data: to train on.
        engine: the network.
        warm_up: graph calls before the pace was stationary.
        spans: graph calls that were timed.

    Raises:
        BenchError: devices or data cannot be had, or the network cannot be built.
    """

    def __init__(self, request: Request) -> None:
        self.start_s, self._started = perf_counter(), datetime.now(UTC)
        self._request, config = request, request.config
        folder = Path(request.data_dir) if request.data_dir else None
        self.layout = open_devices(config)
        self.data = load(config, folder, say=lambda _text: None)
        self.engine, self._compile_s, _ = compiled_engine(config, self.data, self.layout)
        self.engine.reset(config.seed)
        self.warm_up: list[Span] = []
        self.spans: list[Span] = []
        self._steady = False

    def train(self, trainer: type[Training] = Training) -> None:
        """Train until the pace is stationary, then for as long as is timed."""
        training = trainer(self._request.config, self.engine, self.data)
        self.warm_up, self._steady = training.warm_up(WARM_UP_S)
        tf.test.experimental.sync_devices()
        self.spans = training.train(self._request.plan.seconds)
        tf.test.experimental.sync_devices()

    def cell(self, watcher: Watcher, measures: Mapping[str, Measure] | None = None) -> Cell:
        """Return what was measured, after `train`.

        Args:
            watcher: watched the machine meanwhile.
            measures: further ones.
        """
        request, layout = self._request, self.layout
        machine = fingerprint(
            strategy=layout.name, replicas=layout.replicas, workers=layout.workers,
            devices=layout.devices, threads=request.config.threads,
        )  # fmt: skip
        unsteady = f"never became stationary within {WARM_UP_S:.0f} s"
        return Cell(
            contender=request.contender,
            config=replace(request.config, dataset=self.data.dataset),
            round=request.round,
            place=request.place,
            started_at=self._started.isoformat(timespec="milliseconds"),
            duration_s=round(perf_counter() - self.start_s, 3),
            status="finished",
            data=self.data.identity(),
            machine=replace(machine, jit="on" if self.engine.key.jit else "off"),
            measures={
                **(measures or {}), **step_measures(self.spans), "compile_s": self._compile_s,
            },
            warm_up=tuple(self.warm_up),
            spans=tuple(self.spans),
            disturbances=tuple(watcher.between(s.start_s, s.end_s) for s in self.spans),
            flags=() if self._steady else (unsteady,),
        )  # fmt: skip
