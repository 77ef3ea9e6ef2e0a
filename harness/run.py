"""The story of one run: one configuration in, one record out.

Strategy, data, model, training, evaluation, record; no branch on a strategy or a backbone. A
failure is a record too.
"""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from harness.cause import cause_of, memory_words
from harness.checkpoint import Checkpoint, Shelf, changes, obstacle
from harness.config import RunConfig
from harness.data import Data, load
from harness.device_memory import forget_peak, peak_device_mib
from harness.disturbance import Watcher
from harness.draft import Draft, End, Identity
from harness.engine import Engine
from harness.engines import compiled_engine, open_devices
from harness.epoch import images_per_epoch, train_epoch
from harness.errors import BenchError, InterruptedRun, StoreError
from harness.jit_choice import JitChoice
from harness.machine import fingerprint, peak_rss_mib
from harness.plain_words import in_words
from harness.record import EpochPoint, Measure, RunRecord
from harness.scenes import Scenes
from harness.schedule import schedule
from harness.split_results import epoch_point, evaluate_split
from harness.store import FULL, Store, cannot_write, file_digest
from harness.targets import Target
from harness.weights import KEPT_ROLES, WEIGHTS_FILE, save_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told how a run goes.

    Attributes:
        say: a line for the user.
        note: what was found out about the run on the way, in a line.
        begun: the size of the work is known: (epochs, images per epoch, images per step).
        images: after each graph call: (epoch, images trained in it).
        epoch: after each epoch; False ends the run as pruned, `InterruptedRun` leaves it for
            another process to go on with. A run that goes on from a checkpoint tells of the
            epochs before it too, in order.
    """

    say: Callable[[str], None] = lambda _text: None
    note: Callable[[str], None] = lambda _text: None
    begun: Callable[[int, int, int], None] = lambda _epochs, _images, _batch: None
    images: Callable[[int, int], None] = lambda _epoch, _images: None
    epoch: Callable[[EpochPoint], bool] = lambda _point: True


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
    targets: Sequence[Target] = (),
    stop_at_target: bool = False,
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
        targets: what it is to reach, to measure how long that takes; without any, a run that goes
            on keeps those that it had.
        stop_at_target: whether it then ends; else it trains on to its end.

    Returns:
        A record, whatever happened: `failed` with reason and traceback, `pruned`, `interrupted`.

    Raises:
        StoreError: the output folder cannot be written; then no record can be kept either.
    """
    watch = watch or Watch()
    draft = Draft(
        config=config, identity=identity, start_s=perf_counter(),
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"), targets=tuple(targets),
        stop_at_target=stop_at_target,
    )  # fmt: skip
    with shelf or Shelf(store.checkpoint_dir(identity.run_id), say=watch.say) as shelf:
        end = _attempt(config, store.run_dir(identity.run_id), data_dir, watch, draft, shelf)
        record = draft.record(end)
        store.write_record(record)
        if end.final or (end.status == "failed" and _counts(identity, end)):
            shelf.clear()
    return record


def _attempt(
    config: RunConfig, folder: Path, data_dir: Path | None, watch: Watch, draft: Draft,
    shelf: Shelf,
) -> End:  # fmt: skip
    """Do the run; return how it ended."""
    try:
        _chapters(config, folder, data_dir, watch, draft, shelf)
    except _Pruned:
        reason = f"Stopped after epoch {len(draft.history)}: no better than others."
        return End(status="pruned", reason=reason, final=True)
    except (KeyboardInterrupt, InterruptedRun):
        reason = f"Stopped from outside after epoch {len(draft.history)}."
        return End(status="interrupted", reason=reason)
    except StoreError:
        raise  # a full disk says nothing of this run: it must not count as failed
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise cannot_write(folder, error) from error
        return _failed(error, config)
    return End(status="finished", final=True)


def _failed(error: Exception, config: RunConfig) -> End:
    """Return how a run ended that raised; called while the error is handled."""
    cause, ours = cause_of(error), isinstance(error, BenchError)
    if cause == "out_of_memory":
        field = config.batch_field
        reason = (
            f"Out of memory with {field} {config.batch}: {memory_words(error)}. "
            f"Use a smaller --{field.replace('_', '-')} or network."
        )
    else:
        reason = str(error) if ours else in_words(error)
    # Where a name or number does not fit, the text of our own error is all that anybody needs.
    trace = None if ours and cause is None else traceback.format_exc()
    lasting = cause in {"diverged", "plugin"}
    return End(status="failed", reason=reason, traceback=trace, cause=cause, final=lasting)


