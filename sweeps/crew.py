"""The loop between the work and the workers: hand out, hear, judge, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from harness.errors import InterruptedRun, StoreError
from harness.record import EpochPoint, RunRecord, Status
from harness.store import Store
from sweeps.listeners import EpochDone, Observer, RunEnded, RunStarted, Tracker, WorkerDied
from sweeps.plan import Task
from sweeps.protocol import Died, Done, Epoch, Pool, Raised, Ready, Report
from sweeps.work import Work

POLL_S = 0.5
"""Longest wait for workers; Ctrl-C is noticed in between."""


@dataclass(slots=True)
class Stop:
    """Whether somebody asked the sweep to end in good order, and how."""

    asked: str | None = None

    def check(self) -> None:
        """Raise `InterruptedRun` if so."""
        if self.asked:
            raise InterruptedRun(
                f"Stopped by {self.asked}. All that was measured is kept; "
                "the same command goes on from here."
            )


@dataclass(slots=True)
class _Flight:
    """A run that a worker is doing."""

    task: Task
    started_at: str
    started_s: float
    points: list[EpochPoint] = field(default_factory=list)

    def record(self, status: Status, reason: str, traceback: str | None = None) -> RunRecord:
        """Return a record for a run whose worker left none."""
        task = self.task
        return RunRecord(
            run_id=task.run_id, role=task.role, sweep=task.sweep, trial=task.trial,
            config=task.config, status=status, reason=reason, traceback=traceback,
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
    ) -> None:
        self._store, self._workers, self._start_pool = store, workers, start_pool
        self._tracker, self._observer = tracker, observer
        self._job_extra, self._stop = job_extra, stop
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
            StoreError: something on disk cannot be read or written.
            BenchError: workers cannot start.
        """
        if not work.left():
            return
        if self._pool is None:
            self._pool = self._start_pool(self._workers)
        while work.left():
            self._stop.check()
            self._hand_out(self._pool, work)
            for report in self._pool.poll(POLL_S):
                self._hear(self._pool, work, report)

    def _hand_out(self, pool: Pool, work: Work) -> None:
        for slot in sorted(self._idle):
            task = work.next_task()
            if task is None:
                return
            self._idle.remove(slot)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._flights[slot] = _Flight(task, now, time.perf_counter())
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
            case Died(slot=slot, reason=reason):
                self._idle.discard(slot)
                self._died(work, self._flights.pop(slot, None), reason)

    def _epoch(self, pool: Pool, work: Work, slot: int, point: EpochPoint) -> None:
        flight = self._flights[slot]
        flight.points.append(point)
        # The worker waits for this answer, so it comes before anything that may be slow.
        pool.answer(slot, go_on=work.goes_on(flight.task, point))
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
            record = flight.record("failed", raised.reason, raised.traceback)
            self._end(work, flight, record, on_disk=False)

    def _died(self, work: Work, flight: _Flight | None, reason: str) -> None:
        self._observer(WorkerDied(reason=reason, task=flight.task if flight else None))
        if flight is None:
            return
        record = work.found(flight.task)
        if record is None:
            self._put_back(work, flight, reason)
        else:
            self._end(work, flight, record, on_disk=True)

    def _put_back(self, work: Work, flight: _Flight, reason: str) -> None:
        if not work.put_back(flight.task):
            reason = f"No worker got through this run, and it is not tried again. {reason}"
            self._end(work, flight, flight.record("failed", reason), on_disk=False)

    def _end(self, work: Work, flight: _Flight, record: RunRecord, *, on_disk: bool) -> None:
        """Commit a run: record on disk, row in the study, then everybody else."""
        if not on_disk:
            self._store.write_record(record)
        counted, row = work.settle(flight.task, record)
        self._tracker.finish(counted)
        self._observer(RunEnded(task=flight.task, record=counted, row=row))

    def _interrupted(self, flight: _Flight, reason: str) -> None:
        found = self._store.read_record(flight.task.run_id)
        if found and found.config == flight.task.config and found.status != "interrupted":
            return  # it ended just before; the next command tells from this record
        record = flight.record("interrupted", reason)
        self._store.write_record(record)
        self._tracker.finish(record)
