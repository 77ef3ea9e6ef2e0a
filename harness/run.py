"""The story of one run: one configuration in, one record out.

Strategy, data, model, training, evaluation, record; no branch on a strategy or a backbone. A
failure is a record too.
"""

from __future__ import annotations

import functools
import math
import re
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.data import Data, load
from harness.engine import Engine, EpochResult, Objective
from harness.engines import compiled_engine, open_devices
from harness.errors import BenchError, InterruptedRun, PluginError
from harness.evaluate import evaluate, per_example
from harness.machine import fingerprint, peak_rss_mib
from harness.predictions import EXAMPLES_FILE, Examples, Predictions, predictions_file
from harness.record import EpochPoint, Machine, Measure, ModelFacts, Role, RunRecord, Split, Status
from harness.scenes import Scenes
from harness.store import Store, file_digest

EXAMPLES_OF_A_KIND = 12
"""Rightly and wrongly classified scenes kept for pictures: one grid of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told how a run goes.

    Attributes:
        say: a line for the user.
        begun: the size of the work is known: (epochs, images per epoch, images per step).
        images: after each graph call: (epoch, images trained in it).
        epoch: after each epoch; False ends the run as pruned.
    """

    say: Callable[[str], None] = lambda _text: None
    begun: Callable[[int, int, int], None] = lambda _epochs, _images, _batch: None
    images: Callable[[int, int], None] = lambda _epoch, _images: None
    epoch: Callable[[EpochPoint], bool] = lambda _point: True


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which run this is, beside its configuration."""

    run_id: str
    role: Role = "run"
    sweep: str | None = None
    trial: int | None = None


@dataclass(slots=True)
class _Draft:
    """What is known so far of a run that has not ended."""

    machine: Machine | None = None
    model: ModelFacts | None = None
    data: Data | None = None
    history: list[EpochPoint] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


class _Pruned(Exception):
    """The watcher asked to stop."""


def new_run_id(config: RunConfig) -> str:
    """Return a new run id: the time in UTC, the backbone and 24 random bits.

    The bits tell runs apart that begin in the same second.
    """
    backbone = re.sub(r"[^\w.-]+", "-", config.backbone)
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{backbone}-{secrets.token_hex(3)}"


def work(job: Mapping[str, Any], on_epoch: Callable[[EpochPoint], bool]) -> RunRecord:
    """Do one job of a sweep's worker process.

    Args:
        job: `run_id`, `role`, `sweep`, `trial`, `config` (JSON), `store` and `data_dir` (paths).
        on_epoch: is told each epoch and answers whether to go on.
    """
    data_dir = job.get("data_dir")
    return execute(
        RunConfig.from_json(job["config"]),
        identity=Identity(
            run_id=job["run_id"], role=job["role"], sweep=job["sweep"], trial=job["trial"]
        ),
        store=Store(Path(job["store"])),
        data_dir=Path(data_dir) if data_dir else None,
        watch=Watch(epoch=on_epoch),
    )


def execute(
    config: RunConfig,
    *,
    identity: Identity,
    store: Store,
    data_dir: Path | None,
    watch: Watch | None = None,
) -> RunRecord:
    """Train and evaluate once; write predictions and record into the store; return the record.

    Args:
        config: the run, completely described.
        identity: its name and place in a sweep.
        store: where its folder is written.
        data_dir: the folder that the user named for the data, or None.
        watch: who is told how it goes.

    Returns:
        A record, whatever happened: `failed` with reason and traceback, `pruned`, `interrupted`.

    Raises:
        StoreError: the output folder cannot be written; then no record can be kept either.
    """
    draft, started, start = _Draft(), datetime.now(UTC), perf_counter()
    status, reason, trace = _attempt(config, identity, store, data_dir, watch or Watch(), draft)
    data = draft.data
    record = RunRecord(
        run_id=identity.run_id,
        role=identity.role,
        sweep=identity.sweep,
        trial=identity.trial,
        config=replace(config, dataset=data.source) if data else config,
        status=status,
        reason=reason,
        traceback=trace,
        started_at=started.isoformat(timespec="milliseconds"),
        duration_s=round(perf_counter() - start, 3),
        data=data.identity() if data else None,
        machine=draft.machine,
        model=draft.model,
        history=tuple(draft.history),
        measures=draft.measures,
        files=draft.files,
    )
    store.write_record(record)
    return record


def _attempt(
    config: RunConfig, identity: Identity, store: Store, data_dir: Path | None,
    watch: Watch, draft: _Draft,
) -> tuple[Status, str | None, str | None]:  # fmt: skip
    """Do the run; return status, reason and traceback."""
    try:
        _chapters(config, store.run_dir(identity.run_id), data_dir, watch, draft)
    except _Pruned:
        return "pruned", f"Stopped after epoch {len(draft.history)}: no better than others.", None
    except (KeyboardInterrupt, InterruptedRun):
        return "interrupted", f"Stopped from outside after epoch {len(draft.history)}.", None
    except PluginError as error:
        return "failed", str(error), traceback.format_exc()
    except BenchError as error:
        return "failed", str(error), None
    except Exception as error:  # noqa: BLE001 - a failure of any kind is a result
        return "failed", f"{type(error).__name__}: {error}", traceback.format_exc()
    return "finished", None, None


def _chapters(
    config: RunConfig, folder: Path, data_dir: Path | None, watch: Watch, draft: _Draft
) -> None:
    layout = open_devices(config)
    draft.machine = fingerprint(
        strategy=layout.name,
        replicas=layout.replicas,
        workers=layout.workers,
        devices=layout.devices,
        threads=config.threads,
    )
    data = draft.data = load(config, data_dir, say=watch.say)
    engine, draft.measures["compile_s"] = compiled_engine(config, data, layout)
    draft.model, draft.measures["mflops"] = engine.facts
    engine.reset(config.seed)
    validation = data.validation()
    _train(config, engine, data, validation, watch, draft)
    _evaluate("validation", validation, config, engine, folder, draft)
    if config.evaluate_test:
        _evaluate("test", data.open_test(), config, engine, folder, draft)
    draft.measures["peak_rss_mib"] = Measure(value=round(peak_rss_mib(), 1))


def _train(
    config: RunConfig, engine: Engine, data: Data, validation: Scenes, watch: Watch, draft: _Draft
) -> None:
    """Train epoch by epoch; leave the weights of the last epoch, or of the best with patience."""
    objective = Objective(
        learning_rate=config.learning_rate,
        class_weight=config.class_weight,
        box_weight=config.box_weight,
    )
    watch.begun(config.epochs, _images_per_epoch(data, engine.global_batch), engine.global_batch)
    best_score, best_epoch, best_weights = -math.inf, 0, None
    for epoch in range(1, config.epochs + 1):
        result = engine.train(
            _chunks(data, engine, epoch=epoch, seed=config.seed),
            objective=objective,
            on_images=functools.partial(watch.images, epoch),
        )
        point = _point(epoch, result, _quality(config, _predict(validation, engine)))
        draft.history.append(point)
        _note_speed(draft)
        score = point.metrics["validation_score"]
        if config.patience and score > best_score:
            best_score, best_epoch, best_weights = score, epoch, engine.weights()
        if not watch.epoch(point):
            raise _Pruned
        if config.patience and epoch - best_epoch >= config.patience:
            break
    if best_weights is not None:
        engine.set_weights(best_weights)


def _chunks(data: Data, engine: Engine, *, epoch: int, seed: int) -> Iterator[Scenes]:
    """Yield this process's scenes of one epoch in training order, cut into graph calls."""
    order = data.train_order(epoch, seed)[: _images_per_epoch(data, engine.global_batch)]
    order = engine.share(order)
    size = engine.local_batch * engine.key.steps_per_call
    for start in range(0, len(order), size):
        yield data.train_scenes(epoch, order[start : start + size])


