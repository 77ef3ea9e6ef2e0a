"""`bench run --strategy multiworker`: one worker of a cluster, the chief or another.

This process loads no TensorFlow. It checks what is cheap, meets the others and supervises its
training process. The chief's alone shows progress, writes the record and talks to MLflow.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from harness.checkpoint import Shelf, find_unfinished
from harness.child import Child
from harness.cluster import (
    VARIABLE,
    Cluster,
    check_port_free,
    control_address,
    read_cluster,
)
from harness.cmd_run import (
    check_step,
    opened_tracker,
    show,
    tell_left_out,
    with_data_defaults,
)
from harness.config import RunConfig
from harness.console import RunProgress, note, say, waiting
from harness.data import load
from harness.errors import ClusterError, InterruptedRun
from harness.handover import Receiver, hand_over
from harness.machine import git_state, package_versions
from harness.membership import Member
from harness.options import check_workers, places
from harness.record import DataIdentity, EpochPoint, RunRecord
from harness.rendezvous import COMMIT, Chief, Facts, Inbox, listen, stopped_text
from harness.run_id import new_run_id
from harness.store import Store
from harness.supervise import End, follow, lead
from harness.targets import Target
from harness.tracking_uri import resolve_uri
from harness.trainer import die_with

if TYPE_CHECKING:
    from harness.track import Tracker

TRAIN = "harness.part:train"

LAUNCHER = "BENCH_LAUNCHER"
"""Variable with the process id of the `bench launch` that started this worker."""

_PACKAGES = ("locbench", "tensorflow", "keras", "numpy")


def run(
    config: RunConfig,
    *,
    chosen: Collection[str],
    resume: bool,
    targets: Sequence[Target],
    control_port: int | None,
    wait_s: float,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Be one worker of the cluster in `TF_CONFIG` until its run has ended.

    Args:
        config: what to run; `dataset` may be "auto".
        chosen: names of the fields that the user set.
        resume: whether to go on with an unfinished run of this configuration; the chief decides.
        targets: what it is to reach, to measure how long that takes.
        control_port: where the chief listens for the others; None for the default.
        wait_s: how long workers wait for each other at the start.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        UsageError: something does not fit; nothing was started.
        BenchError: the run failed, on this worker or another.
        InterruptedRun: a worker was stopped.
    """
    if LAUNCHER in os.environ:
        die_with(int(os.environ[LAUNCHER]), signal.SIGTERM)
    cluster = read_cluster(os.environ)
    check_workers(config, len(cluster.workers))
    address = control_address(cluster, control_port)
    check_port_free(cluster.workers[cluster.index], f"The port of {cluster.name(cluster.index)}")
    store = Store(out)
    if not cluster.is_chief:
        run, facts = _prepared(config, targets, chosen, data_dir)
        _follow(cluster, Member(cluster, facts, address, run.inbox), run, store, wait_s)
        return
    uri = resolve_uri(tracking_uri, store.root)
    store.check_writable()
    with listen(address) as listener:
        _warn_of_loopback(cluster.workers[0].host, str(listener.getsockname()[0]))
        run, facts = _prepared(config, targets, chosen, data_dir)
        with (
            Chief(cluster, facts, listener, run.inbox, notify=say) as chief,
            opened_tracker(uri, store, experiment) as tracker,
        ):
            if resume:
                run.go_on(store)
            record = _led(cluster, chief, run, store, tracker, wait_s)
            with waiting("drawing pictures and sending them to MLflow ..."):
                tracker.flush()
    show(record, store, in_full=True)
    where = places(out, tracking_uri, experiment)
    note(f"next: `bench ui{where}` to browse, `bench report --all{where}` to compare all runs")


def _warn_of_loopback(host: str, found: str) -> None:
    """Say if the chief's name leads nowhere from other machines, as some /etc/hosts have it."""
    loopback = ("127.", "::1")
    if found.startswith(loopback) and not host.strip("[]").startswith((*loopback, "localhost")):
        say(
            f"{host} is {found} on this machine, where no worker on another one can reach it. In "
            f"{VARIABLE} name an address that they know."
        )


