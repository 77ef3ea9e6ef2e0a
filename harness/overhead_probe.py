"""What a run does beside training, timed in a process of its own; see `overhead`.

Pieces of training alternate: the bare engine, and the engine with what a run has around it, which
is progress on a terminal and epochs logged to MLflow, by the same classes that `bench run` uses.
As in a run, an epoch is logged while the next one trains.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.config import RunConfig
from harness.console import RunProgress
from harness.data import Data, load
from harness.engine import Engine
from harness.engines import compiled_engine, open_devices
from harness.epoch import images_per_epoch
from harness.evaluate import evaluate
from harness.fresh_process import answer, end_with_the_caller
from harness.predictions import Predictions
from harness.record import EpochPoint
from harness.run_id import new_run_id
from harness.store import Store
from harness.timed_training import WARM_UP_S, Training
from harness.track import Tracker

PAIRS = 15
"""A median of so many rests on the middle ones, whatever disturbs a few."""

PIECE_S = 1.0
"""Seconds of a piece. Epochs that take longer are logged less often than here: that costs less."""


def tell(request: str, to: str) -> None:
    """Measure the configuration in a request (JSON); write pairs of seconds per image (JSON)."""
    end_with_the_caller()
    answer(to, lambda: json.dumps(list(measure(json.loads(request)))))


def measure(request: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """Yield pairs of seconds per image: of the bare engine, and of a run.

    Raises:
        BenchError: devices or data cannot be had, or the network cannot be trained.
    """
    config = RunConfig.from_json(request["config"])
    layout = open_devices(config)
    data = load(config, Path(request["data_dir"]) if request["data_dir"] else None,
                say=lambda _: None)  # fmt: skip
    engine, _, _ = compiled_engine(config, data, layout)
    engine.reset(config.seed)
    training = Training(config, engine, data)
    training.warm_up(WARM_UP_S)
    point = _point(config, engine, data)
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as folder:
        store, run_id = Store(Path(folder)), new_run_id(config)
        with Tracker(None, store) as tracker, RunProgress() as progress:
            tracker.begin(run_id, "run", None, None, config)
            progress.begun(10**6, images_per_epoch(data, engine.global_batch), engine.global_batch)

            def full(number: int) -> float:
                start = perf_counter()
                progress.epoch(dataclasses.replace(point, epoch=number))
                tracker.epoch(run_id, dataclasses.replace(point, epoch=number))
                images = sum(s.images for s in training.train(PIECE_S, progress.images))
                seconds = perf_counter() - start
                tracker.flush()  # what is still to be sent must not slow down the bare engine
                return seconds / images

            def bare() -> float:
                start = perf_counter()
                images = sum(s.images for s in training.train(PIECE_S))
                return (perf_counter() - start) / images

            full(1)  # MLflow's first words to its store take seconds
            for number in range(2, 2 + PAIRS):
                if number % 2:
                    yield bare(), full(number)
                else:
                    observed = full(number)
                    yield bare(), observed


def _point(config: RunConfig, engine: Engine, data: Data) -> EpochPoint:
    """Return an epoch with as many measures as a run's have."""
    scenes = data.validation()
    probabilities, boxes = engine.predict(scenes)
    quality = evaluate(
        Predictions(
            ids=scenes.ids, labels=scenes.labels, boxes=scenes.boxes,
            probabilities=probabilities, predicted_boxes=boxes,
        ),
        class_weight=config.class_weight, box_weight=config.box_weight, box_loss=config.box_loss,
    )  # fmt: skip
    metrics = {f"validation_{name}": value for name, value in quality.items()}
    return EpochPoint(epoch=1, images=data.n_train, train_s=1.0, metrics=metrics)