def _images_per_epoch(data: Data, global_batch: int) -> int:
    """Return how many examples an epoch trains on: whole batches only, others each epoch."""
    return data.n_train // global_batch * global_batch


def _point(epoch: int, result: EpochResult, quality: Mapping[str, float]) -> EpochPoint:
    metrics = {**result.metrics, **{f"validation_{name}": v for name, v in quality.items()}}
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise BenchError(
            f"`{bad[0]}` must be finite, but is {metrics[bad[0]]} after epoch {epoch}: training "
            "diverged. Use a smaller --learning-rate or smaller loss weights."
        )
    return EpochPoint(epoch=epoch, images=result.images, train_s=result.train_s, metrics=metrics)


def _note_speed(draft: _Draft) -> None:
    """Set the throughput measured so far: total images over total time, one sample an epoch."""
    images = sum(point.images for point in draft.history)
    seconds = sum(point.train_s for point in draft.history)
    draft.measures["images_per_s"] = Measure(
        value=images / seconds,
        samples=tuple(point.images / point.train_s for point in draft.history),
    )


def _quality(config: RunConfig, predictions: Predictions) -> dict[str, float]:
    return evaluate(
        predictions,
        class_weight=config.class_weight,
        box_weight=config.box_weight,
        box_loss=config.box_loss,
    )


def _predict(scenes: Scenes, engine: Engine) -> Predictions:
    probabilities, boxes = engine.predict(scenes)
    return Predictions(
        ids=scenes.ids,
        labels=scenes.labels,
        boxes=scenes.boxes,
        probabilities=probabilities,
        predicted_boxes=boxes,
    )


def _evaluate(
    split: Split, scenes: Scenes, config: RunConfig, engine: Engine, folder: Path, draft: _Draft
) -> None:
    """Measure one split and write its predictions, and scenes to look at."""
    start = perf_counter()
    predictions = _predict(scenes, engine)
    before = draft.measures.get("evaluation_s", Measure(value=0.0)).samples
    samples = (*before, perf_counter() - start)
    draft.measures["evaluation_s"] = Measure(value=sum(samples), samples=samples)
    for name, value in _quality(config, predictions).items():
        draft.measures[f"{split}_{name}"] = Measure(value=value)
    name = predictions_file(split)
    predictions.save(folder / name)
    _examples(scenes, predictions).save(folder / EXAMPLES_FILE)
    draft.files |= {file: file_digest(folder / file) for file in (name, EXAMPLES_FILE)}


def _examples(scenes: Scenes, predictions: Predictions) -> Examples:
    """Keep the first scenes, and the worst of those that are classified wrongly."""
    judged = per_example(predictions)
    wrong = np.flatnonzero(~judged.correct)
    worst = wrong[np.argsort(judged.iou[wrong], kind="stable")][:EXAMPLES_OF_A_KIND]
    first = np.arange(min(EXAMPLES_OF_A_KIND, len(scenes.ids)))
    rows: NDArray[np.int64] = np.union1d(first, worst)
    return Examples(
        ids=scenes.ids[rows],
        images=scenes.images[rows],
        labels=scenes.labels[rows],
        predicted_labels=predictions.probabilities[rows].argmax(axis=1).astype(np.int64),
        boxes=scenes.boxes[rows],
        predicted_boxes=predictions.predicted_boxes[rows],
    )
