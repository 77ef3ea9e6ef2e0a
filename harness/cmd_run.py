"""`bench run`: one training, or several to compare, shown as they go and kept."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.checkpoint import Shelf, find_unfinished, last_epoch
from harness.config import RunConfig
from harness.console import (
    RunProgress,
    comparison_table,
    console,
    facts_lines,
    note,
    quiet_stderr,
    result_table,
    say,
    waiting,
)
from harness.data import Data, load
from harness.datasets import epochs_for
from harness.errors import BenchError, InterruptedRun, TrackingError, UsageError
from harness.options import places
from harness.record import EpochPoint, RunRecord
from harness.run_id import new_run_id
from harness.schedule import check_warmup
from harness.store import RECORD_FILE, Store
from harness.targets import Target
from harness.tracking_uri import resolve_uri

if TYPE_CHECKING:
    from harness.mlflow_runs import Illustrate
    from harness.track import Tracker


def run(
    configs: Sequence[RunConfig],
    *,
    chosen: Collection[str],
    report: bool,
    resume: bool,
    targets: Sequence[Target],
    stop_at_target: bool,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Train and evaluate each configuration and show the result; compare them if several.

    Args:
        configs: what to run, on the same data and devices; `dataset` may be "auto".
        chosen: names of the fields that the user set.
        report: whether to write a report of several runs.
        resume: whether to go on with unfinished runs of these configurations.
        targets: what each is to reach, to measure how long that takes.
        stop_at_target: whether a run then ends.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        BenchError: something does not fit, or a run failed; then the others were done.
        InterruptedRun: it was stopped; its record says so.
    """
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    store.check_writable()
    # Read here, to meet damaged files before anything begins; the run reads them again.
    data = load(configs[0], data_dir, say=say)
    tell_left_out(data)
    configs = [with_data_defaults(config, data, chosen) for config in configs]
    check_step(configs[0], data.n_train)
    check_warmup(configs[0])
    replicas = _open_devices(configs, (data.image_px, data.image_px, data.channels), data.classes)
    unfinished = functools.partial(
        find_unfinished, store, data_digest=data.identity().digest, replicas=replicas, say=say
    )
    with opened_tracker(uri, store, experiment) as tracker:
        records = _all_trained(
            configs, store, tracker, data_dir, unfinished if resume else lambda _config: None,
            targets, stop_at_target=stop_at_target,
        )  # fmt: skip
        with waiting("drawing pictures and sending them to MLflow ..."):
            tracker.flush()
    where = places(out, tracking_uri, experiment)
    done = [record for record in records if record.status == "finished"]
    if len(configs) > 1:
        console.print(comparison_table(done))
    if report and len(done) > 1:
        from harness.cmd_report import report as write_report  # seconds that few runs need

        try:
            write_report(
                sweeps=(), runs=[record.run_id for record in done], everything=False,
                to=store.report_dir(f"{done[0].run_id}-and-{len(done) - 1}-more"), out=out,
                tracking_uri=tracking_uri, experiment=experiment,
            )  # fmt: skip
        except (TrackingError, UsageError) as error:  # what was sent later is not there yet
            say(f"No report yet: {error} `bench sync{where}` and `bench report --all{where}` "
                "make it later.")  # fmt: skip
    if len(done) < len(configs):
        raise BenchError(
            f"{len(configs) - len(done)} of {len(configs)} runs failed: see the reasons above."
        )
    note(f"next: `bench ui{where}` to browse, `bench report --all{where}` to compare every run")


def opened_tracker(
    uri: str, store: Store, experiment: str, *, illustrate: Illustrate | None = None
) -> Tracker:
    """Return a tracker whose store has just answered.

    Args:
        uri: of the store.
        store: the output folder.
        experiment: name in MLflow.
        illustrate: draws the pictures of a run; by default what loads the libraries for that late.

    Raises:
        TrackingError: it refused or did not answer.
    """
    with waiting("loading MLflow ..."):
        from harness.track import Tracker
    draw = illustrate or _illustrate
    tracker = Tracker(uri, store, experiment=experiment, illustrate=draw, notify=say)
    with waiting("opening the tracking store ..."):
        tracker.check()
    return tracker


def _illustrate(record: RunRecord, folder: Path) -> list[Path]:
    """Draw the pictures of a run; what that needs is loaded only once there is a record.

    One that was interrupted is drawn when it has gone on to its end: seconds after Ctrl-C its end
    must have arrived.
    """
    if record.status == "interrupted":
        return []
    from reports.illustrate import illustrate

    return illustrate(record, folder)