@dataclass(slots=True, kw_only=True)
class _Run:
    """What this worker knows of the run, beside what its training process does."""

    config: RunConfig
    targets: tuple[str, ...]
    data: DataIdentity
    data_dir: Path | None
    run_id: str
    checkpoint: Path | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    start_s: float = field(default_factory=perf_counter)
    points: list[EpochPoint] = field(default_factory=list)
    inbox: Inbox = field(default_factory=queue.SimpleQueue)

    def go_on(self, store: Store) -> None:
        """Take up an unfinished run of this configuration, if there is one."""
        shelf = find_unfinished(
            store, self.config, data_digest=self.data.digest, replicas=None, say=say
        )
        if shelf is None:
            return
        with shelf:  # the training process is to hold it
            if shelf.newest() is not None:
                self.run_id, self.checkpoint = shelf.run_id, shelf.paths()[-1]

    def child(self, cluster: Cluster, store: Store) -> Child:
        """Return the training process of this worker, not started yet."""
        return Child(
            cluster.index, TRAIN, store.root / "logs" / f"worker-{cluster.index}.log", self.inbox,
            environment={VARIABLE: cluster.tf_config(), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip

    def job(self, run_id: str, store: Path) -> Mapping[str, Any]:
        """Return what the training process is told."""
        return {
            "run_id": run_id,
            "config": self.config.to_json(),
            "targets": self.targets,
            "store": str(store),
            "data_dir": str(self.data_dir.absolute()) if self.data_dir else None,
        }

    def record(self, end: End, store: Store) -> RunRecord:
        """Return a record for a run whose training process left none."""
        known = RunRecord(
            run_id=self.run_id, role="run", config=self.config, status=end.status,
            reason=end.reason, started_at=self.started.isoformat(timespec="milliseconds"),
            duration_s=round(perf_counter() - self.start_s, 3), data=self.data,
            history=tuple(self.points), targets=self.targets,
        )  # fmt: skip
        with Shelf(store.checkpoint_dir(self.run_id)) as shelf:
            saved = shelf.newest()
        if saved is None:
            return known
        # It knows machine and network, and the attempts before this one.
        history = max(known.history, saved.record.history, key=len)
        return dataclasses.replace(
            saved.record, status=end.status, reason=end.reason, history=history
        )


def _prepared(
    config: RunConfig, targets: Sequence[Target], chosen: Collection[str], data_dir: Path | None
) -> tuple[_Run, Facts]:
    """Read the data; return the run and what all workers must have in common."""
    data = load(config, data_dir, say=say)
    tell_left_out(data)
    config = with_data_defaults(config, data, chosen)
    check_step(config, data.n_train)
    identity = data.identity()
    versions = package_versions()
    facts = {name: versions.get(name) for name in _PACKAGES}
    commit, _ = git_state(Path(__file__).parent)
    if commit:
        facts[COMMIT] = commit
    run = _Run(
        config=config, targets=tuple(map(str, targets)), data=identity, data_dir=data_dir,
        run_id=new_run_id(config),
    )  # fmt: skip
    return run, {**facts, **config.to_json(), "data": identity.digest}


def _led(
    cluster: Cluster, chief: Chief, run: _Run, store: Store, tracker: Tracker, wait_s: float
) -> RunRecord:
    """Meet the others, train and return the record, which is written and told."""
    tracker.begin(run.run_id, "run", None, None, run.config)
    before = store.read_record(run.run_id)
    end = _met(cluster, chief, run, store, wait_s, tracker)
    record = store.read_record(run.run_id)
    if record is None or record == before:
        record = run.record(end, store)
    elif record.status != "finished" and end.worker != cluster.index:
        # What its own training met was a consequence.
        record = dataclasses.replace(record, status=end.status, reason=end.reason, traceback=None)
    store.write_record(record)
    tracker.finish(record)
    return record


def _met(
    cluster: Cluster, chief: Chief, run: _Run, store: Store, wait_s: float, tracker: Tracker
) -> End:
    """Wait for the others and train; return how the run ended."""
    others = len(cluster.workers) - 1
    try:
        with waiting(f"waiting for {others} other worker{'s' * (others > 1)} ..."):
            chief.gather(wait_s)
        handed = hand_over(run.checkpoint, chief.tell)
    except KeyboardInterrupt:
        reason = stopped_text(cluster.name(0))
        chief.tell("end", status="interrupted", reason=reason)
        return End(status="interrupted", reason=reason, worker=0)
    except InterruptedRun as error:
        return End(status="interrupted", reason=str(error), worker=0)
    except ClusterError as error:
        return End(status="failed", reason=str(error), worker=0)
    note(f"all {others + 1} workers are here; this is {cluster.name(0)}")
    with RunProgress() as progress:
        return lead(
            cluster, chief, run.child(cluster, store), run.inbox,
            run={"run_id": run.run_id, **handed},
            job=run.job(run.run_id, store.root),
            progress=_listener(run, progress, tracker),
        )  # fmt: skip


def _listener(
    run: _Run, progress: RunProgress, tracker: Tracker
) -> Callable[[Mapping[str, Any]], None]:
    """Return what passes on the words of the chief's training process."""

    def listen_to(message: Mapping[str, Any]) -> None:
        match message:
            case {"kind": "begun", "epochs": epochs, "images": images, "batch": batch}:
                progress.begun(epochs, images, batch)
            case {"kind": "images", "epoch": epoch, "images": images}:
                progress.images(epoch, images)
            case {"kind": "epoch", "point": values}:
                point = EpochPoint.from_json(values)
                run.points.append(point)
                progress.epoch(point)
                tracker.epoch(run.run_id, point)
            case {"kind": "say", "text": text}:
                say(text)

    return listen_to


def _follow(cluster: Cluster, member: Member, run: _Run, store: Store, wait_s: float) -> None:
    """Train as the chief says, and say briefly how it goes.

    Raises:
        ClusterError: the run failed.
        InterruptedRun: it was stopped.
    """
    note(f"this is {cluster.name(cluster.index)}, waiting for {cluster.name(0)}")
    member.join(wait_s)
    note("the chief is there; it shows the progress and keeps the record")
    # Only the chief's files are kept.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Store(Path(folder))
        receiver = Receiver(scratch.root)

        def job(start: Mapping[str, Any]) -> Mapping[str, Any]:
            run_id = Path(str(start.get("run_id"))).name  # never out of the folder
            receiver.place(start, scratch.checkpoint_dir(run_id))
            return run.job(run_id, scratch.root)

        end = follow(
            cluster, member, run.child(cluster, store), run.inbox, part=receiver.part, job=job,
            progress=lambda message: note("training") if message["kind"] == "begun" else None,
        )  # fmt: skip
    match end.status:
        case "interrupted":
            raise InterruptedRun(f"{end.reason}")
        case "failed":
            raise ClusterError(f"The run failed: {end.reason}")
    note(f"the run has ended: {end.status}; its record is where the chief ran")
