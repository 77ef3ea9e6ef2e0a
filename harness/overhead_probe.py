"""What a run does beside training, timed in a process of its own; see `overhead`.

Pieces of training alternate: the bare engine, and the engine with what a run has around it, which
is progress on a terminal and epochs logged to MLflow, by the same classes that `bench run` uses.
As in a run, an epoch is logged while the next one trains.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
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
from harness.timing import Span
from harness.track import Tracker

PAIRS = 30
"""Their median is sure to about a per cent on a machine whose pieces vary by three."""

PIECE_S = 1.0
"""Seconds of a piece. Epochs that take longer are logged less often than here: that costs less."""


def tell(request: str, to: str) -> None:
    """Measure the configuration in a request (JSON); write pairs of seconds per image (JSON)."""
    end_with_the_caller()
    answer(to, lambda: json.dumps(list(measure(json.loads(request)))))


def measure(
    request: Mapping[str, Any], *, pairs: int = PAIRS, piece_s: float = PIECE_S
) -> Iterator[tuple[float, float]]:
    """Yield pairs of seconds per image: of the bare engine, and of a run.

    Args:
        request: `config` (JSON) and `data_dir`, a path or None.
        pairs: how many.
        piece_s: seconds of training in a piece.

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
    with (
        tempfile.TemporaryDirectory(prefix="bench-overhead-") as folder,
        Tracker(None, Store(Path(folder))) as tracker,
        RunProgress() as progress,
    ):
        run = _Run(training, tracker, progress, _point(config, engine, data), piece_s)
        run.begin(config, images_per_epoch(data, engine.global_batch), engine.global_batch)
        run.full()  # MLflow's first words to its store take seconds
        for number in range(pairs):
            # In turns, so that a machine that drifts favours neither.
            order = (run.bare, run.full) if number % 2 else (run.full, run.bare)
            seconds = [piece() for piece in order]
            yield (seconds[0], seconds[1]) if number % 2 else (seconds[1], seconds[0])


class _Run:
    """A run that trains in pieces, with and without what it has around the engine.

    Args:
        training: warmed up.
        tracker: sends epochs to MLflow.
        progress: is shown.
        point: an epoch, to be logged again and again.
        piece_s: seconds of training in a piece.
    """

    def __init__(
        self, training: Training, tracker: Tracker, progress: RunProgress, point: EpochPoint,
        piece_s: float,
    ) -> None:  # fmt: skip
        self._training, self._tracker, self._progress = training, tracker, progress
        self._point, self._piece_s = point, piece_s
        self._id = ""

    def begin(self, config: RunConfig, images: int, batch: int) -> None:
        """Tell tracker and progress of a run of so many images an epoch."""
        self._id = new_run_id(config)
        self._tracker.begin(self._id, "run", None, None, config)
        self._progress.begun(10**6, images, batch)

    def bare(self) -> float:
        """Return the seconds per image of the engine alone."""
        start = perf_counter()
        spans = self._half() + self._half()
        return (perf_counter() - start) / sum(span.images for span in spans)

    def full(self) -> float:
        """Return the seconds per image with progress shown, and an epoch logged in between."""
        start = perf_counter()
        spans = self._half(self._progress.images)
        point = dataclasses.replace(self._point, epoch=self._training.epoch)
        self._progress.epoch(point)
        self._tracker.epoch(self._id, point)
        spans += self._half(self._progress.images)
        seconds = perf_counter() - start
        self._tracker.flush()  # what is still to be sent must not slow down the bare engine
        return seconds / sum(span.images for span in spans)

    def _half(self, on_images: Callable[[int, int], None] | None = None) -> list[Span]:
        return self._training.train(self._piece_s / 2, on_images)


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
