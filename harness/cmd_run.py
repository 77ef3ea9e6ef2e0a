"""`bench run`: one training, shown as it goes, kept locally and in MLflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

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
from harness.datasets import EPOCHS
from harness.errors import BenchError, InterruptedRun
from harness.record import EpochPoint, RunRecord
from harness.sources import resolve
from harness.store import RECORD_FILE, Store
from harness.tracking_uri import resolve_uri


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
        out, tracking_uri, experiment, data_dir: as the options say.

    Raises:
        BenchError: something does not fit, or the run failed.
        InterruptedRun: it was stopped; its record says so.
    """
    store = Store(out)
    resolve_uri(tracking_uri, store.root)
    store.check_writable()
    config = with_data_defaults(config, resolve(config.dataset, data_dir, say=say).name, chosen)
    with waiting("loading MLflow and TensorFlow ..."), quiet_stderr():
        from harness.run import Identity, Watch, execute, new_run_id, open_devices
        from harness.track import Tracker
        from reports.illustrate import illustrate

        layout = open_devices(config)
    tracker = Tracker(
        tracking_uri, store, experiment=experiment, illustrate=illustrate, notify=say
    )
    with waiting("opening the tracking store ..."):
        tracker.check()
    note(f"strategy {layout.name} on {', '.join(layout.devices)} ({layout.why})")
    run_id = new_run_id(config)
    with tracker, RunProgress() as progress:
        tracker.begin(run_id, "run", None, None, config)

        def on_epoch(point: EpochPoint) -> bool:
            progress.epoch(point)
            tracker.epoch(run_id, point)
            return True

        watch = Watch(begun=progress.begun, images=progress.images, epoch=on_epoch)
        record = execute(
            config, identity=Identity(run_id=run_id), store=store, data_dir=data_dir, watch=watch
        )
        tracker.finish(record)
    _show(record, store)


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
    note("next: `bench ui` to browse it, `bench report --all` to compare it with others")
