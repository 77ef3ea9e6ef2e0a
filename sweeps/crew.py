"""The loop between the work and the workers: hand out, hear, judge, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from harness.cause import Cause
from harness.errors import FailFast, InterruptedRun, StoreError
from harness.record import EpochPoint, RunRecord, Status
from harness.store import Store
from sweeps.listeners import (
    EpochDone,
    Observer,
    RunEnded,
    RunRepeated,
    RunStarted,
    Tracker,
    WorkerDied,
    WorkerReplaced,
)
from sweeps.plan import Task
from sweeps.protocol import Died, Done, Epoch, Pool, Raised, Ready, Replaced, Report
from sweeps.work import Work

POLL_S = 0.5
"""Longest wait for workers; Ctrl-C is noticed in between."""


LAST_EPOCH_S = 60.0
"""Once the time is up: how long runs may take to end the epoch that they are in."""


class TimeIsUp(Exception):
    """The sweep has had the time that it was given; nothing trains any more."""


@dataclass(slots=True)
class Stop:
    """Whether the sweep is to end in good order, and why.

    Attributes:
        asked: the signal that somebody sent.
        deadline_s: when its time is up, by `time.monotonic`; None for never.
    """

    asked: str | None = None
    deadline_s: float | None = None

    @property
    def time_is_up(self) -> bool:
        """Whether no run may begin or go on to another epoch."""
        return self.deadline_s is not None and time.monotonic() >= self.deadline_s

    def check(self, running: int) -> None:
        """Raise if the sweep ends here, while so many runs train.

        Raises:
            InterruptedRun: somebody asked for it.
            TimeIsUp: it is, and runs have stopped after an epoch or had the time to.
        """
        if self.asked:
            raise InterruptedRun(
                f"Stopped by {self.asked}. All that was measured is kept; "
                "the same command goes on from here."
            )
        if self.deadline_s is not None and self.time_is_up:
            late = time.monotonic() >= self.deadline_s + LAST_EPOCH_S
            if late or not running:
                raise TimeIsUp("The time given by --max-time was over.")


@dataclass(slots=True)
class _Flight:
    """A run that the worker in a slot is doing."""

    task: Task
    slot: int
    started_at: str
    started_s: float
    points: list[EpochPoint] = field(default_factory=list)

    def record(
        self, status: Status, reason: str, *, traceback: str | None = None,
        cause: Cause | None = None,
    ) -> RunRecord:  # fmt: skip
        """Return a record for a run whose worker left none."""
        task = self.task
        return RunRecord(
            run_id=task.run_id, role=task.role, sweep=task.sweep, trial=task.trial,
            config=task.config, status=status, reason=reason, traceback=traceback, cause=cause,
            started_at=self.started_at, duration_s=time.perf_counter() - self.started_s,
            history=tuple(self.points),
        )  # fmt: skip


class Crew:
    """A pool at work; as a context it leaves no process and no run half done.

    Args:
        store: where workers put the records.
        workers: how many there may be.
        start_pool: starts so many.
        tracker, observer: are told.
        job_extra: added to each job.
        stop: looked at between messages.
        fail_fast: whether the first run that fails ends it all.

    Attributes:
        runs_started: how many runs were handed to a worker.
    """

    def __init__(
        self,
        store: Store,
        *,
        workers: int,
        start_pool: Callable[[int], Pool],
        tracker: Tracker,
        observer: Observer,
        job_extra: Mapping[str, Any],
        stop: Stop,
        fail_fast: bool = False,
    ) -> None:
        self._store, self._workers, self._start_pool = store, workers, start_pool
        self._tracker, self._observer = tracker, observer
        self._job_extra, self._stop, self._fail_fast = job_extra, stop, fail_fast
        self._pool: Pool | None = None
        self._idle: set[int] = set()
        self._flights: dict[int, _Flight] = {}
        self.runs_started = 0

    def __enter__(self) -> Crew:
        """Start nothing yet: there may be nothing to do."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """End the workers, then write down the runs that they were doing as interrupted."""
        if self._pool is not None:
            self._pool.close()
        for flight in self._flights.values():
            # On a full disk this fails too; the first error is the one to report.
            with suppress(StoreError):
                self._interrupted(flight, f"the sweep stopped: {error}")

    def run(self, work: Work) -> None:
        """Do all runs of `work`.

        Raises:
            InterruptedRun: somebody asked to stop.
            FailFast: a run failed, and that was to end it.
            TimeIsUp: the time was up before all was done.
            StoreError: something on disk cannot be read or written.
            BenchError: workers cannot start.
        """
        if not work.left():
            return
        self._stop.check(running=0)  # workers take seconds to start
        if self._pool is None:
            self._pool = self._start_pool(self._workers)
        while work.left():
            self._stop.check(len(self._flights))
            if not self._stop.time_is_up:
                self._hand_out(self._pool, work)
            for report in self._pool.poll(POLL_S):
                self._hear(self._pool, work, report)

    def _hand_out(self, pool: Pool, work: Work) -> None:
        for slot in sorted(self._idle):
            task = work.next_task(slot)
            if task is None:
                return
            self._idle.remove(slot)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._flights[slot] = _Flight(task, slot, now, time.perf_counter())
            self.runs_started += 1
            self._tracker.begin(task)
            pool.submit(slot, self._job(task))
            self._observer(RunStarted(task=task))

    def _job(self, task: Task) -> dict[str, Any]:
        return {
            **self._job_extra,
            "run_id": task.run_id,
            "role": task.role,
            "sweep": task.sweep,
            "trial": task.trial,
            "config": task.config.to_json(),
            "store": str(self._store.root),
        }

    def _hear(self, pool: Pool, work: Work, report: Report) -> None:
        match report:
            case Ready(slot=slot):
                self._idle.add(slot)
            case Epoch(slot=slot, point=point):
                self._epoch(pool, work, slot, point)
            case Done(slot=slot):
                self._idle.add(slot)
                self._done(work, self._flights.pop(slot))
            case Raised(slot=slot):
                self._idle.add(slot)
                self._raised(work, self._flights.pop(slot), report)
            case Died(slot=slot):
                self._idle.discard(slot)
                self._died(work, self._flights.pop(slot, None), report)
            case Replaced(slot=slot, reason=reason):
                self._idle.discard(slot)
                self._observer(WorkerReplaced(reason=reason))

    def _epoch(self, pool: Pool, work: Work, slot: int, point: EpochPoint) -> None:
        flight = self._flights[slot]
        flight.points.append(point)
        # The worker waits for this answer, so it comes before anything that may be slow.
        goes_on = work.goes_on(flight.task, point)
        # After its last epoch a run is as good as done.
        stop = goes_on and self._stop.time_is_up and point.epoch < flight.task.config.epochs
        pool.answer(slot, "stop" if stop else "go" if goes_on else "prune")
        self._tracker.epoch(flight.task, point)
        self._observer(EpochDone(task=flight.task, point=point))

    def _done(self, work: Work, flight: _Flight) -> None:
        record = self._store.read_record(flight.task.run_id)
        if record is None or record.config != flight.task.config:
            reason = "The worker must write a record of the run it was given, but did not."
            self._end(work, flight, flight.record("failed", reason), on_disk=False)
        elif record.status == "interrupted":
            self._put_back(work, flight, record.reason or "The run was interrupted.")
        else:
            self._end(work, flight, record, on_disk=True)

    def _raised(self, work: Work, flight: _Flight, raised: Raised) -> None:
        if raised.kind == StoreError.__name__:
            # A full disk would turn every further trial into a failure.
            raise StoreError(raised.reason.removeprefix(f"{raised.kind}: "))
        if raised.kind == InterruptedRun.__name__:
            self._put_back(work, flight, raised.reason)
        else:
            record = flight.record(
                "failed", raised.reason, traceback=raised.traceback, cause=raised.cause
            )
            self._end(work, flight, record, on_disk=False)

    def _died(self, work: Work, flight: _Flight | None, died: Died) -> None:
        self._observer(WorkerDied(reason=died.reason, task=flight.task if flight else None))
        if flight is None:
            return
        record = work.found(flight.task)
        if record is None:
            self._put_back(work, flight, died.reason, died.cause)
        else:
            self._end(work, flight, record, on_disk=True)

    def _put_back(
        self, work: Work, flight: _Flight, reason: str, cause: Cause | None = None
    ) -> None:
        if self._stop.time_is_up:
            self._interrupted(flight, reason)  # that is no attempt that failed
            return
        if work.put_back(flight.task):
            return
        reason = f"No worker got through this run, and it is not tried again. {reason}"
        if cause == "out_of_memory":
            config = flight.task.config
            reason = f"Out of memory with {config.batch_field} {config.batch}. {reason}"
        self._end(work, flight, flight.record("failed", reason, cause=cause), on_disk=False)

    def _end(self, work: Work, flight: _Flight, record: RunRecord, *, on_disk: bool) -> None:
        """Commit a run: record on disk, row in the study, then everybody else.

        Or put it back, if it failed and is done again.
        """
        again = work.again(flight.task, record) if record.status == "failed" else None
        if again is not None:
            self._repeat(flight, record, again)
            return
        if not on_disk:
            self._store.write_record(record)
        counted, row = work.settle(flight.task, record)
        self._tracker.finish(counted)
        self._observer(RunEnded(task=flight.task, record=counted, row=row))
        if self._fail_fast and counted.status == "failed":
            raise failed_fast(flight.task.run_id, counted.reason)

    def _repeat(self, flight: _Flight, record: RunRecord, reason: str) -> None:
        self._observer(RunRepeated(task=flight.task, reason=reason))
        if record.cause == "transient" and flight.slot in self._idle:
            # What went wrong may live on in the process, as an error of a GPU does.
            self._idle.remove(flight.slot)
            assert self._pool is not None
            self._pool.renew(flight.slot)

    def _interrupted(self, flight: _Flight, reason: str) -> None:
        found = self._store.read_record(flight.task.run_id)
        if found and found.config == flight.task.config:
            if found.status != "interrupted":
                return  # it ended just before; the next command tells from this record
            if len(found.history) >= len(flight.points):
                self._tracker.finish(found)  # the worker's own, which says more
                return
        record = flight.record("interrupted", reason)
        self._store.write_record(record)
        self._tracker.finish(record)


def failed_fast(run_id: str, reason: str | None) -> FailFast:
    """Return the error that ends a sweep at a run that failed."""
    return FailFast(
        f"{run_id} failed, and --fail-fast ends the sweep there: {reason} "
        "All that was measured is kept; the same command without --fail-fast goes on."
    )
