"""`Tracker`: what training and sweeps tell of themselves, passed on to MLflow by one thread.

Training never waits for the tracking store. Each call first makes sure that what it says is in
the local folder, then queues it; a single thread sends in order. If the store fails, that is said
once, live calls are skipped for a while, and as soon as it answers again everything missing is
sent from the local folder. What is left at the end is sent by the next command or `bench sync`.
"""

from __future__ import annotations

import atexit
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from harness.config import RunConfig
from harness.errors import BenchError, InterruptedRun, TrackingError
from harness.liveness import Owner
from harness.mlflow_client import Connection, check_answers, connect
from harness.mlflow_group import manifest_file
from harness.mlflow_runs import Illustrate, RunWriter
from harness.mlflow_view import DEFAULT_EXPERIMENT
from harness.outage import COOL_DOWN_S, Outage
from harness.record import EpochPoint, Role, RunRecord
from harness.store import RECORD_FILE, Store, write_atomically
from harness.store_id import settled_id
from harness.track_sync import CLOSED_FILE, Projection, SyncResult
from harness.tracking_uri import destination, public_uri, resolve_uri

Result = TypeVar("Result")
Notify = Callable[[str], None]

_PATIENCE_S = 60.0
"""For the last calls of a store that answers: pictures and files take their time."""

_HURRY_S = 5.0
"""For the same after Ctrl-C."""

_SLOW_S = 2.0
"""A call that lasts longer makes those who wait for it ask whether the store answers at all."""

_GLANCE_S = 0.05


