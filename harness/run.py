"""The story of one run: one configuration in, one record out.

Strategy, data, model, training, evaluation, record; no branch on a strategy or a backbone. A
failure is a record too.
"""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Checkpoint, Shelf, changes, obstacle
from harness.config import RunConfig
from harness.data import Data, load
from harness.engine import Engine, EpochResult, Objective
from harness.engines import compiled_engine, open_devices
from harness.errors import BenchError, DivergedRun, InterruptedRun, PluginError
from harness.evaluate import evaluate, per_example
from harness.jit_choice import JitChoice
from harness.machine import fingerprint, peak_rss_mib
from harness.predictions import EXAMPLES_FILE, Examples, Predictions, predictions_file
from harness.record import EpochPoint, Machine, Measure, ModelFacts, Role, RunRecord, Split, Status
from harness.scenes import Scenes
from harness.schedule import Schedule, schedule
from harness.store import Store, file_digest

EXAMPLES_OF_A_KIND = 12
"""Rightly and wrongly classified scenes kept for pictures: one grid of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told how a run goes.

    Attributes:
        say: a line for the user.
        note: what was found out about the run on the way, in a line.
        begun: the size of the work is known: (epochs, images per epoch, images per step).
        images: after each graph call: (epoch, images trained in it).
        epoch: after each epoch; False ends the run as pruned. A run that goes on from a
            checkpoint tells of the epochs before it too, in order.
    """

    say: Callable[[str], None] = lambda _text: None
    note: Callable[[str], None] = lambda _text: None
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