def _open_devices(
    configs: Sequence[RunConfig], image_shape: tuple[int, int, int], classes: int
) -> int:
    """Load TensorFlow, open the devices and build each network once, before anything begins.

    Returns:
        The number of replicas.
    """
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from harness.engines import open_devices
        from harness.model import blueprint, build
        from harness.replica_layers import check_jit

        layout = open_devices(*configs)
        plans = [blueprint(c, image_shape=image_shape, classes=classes) for c in configs]
        for plan in dict.fromkeys(plans):
            model, jit = build(plan, seed=0).model, configs[0].jit == "on"
            check_jit(model, name=plan.backbone, jit=jit, replicas=layout.replicas)
    note(f"strategy {layout.name} on {', '.join(layout.devices)} ({layout.why})")
    return layout.replicas


def _all_trained(
    configs: Sequence[RunConfig],
    store: Store,
    tracker: Tracker,
    data_dir: Path | None,
    unfinished: Callable[[RunConfig], Shelf | None],
    targets: Sequence[Target],
    *,
    stop_at_target: bool,
) -> list[RunRecord]:
    """Train one after the other and show each result; of several, one that fails ends none.

    Raises:
        BenchError: the only run failed.
        InterruptedRun: one was stopped, and with it those to come.
    """
    records = []
    for number, config in enumerate(configs, start=1):
        if len(configs) > 1:
            note(f"run {number} of {len(configs)}: {config.backbone}, seed {config.seed}")
        record = _trained(
            config, store, tracker, data_dir, unfinished(config), targets,
            stop_at_target=stop_at_target,
        )  # fmt: skip
        records.append(record)
        try:
            show(record, store, in_full=len(configs) == 1)
        except InterruptedRun:
            raise
        except BenchError as error:
            if len(configs) == 1:
                raise
            say(str(error))
    return records


def _trained(
    config: RunConfig,
    store: Store,
    tracker: Tracker,
    data_dir: Path | None,
    shelf: Shelf | None,
    targets: Sequence[Target],
    *,
    stop_at_target: bool,
) -> RunRecord:
    """Train and evaluate, or go on with the run of `shelf`; tell the screen and the tracker."""
    from harness.draft import Identity
    from harness.run import Watch, execute

    run_id = shelf.run_id if shelf else new_run_id(config)
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
            watch=Watch(
                say=say, note=note, begun=progress.begun, images=progress.images, epoch=on_epoch
            ),
            shelf=shelf,
            targets=targets,
            stop_at_target=stop_at_target,
        )
    tracker.finish(record)
    return record


def check_step(config: RunConfig, n_train: int) -> None:
    """Raise `UsageError` if one step needs more images than there are to train on."""
    if config.batch > n_train:
        option = config.batch_field.replace("_", "-")
        raise UsageError(
            f"A step's {config.batch} images must not exceed the {n_train} training examples. "
            f"Use --{option} {n_train} or less."
        )


def with_data_defaults(config: RunConfig, data: Data, chosen: Collection[str]) -> RunConfig:
    """Return the configuration with its data set named and the epochs that suit it."""
    epochs = config.epochs if "epochs" in chosen else epochs_for(data.source, data.n_available)
    return dataclasses.replace(config, dataset=data.dataset, epochs=epochs)


def tell_left_out(data: Data) -> None:
    """Say which images of the training pool were left out, if any."""
    for line in data.left_out():
        say(f"left out {line}")


def show(record: RunRecord, store: Store, *, in_full: bool) -> None:
    """Print what a run measured.

    Raises:
        BenchError: it failed.
        InterruptedRun: it was stopped.
    """
    folder = store.run_dir(record.run_id)
    more = _rest(store, record.run_id)
    match record.status:
        case "interrupted":
            raise InterruptedRun(f"{record.reason} Its record is in {folder}.{more}")
        case "failed":
            if record.traceback:
                note(f"The traceback is in {folder / RECORD_FILE}.")
            raise BenchError(f"The run failed: {record.reason}{more}")
    if in_full:
        console.print(result_table(record))
    for line in facts_lines(record):
        note(line)
    note(f"run {record.run_id} is in {folder}")


def _rest(store: Store, run_id: str) -> str:
    """Return, led by a space, how to go on with a run; nothing if it has no checkpoint."""
    epoch = last_epoch(store.checkpoint_dir(run_id))
    return f" The same command goes on after epoch {epoch}." if epoch else ""