class Tracker:
    """Sends runs to a tracking store without ever stopping or slowing them.

    Safe to call from any thread. All calls may be repeated.

    Args:
        uri: tracking store; None for `MLFLOW_TRACKING_URI`, else the default in the folder.
        store: the output folder.
        experiment: name in MLflow; made if there is none.
        illustrate: draws the pictures of a run into its folder; called in the sending thread.
        notify: takes one line when the store fails and one when it is back.
        cool_down_s: first pause after a failure.

    Raises:
        TrackingError: the URI is malformed or of a kind that cannot be used.
    """

    def __init__(
        self,
        uri: str | None,
        store: Store,
        *,
        experiment: str = DEFAULT_EXPERIMENT,
        illustrate: Illustrate | None = None,
        notify: Notify = lambda _: None,
        cool_down_s: float = COOL_DOWN_S,
    ) -> None:
        self.uri = resolve_uri(uri, store.root)
        self._store = store
        self._experiment = experiment
        self._illustrate = illustrate
        self._notify = notify
        self._outage = Outage(cool_down_s)
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._projection: Projection | None = None
        self._owner: Owner | None = None
        self._open_sweeps: dict[str, Mapping[str, Any]] = {}
        self._busy_since: float | None = None
        self._silent = False

    def check(self) -> None:
        """Reach the store now, and make database and experiment if they are new.

        Raises:
            TrackingError: it refused or did not answer within seconds.
            StoreError: the output folder cannot be written.
        """
        self._connected()

    def open_sweep(self, manifest: Mapping[str, Any]) -> None:
        """Start or resume a sweep, or a group before its sweeps: its run reads RUNNING.

        Args:
            manifest: plain JSON values; "name" is the sweep's name, "objective" what it optimises,
                "group" the group that it belongs to. A group has "members", names of sweeps with
                their backbones.
        """
        folder = self._store.sweep_dir(manifest["name"])
        (folder / CLOSED_FILE).unlink(missing_ok=True)
        path = folder / manifest_file(manifest)
        if not path.is_file():
            write_atomically(path, _json(manifest))
        self._open_sweeps[manifest["name"]] = manifest
        self._post(lambda p: p.open_sweep(manifest))

    def begin(
        self, run_id: str, role: Role, sweep: str | None, trial: int | None, config: RunConfig
    ) -> None:
        """Say that a run starts. A run begun again replaces what an earlier attempt left."""
        self._post(lambda p: p.begin(run_id, role, sweep, trial, config))

    def epoch(self, run_id: str, point: EpochPoint) -> None:
        """Pass on an epoch; `finish` sends those that did not get through."""
        self._post(lambda p: p.epoch(run_id, point))

    def finish(self, record: RunRecord) -> None:
        """Pass on a run that has ended, however it ended; its record is in its folder first."""
        path = self._store.run_dir(record.run_id) / RECORD_FILE
        if not path.is_file() or path.read_bytes() != record.dumps().encode():
            self._store.write_record(record)
        self._post(lambda p: p.finish(record))

    def reconcile(self, records: Iterable[RunRecord]) -> None:
        """Bring the store in line with these records after a crash; end what died."""
        kept = list(records)
        self._post(lambda p: p.reconcile(kept))

    def close_sweep(self, name: str, summary: Mapping[str, Any]) -> None:
        """Say that a sweep has ended, or a group, after its sweeps.

        Args:
            name: of the sweep.
            summary: plain JSON values. "status" is finished (default), failed or interrupted and
                "reason" why; other numbers become metrics of the parent run, texts join its note.
        """
        write_atomically(self._store.sweep_dir(name) / CLOSED_FILE, _json(summary))
        self._open_sweeps.pop(name, None)
        self._post(lambda p: p.close_sweep(name, summary))

    def log_report(
        self, folder: Path, *, sweep: str | None = None, page: str | None = None
    ) -> str:
        """Send a report's folder as artifacts `report/`; wait for it.

        Args:
            folder: of the report.
            sweep: whose parent run receives it; None for a run of its own.
            page: all of it as HTML, for an artifact `report.html`: the only form of which MLflow's
                pages show the pictures too.

        Returns:
            The MLflow run id.

        Raises:
            TrackingError: the store refused or did not answer.
        """
        return self._ask(lambda p: p.log_report(folder, sweep, page))

    def log_certificate(self, path: Path) -> str:
        """Send a certificate as artifact `certificate/` of a run of its own; wait for it.

        Args:
            path: of its file.

        Returns:
            The MLflow run id.

        Raises:
            TrackingError: the store refused or did not answer; `sync` sends it later.
            StoreError: the file is no certificate.
        """
        return self._ask(lambda p: p.log_certificate(path))

    def log_timings(self, path: Path) -> str:
        """Send timings as artifact `timings/` of a run of their own, as `log_certificate` does."""
        return self._ask(lambda p: p.log_timings(path))

    def sync(self) -> SyncResult:
        """Send all that is local and missing in the store, end what died; wait for it.

        Raises:
            TrackingError: the store refused or did not answer.
        """
        return self._ask(Projection.sync)

    def flush(self, patience_s: float = _PATIENCE_S) -> bool:
        """Wait until what was passed on so far was tried; tell whether that happened in time.

        A store that does not answer is not waited for: what it lacks is sent later.
        """
        self._silent = False
        done = threading.Event()
        self._put(done.set)
        return self._wait_for(done, patience_s)

    def close(self, patience_s: float = _PATIENCE_S) -> None:
        """Send what can be sent within `patience_s` seconds, then let go of everything.

        A store that does not answer costs a few seconds at most.
        """
        atexit.unregister(self.close)
        thread, self._thread = self._thread, None
        if thread is not None:
            done = threading.Event()
            for job in (self._catch_up, done.set, None):
                self._jobs.put(job)
            patience_s = 0.0 if self._silent else patience_s  # `flush` has waited in vain
            if not self._wait_for(done, patience_s) or self._outage.behind:
                self._notify(
                    f"Not everything has reached {public_uri(self.uri)} yet. It is kept in "
                    f"{self._store.root}: `bench sync` or the next command sends it."
                )
        if self._owner is not None:
            self._owner.release()
            self._owner = self._projection = None

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # `bench run` and sweeps have made Ctrl-C an error of ours by now.
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt | InterruptedRun)
        self.close(_HURRY_S if stopped else _PATIENCE_S)

    def _post(self, job: Callable[[Projection], None]) -> None:
        """Queue a call that may fail: the local folder has what it says."""
        self._put(lambda: self._attempt(job))

    def _ask(self, job: Callable[[Projection], Result]) -> Result:
        """Run a call in the sending thread, after what is queued, and wait for its result."""
        answer: Future[Result] = Future()

        def run() -> None:
            try:
                answer.set_result(job(self._connected()))
            # Raised again where it was asked for.
            except BaseException as error:  # noqa: BLE001
                answer.set_exception(error)

        self._put(run)
        return answer.result()

    def _put(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, name="bench-tracker", daemon=True)
            self._thread.start()
            atexit.register(self.close)
        self._jobs.put(job)

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._busy_since = time.monotonic()
            job()
            self._busy_since = None

    def _wait_for(self, done: threading.Event, patience_s: float) -> bool:
        """Wait for something that the sending thread does last; tell whether it did it."""
        start = asked = time.monotonic()
        while not done.wait(_GLANCE_S):
            now = time.monotonic()
            if now - start > patience_s:
                return False
            if now - max(self._busy_since or now, asked) > _SLOW_S:
                self._silent = self._is_silent()
                if self._silent:
                    return done.is_set()
                asked = time.monotonic()
        return True

    def _is_silent(self) -> bool:
        """Tell whether the store is a server that answers nobody."""
        try:
            check_answers(self.uri)
        except TrackingError:
            return True
        return False

    def _attempt(self, job: Callable[[Projection], None]) -> None:
        if self._outage.resting():
            return
        self._catch_up()
        if self._outage.behind:
            return
        try:
            job(self._connected())
        except (BenchError, OSError) as error:
            self._failed(error)

    def _catch_up(self) -> None:
        """After an outage: send everything local, which covers every call that was skipped."""
        if not self._outage.behind:
            return
        try:
            check_answers(self.uri)  # each of MLflow's calls would wait much longer
            projection = self._connected()
            for manifest in list(self._open_sweeps.values()):
                projection.open_sweep(manifest)
            result = projection.sync()
        except (BenchError, OSError) as error:
            self._failed(error)
            return
        if result.gave_up:
            self._failed(TrackingError(next(iter(result.failed.values()))))
            return
        self._outage.ended()
        self._notify(f"{public_uri(self.uri)} answers again: {result.sent} runs were sent.")
        for name, reason in result.failed.items():
            self._notify(f"{name} could not be sent: {reason}")

    def _failed(self, error: Exception) -> None:
        first = not self._outage.behind
        self._outage.happened()
        if first:
            self._notify(f"{error} The work goes on; results are kept and sent later.")

    def _connected(self) -> Projection:
        if self._projection is None:
            self._store.check_writable()
            connection = connect(self.uri, self._experiment, root=self._store.root)
            self._owner = self._owner or Owner(self._store.root)
            self._projection = self._project(connection, self._owner)
        return self._projection

    def _project(self, connection: Connection, owner: Owner) -> Projection:
        writer = RunWriter(
            connection,
            self._store,
            store_id=settled_id(self._store.root),
            owner=owner,
            illustrate=self._illustrate,
        )
        where = destination(self.uri, self._experiment)
        return Projection(writer, self._store, where)


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(dict(values), sort_keys=True, indent=1, default=str) + "\n").encode()