def _counts(identity: Identity, end: End) -> bool:
    """Tell whether a failed run is not done again from its checkpoint.

    A failed trial is a result, unless its sweep tries it once more.
    """
    return identity.role == "trial" and end.cause != "transient"


def _chapters(
    config: RunConfig, folder: Path, data_dir: Path | None, watch: Watch, draft: Draft,
    shelf: Shelf,
) -> None:  # fmt: skip
    layout = open_devices(config, split=draft.identity.sweep is None)
    draft.machine = fingerprint(
        strategy=layout.name,
        replicas=layout.replicas,
        workers=layout.workers,
        devices=layout.devices,
        threads=config.threads,
    )
    forget_peak(layout.devices)
    data = draft.data = load(config, data_dir, say=watch.say)
    saved = shelf.newest()
    engine, draft.measures["compile_s"], choice = compiled_engine(
        config, data, layout, decided=JitChoice.of_record(saved.record) if saved else None
    )
    draft.machine = replace(
        draft.machine, jit="on" if engine.key.jit else "off", shards=len(engine.parts)
    )
    if choice is not None:
        draft.measures |= choice.measures()
        watch.note(choice.words())
    draft.model, draft.measures["mflops"] = engine.facts
    engine.reset(config.seed)
    validation = data.validation()
    with Watcher() as watcher:
        draft.unwatched = watcher.reason
        _train(config, engine, data, validation, watch, draft, shelf, saved, watcher)
    evaluate_split("validation", validation, config, engine, folder, draft)
    if draft.identity.role in KEPT_ROLES:
        save_weights(folder / WEIGHTS_FILE, engine.weight_names(), engine.weights())
        draft.files[WEIGHTS_FILE] = file_digest(folder / WEIGHTS_FILE)
    if config.evaluate_test:
        evaluate_split("test", data.open_test(), config, engine, folder, draft)
    draft.measures["peak_rss_mib"] = Measure(value=round(peak_rss_mib(), 1))
    draft.measures["peak_device_mib"] = peak_device_mib(layout.devices)


def _train(
    config: RunConfig, engine: Engine, data: Data, validation: Scenes, watch: Watch,
    draft: Draft, shelf: Shelf, saved: Checkpoint | None, watcher: Watcher,
) -> None:  # fmt: skip
    """Train epoch by epoch; leave the weights of the last epoch, or of the best with patience."""
    watch.begun(config.epochs, images_per_epoch(data, engine.global_batch), engine.global_batch)
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
            result = train_epoch(
                epoch, config, plan, engine, data,
                on_images=functools.partial(watch.images, epoch),
                make=functools.partial(draft.times.timed, data.train_scenes),
            )  # fmt: skip
            draft.times.note(result.spans)
            disturbed = watcher.between(result.spans[0].start_s, result.spans[-1].end_s)
            point = epoch_point(config, epoch, result, validation, engine, disturbed)
        else:
            point = done[epoch - 1]
        draft.history.append(point)
        if config.precision == "mixed_float16" and epoch >= len(done):
            skipped = epoch * steps - engine.updates
            draft.measures["skipped_steps"] = Measure(value=float(skipped))
        score = point.metrics["validation_score"]
        if config.patience and score > best_score:
            best_score, best_epoch = score, epoch
            best_weights = engine.weights() if fresh else best_weights
        try:
            goes_on = watch.epoch(point)
        except InterruptedRun:
            if fresh:  # asked to stop here: nothing of the epoch shall be lost
                _keep(epoch, engine, draft, shelf, best_weights)
            raise
        if not goes_on:
            raise _Pruned
        if fresh and shelf.is_due():
            _keep(epoch, engine, draft, shelf, best_weights)
        if config.patience and epoch - best_epoch >= config.patience:
            break
        # Not within the epochs before a kill: the weights are those of the last of them.
        if epoch >= len(done) and draft.stopped_at_target:
            break
    if best_weights:
        engine.set_weights(best_weights)


def _keep(
    epoch: int, engine: Engine, draft: Draft, shelf: Shelf, best: Sequence[NDArray[Any]]
) -> None:
    so_far = draft.record(End(status="interrupted", reason=f"After epoch {epoch}."))
    shelf.keep(Checkpoint(record=so_far, state=engine.state(), best=best))


def _resumed(
    saved: Checkpoint | None, engine: Engine, watch: Watch, draft: Draft, shelf: Shelf
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