@dataclass(slots=True, kw_only=True)
class _Draft:
    """What is known so far of a run that has not ended."""

    config: RunConfig
    identity: Identity
    started_at: str
    start_s: float
    machine: Machine | None = None
    model: ModelFacts | None = None
    data: Data | None = None
    history: list[EpochPoint] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    resumed_after: tuple[int, ...] = ()

    @property
    def named_config(self) -> RunConfig:
        """Return the configuration with the data set that "auto" chose."""
        return replace(self.config, dataset=self.data.source) if self.data else self.config

    def record(self, end: _End) -> RunRecord:
        """Return the record of the run, were it to end now."""
        data, identity = self.data, self.identity
        return RunRecord(
            run_id=identity.run_id,
            role=identity.role,
            sweep=identity.sweep,
            trial=identity.trial,
            config=self.named_config,
            status=end.status,
            reason=end.reason,
            traceback=end.traceback,
            started_at=self.started_at,
            duration_s=round(perf_counter() - self.start_s, 3),
            data=data.identity() if data else None,
            machine=self.machine,
            model=self.model,
            history=tuple(self.history),
            measures=dict(self.measures),
            files=dict(self.files),
            resumed_after=self.resumed_after,
        )

    def continues(self, saved: Checkpoint) -> None:
        """Take over what an earlier attempt measured, but for its epochs."""
        before = saved.record
        self.started_at = before.started_at
        self.start_s -= before.duration_s
        self.resumed_after = (*before.resumed_after, saved.epoch)
        compiled = before.measures.get("compile_s")
        if compiled and compiled.value is not None:
            self.measures["compile_s"] = compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a run ended.

    Attributes:
        final: whether going on from a checkpoint would only end it so again.
    """

    status: Status
    reason: str | None = None
    traceback: str | None = None
    final: bool = False


class _Pruned(Exception):
    """The watcher asked to stop."""


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
    shelf: Shelf | None = None,
) -> RunRecord:
    """Train and evaluate once; write predictions and record into the store; return the record.

    A run whose folder holds a checkpoint goes on from there.

    Args:
        config: the run, completely described.
        identity: its name and place in a sweep.
        store: where its folder is written.
        data_dir: the folder that the user named for the data, or None.
        watch: who is told how it goes.
        shelf: its checkpoints, if the caller holds them; released at the end.

    Returns:
        A record, whatever happened: `failed` with reason and traceback, `pruned`, `interrupted`.

    Raises:
        StoreError: the output folder cannot be written; then no record can be kept either.
    """
    watch = watch or Watch()
    draft = _Draft(
        config=config, identity=identity, start_s=perf_counter(),
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )  # fmt: skip
    with shelf or Shelf(store.checkpoint_dir(identity.run_id), say=watch.say) as shelf:
        end = _attempt(config, store.run_dir(identity.run_id), data_dir, watch, draft, shelf)
        record = draft.record(end)
        store.write_record(record)
        if end.final or (end.status == "failed" and identity.role == "trial"):
            shelf.clear()  # a failed trial counts, so no sweep repeats it
    return record


def _attempt(
    config: RunConfig, folder: Path, data_dir: Path | None, watch: Watch, draft: _Draft,
    shelf: Shelf,
) -> _End:  # fmt: skip
    """Do the run; return how it ended."""
    try:
        _chapters(config, folder, data_dir, watch, draft, shelf)
    except _Pruned:
        reason = f"Stopped after epoch {len(draft.history)}: no better than others."
        return _End(status="pruned", reason=reason, final=True)
    except (KeyboardInterrupt, InterruptedRun):
        reason = f"Stopped from outside after epoch {len(draft.history)}."
        return _End(status="interrupted", reason=reason)
    except PluginError as error:
        trace = traceback.format_exc()
        return _End(status="failed", reason=str(error), traceback=trace, final=True)
    except DivergedRun as error:
        return _End(status="failed", reason=str(error), final=True)
    except BenchError as error:
        return _End(status="failed", reason=str(error))
    except Exception as error:  # noqa: BLE001 - a failure of any kind is a result
        reason = f"{type(error).__name__}: {error}"
        return _End(status="failed", reason=reason, traceback=traceback.format_exc())
    return _End(status="finished", final=True)


def _chapters(
    config: RunConfig, folder: Path, data_dir: Path | None, watch: Watch, draft: _Draft,
    shelf: Shelf,
) -> None:  # fmt: skip
    layout = open_devices(config)
    draft.machine = fingerprint(
        strategy=layout.name,
        replicas=layout.replicas,
        workers=layout.workers,
        devices=layout.devices,
        threads=config.threads,
    )
    data = draft.data = load(config, data_dir, say=watch.say)
    saved = shelf.newest()
    engine, draft.measures["compile_s"], choice = compiled_engine(
        config, data, layout, decided=JitChoice.of_record(saved.record) if saved else None
    )
    draft.machine = replace(draft.machine, jit="on" if engine.key.jit else "off")
    if choice is not None:
        draft.measures |= choice.measures()
        watch.note(choice.words())
    draft.model, draft.measures["mflops"] = engine.facts
    engine.reset(config.seed)
    validation = data.validation()
    _train(config, engine, data, validation, watch, draft, shelf, saved)
    _evaluate("validation", validation, config, engine, folder, draft)
    if config.evaluate_test:
        _evaluate("test", data.open_test(), config, engine, folder, draft)
    draft.measures["peak_rss_mib"] = Measure(value=round(peak_rss_mib(), 1))


def _train(
    config: RunConfig, engine: Engine, data: Data, validation: Scenes, watch: Watch,
    draft: _Draft, shelf: Shelf, saved: Checkpoint | None,
) -> None:  # fmt: skip
    """Train epoch by epoch; leave the weights of the last epoch, or of the best with patience."""
    watch.begun(config.epochs, _images_per_epoch(data, engine.global_batch), engine.global_batch)
    steps = data.n_train // engine.global_batch
    plan = schedule(config, global_batch=engine.global_batch, steps_per_epoch=steps)
    draft.measures["scaled_learning_rate"] = Measure(value=plan.scaled)
    saved = _resumed(saved, engine, watch, draft, shelf)
    done = saved.record.history if saved else ()
    best_score, best_epoch = -math.inf, 0
    best_weights: Sequence[NDArray[Any]] = saved.best if saved else ()
    for epoch in range(1, config.epochs + 1):
        fresh = epoch > len(done)
        if fresh:
            result = _train_epoch(epoch, config, plan, engine, data, watch)
            point = _measured(config, epoch, result, validation, engine)
        else:
            point = done[epoch - 1]
        draft.history.append(point)
        _note_speed(draft)
        if config.precision == "mixed_float16" and epoch >= len(done):
            skipped = epoch * steps - engine.updates
            draft.measures["skipped_steps"] = Measure(value=float(skipped))
        score = point.metrics["validation_score"]
        if config.patience and score > best_score:
            best_score, best_epoch = score, epoch
            best_weights = engine.weights() if fresh else best_weights
        if not watch.epoch(point):
            raise _Pruned
        if fresh and shelf.is_due():
            so_far = draft.record(_End(status="interrupted", reason=f"After epoch {epoch}."))
            shelf.keep(Checkpoint(record=so_far, state=engine.state(), best=best_weights))
        if config.patience and epoch - best_epoch >= config.patience:
            break
    if best_weights:
        engine.set_weights(best_weights)


def _resumed(
    saved: Checkpoint | None, engine: Engine, watch: Watch, draft: _Draft, shelf: Shelf
) -> Checkpoint | None:
    """Set the engine and the draft to where an earlier attempt stood; None if there is no way."""
    if saved is None:
        return None
    assert draft.data, "data are read before training"
    run_id, digest = draft.identity.run_id, draft.data.identity().digest
    reason = obstacle(
        saved.record, draft.named_config, data_digest=digest, replicas=engine.layout.replicas
    ) or engine.misfit(saved.state)
    if reason:
        watch.say(f"Run {run_id} starts anew: its checkpoint cannot be used, as {reason}.")
        shelf.clear()
        return None
    engine.restore(saved.state)
    draft.continues(saved)
    watch.say(f"Run {run_id} goes on after epoch {saved.epoch} of {draft.config.epochs}.")
    others = changes(saved.record.machine, draft.machine)
    if others:
        watch.say(f"It does so with {', '.join(others)}: numbers may round differently.")
    return saved


def _train_epoch(
    epoch: int, config: RunConfig, plan: Schedule, engine: Engine, data: Data, watch: Watch
) -> EpochResult:
    """Train on each example once."""
    objective = Objective(
        learning_rate=config.learning_rate,
        class_weight=config.class_weight,
        box_weight=config.box_weight,
    )
    steps = data.n_train // engine.global_batch
    return engine.train(
        _chunks(data, engine, epoch=epoch, seed=config.seed),
        objective=objective,
        rates=plan.rates((epoch - 1) * steps, steps),
        on_images=functools.partial(watch.images, epoch),
    )


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


def _measured(
    config: RunConfig, epoch: int, result: EpochResult, validation: Scenes, engine: Engine
) -> EpochPoint:
    """Evaluate an epoch on the validation split.

    Raises:
        BenchError: training diverged.
    """
    try:
        return _point(epoch, result, _quality(config, _predict(validation, engine)))
    except BenchError as error:
        if config.precision == "float32":
            raise
        raise type(error)(f"{error} Or use --precision float32.") from error


def _point(epoch: int, result: EpochResult, quality: Mapping[str, float]) -> EpochPoint:
    metrics = {**result.metrics, **{f"validation_{name}": v for name, v in quality.items()}}
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise DivergedRun(
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
