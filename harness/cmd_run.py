"""`bench run`: one training, shown as it goes, kept locally and in MLflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from architectures import registry
from harness.config import RunConfig
from harness.console import (
    RunProgress,
    console,
    facts_lines,
    note,
    quiet_stderr,
    result_table,
    say,
    waiting,
)
from harness.data import load
from harness.datasets import EPOCHS
from harness.errors import BenchError, InterruptedRun, UsageError
from harness.options import places
from harness.record import EpochPoint, RunRecord
from harness.store import RECORD_FILE, Store
from harness.tracking_uri import resolve_uri

if TYPE_CHECKING:
    from harness.track import Tracker


def run(
    config: RunConfig,
    *,
    chosen: Collection[str],
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Train and evaluate once and show the result.

    Args:
        config: what to run; `dataset` may be "auto".
        chosen: names of the fields that the user set.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        BenchError: something does not fit, or the run failed.
        InterruptedRun: it was stopped; its record says so.
    """
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    store.check_writable()
    # Read here, to meet damaged files before anything begins; the run reads them again.
    data = load(config, data_dir, say=say)
    config = with_data_defaults(config, data.source, chosen)
    check_step(config, data.n_train)
    _open_devices(config)
    with opened_tracker(uri, store, experiment) as tracker:
        record = _trained(config, store, tracker, data_dir)
        _show(record, store)
        with waiting("drawing pictures and sending them to MLflow ..."):
            tracker.flush()
    where = places(out, tracking_uri, experiment)
    note(f"next: `bench ui{where}` to browse it, `bench report --all{where}` to compare it")


def opened_tracker(uri: str, store: Store, experiment: str) -> Tracker:
    """Return a tracker whose store has just answered.

    Raises:
        TrackingError: it refused or did not answer.
    """
    with waiting("loading MLflow ..."):
        from harness.track import Tracker
        from reports.illustrate import illustrate
    tracker = Tracker(uri, store, experiment=experiment, illustrate=illustrate, notify=say)
    with waiting("opening the tracking store ..."):
        tracker.check()
    return tracker


def _open_devices(config: RunConfig) -> None:
    """Load TensorFlow, open the devices and find the backbone, before anything begins."""
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from harness.engines import open_devices

        layout = open_devices(config)
        registry.get(config.backbone)
    note(f"strategy {layout.name} on {', '.join(layout.devices)} ({layout.why})")


def _trained(
    config: RunConfig, store: Store, tracker: Tracker, data_dir: Path | None
) -> RunRecord:
    """Train and evaluate; tell the screen and the tracker."""
    from harness.run import Identity, Watch, execute, new_run_id

    run_id = new_run_id(config)
    with RunProgress() as progress:
        tracker.begin(run_id, "run", None, None, config)

        def on_epoch(point: EpochPoint) -> bool:
            progress.epoch(point)
            tracker.epoch(run_id, point)
            return True

        record = execute(
            config,
            identity=Identity(run_id=run_id),
            store=store,
            data_dir=data_dir,
            watch=Watch(begun=progress.begun, images=progress.images, epoch=on_epoch),
        )
    tracker.finish(record)
    return record


def check_step(config: RunConfig, n_train: int) -> None:
    """Raise `UsageError` if one step needs more images than there are to train on."""
    batch = config.global_batch_size or config.batch_size
    if batch > n_train:
        raise UsageError(
            f"A step's {batch} images must not exceed the {n_train} training examples. "
            f"Use --batch-size {n_train} or less."
        )


def with_data_defaults(config: RunConfig, source: str, chosen: Collection[str]) -> RunConfig:
    """Return the configuration with its data set named and the epochs that suit it."""
    epochs = config.epochs if "epochs" in chosen else EPOCHS[source]
    return dataclasses.replace(config, dataset=source, epochs=epochs)


def _show(record: RunRecord, store: Store) -> None:
    folder = store.run_dir(record.run_id)
    match record.status:
        case "interrupted":
            raise InterruptedRun(f"{record.reason} Its record is in {folder}.")
        case "failed":
            if record.traceback:
                note(f"The traceback is in {folder / RECORD_FILE}.")
            raise BenchError(f"The run failed: {record.reason}")
    console.print(result_table(record))
    for line in facts_lines(record):
        note(line)
    note(f"run {record.run_id} is in {folder}")
