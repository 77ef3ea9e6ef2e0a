"""Local worker processes behind the `Pool` interface."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import BenchError
from sweeps.deadlines import HANG_AFTER_S, LEAST_S, Deadlines
from sweeps.growth import COUNTERS, LEAST_GROWTH_MIB, Growth
from sweeps.process import LocalWorker
from sweeps.protocol import Died, Done, Job, Raised, Replaced, Report, Verdict, encode

START_ATTEMPTS = 3
"""Workers that may die in a row before one of them is ready."""

CLOSE_S = 2.0
"""Time that workers get to end by themselves."""

DEATH_S = 20.0
"""Time that a worker which is ending gets to leave its exit code: a busy machine is slow."""

TICK_S = 0.5
"""How often processes are looked at that may be dead without having closed their pipe."""

STANDSTILL_S = 10.0
"""A look at the workers that comes so long after the last one comes from a process that stood
still itself (Ctrl-Z, a frozen container): its workers may have, too."""

Environment = Callable[[int], Mapping[str, str]]


class LocalPool:
    """Worker processes on this machine, each replaced when it dies or hangs.

    Args:
        size: number of workers.
        execute: "module:function", see `sweeps.worker`.
        log_dir: folder for what workers print, `worker-<slot>.log`.
        environment: variables added for the worker in a slot, such as its threads or its GPU.
        silence_s: seconds without a word after which a busy worker is killed in any case, see
            `sweeps.deadlines`.
        least_s: seconds that it has for a word in any case.
        growth_mib: growth of a worker that is not worth a new one, see `sweeps.growth`.
        oom_counters: where the kernel counts what it killed for lack of memory.

    Raises:
        StoreError: a log cannot be written.
    """

    def __init__(
        self,
        size: int,
        *,
        execute: str,
        log_dir: Path,
        environment: Environment = lambda _slot: {},
        silence_s: float = HANG_AFTER_S,
        least_s: float = LEAST_S,
        growth_mib: float = LEAST_GROWTH_MIB,
        oom_counters: Sequence[Path] = COUNTERS,
    ) -> None:
        self._execute = execute
        self._log_dir = log_dir
        self._environment = environment
        self._deadlines = Deadlines(silence_s, least_s)
        self._growth_mib, self._oom_counters = growth_mib, oom_counters
        self._looked_s = time.monotonic()
        self._failed_starts = 0
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, LocalWorker] = {}
        try:
            for slot in range(size):
                self._start(slot)
        except BaseException:
            self.close()
            raise

    def submit(self, slot: int, job: Job) -> None:
        """See `Pool`."""
        self._deadlines.begin(slot, job)
        self._workers[slot].begin(job)

    def answer(self, slot: int, verdict: Verdict) -> None:
        """See `Pool`."""
        self._workers[slot].say(encode("verdict", verdict=verdict))

    def renew(self, slot: int) -> None:
        """See `Pool`."""
        self._end(self._workers[slot], CLOSE_S)
        self._start(slot)

    def poll(self, timeout_s: float) -> list[Report]:
        """See `Pool`.

        Raises:
            BenchError: workers cannot even start; the text quotes the last one.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            self._selector.select(min(TICK_S, left_s))
            self._forgive_standstill()
            reports = [
                report for worker in tuple(self._workers.values()) for report in self._hear(worker)
            ]
            if reports or left_s == 0:
                return reports

    def close(self) -> None:
        """See `Pool`."""
        for worker in self._workers.values():
            worker.hang_up()
        deadline = time.monotonic() + CLOSE_S
        for worker in self._workers.values():
            worker.end(max(0.0, deadline - time.monotonic()))
        self._workers.clear()
        self._selector.close()

    def _start(self, slot: int) -> None:
        worker = LocalWorker(
            slot, self._execute, self._log_dir, self._environment(slot),
            growth=Growth(self._growth_mib), oom_counters=self._oom_counters,
        )  # fmt: skip
        self._workers[slot] = worker
        self._selector.register(worker.answers, selectors.EVENT_READ)

    def _hear(self, worker: LocalWorker) -> list[Report]:
        """Return what a worker said since last time; replace it if it is dead or hung."""
        waited_s = worker.silent_s()
        try:
            reports, ended = worker.read()
            fault = None
        except ValueError as error:
            reports, ended, fault = [], True, f"broke the protocol ({error})"
        if reports:
            self._deadlines.heard(worker.slot, waited_s)
        limit_s = self._deadlines.limit_s(worker.slot)
        if worker.silent_s() > limit_s:
            self._deadlines.hung(worker.slot)
            fault = f"said nothing for {limit_s:.3g} s and was taken for hung"
        if worker.was_ready:
            self._failed_starts = 0
        if reports and isinstance(reports[-1], Done | Raised):
            return [*reports, *self._outgrown(worker)]
        # Last words are reported first and alone: whoever answers them must not reach the
        # successor. The end is still there at the next poll.
        if reports or not (ended or fault):
            return reports
        return [self._replace(worker, fault)]

    def _replace(self, worker: LocalWorker, fault: str | None) -> Died:
        self._end(worker, 0.0 if fault else DEATH_S)
        reason = worker.obituary(fault)
        lacked = fault is None and worker.lacked_memory()
        if not worker.was_ready:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                del self._workers[worker.slot]
                raise BenchError(
                    f"Workers must be able to start, but {self._failed_starts} in a row did not. "
                    f"The last {reason}. Its log is {worker.log}."
                )
        self._start(worker.slot)
        return Died(
            slot=worker.slot, reason=f"The worker {reason} (log: {worker.log}).",
            cause="out_of_memory" if lacked else "worker_died",
        )  # fmt: skip

    def _outgrown(self, worker: LocalWorker) -> list[Report]:
        """Replace a worker that has just done a job, if its memory has grown too much."""
        reason = worker.overgrown()
        if reason is None:
            return []
        self.renew(worker.slot)
        return [
            Replaced(slot=worker.slot, reason=f"A worker makes place for a new one: {reason}.")
        ]

    def _end(self, worker: LocalWorker, patience_s: float) -> None:
        self._selector.unregister(worker.answers)
        self._deadlines.forget(worker.slot)
        worker.end(patience_s)

    def _forgive_standstill(self) -> None:
        """Leave the time in which this process stood still out of all deadlines."""
        now_s = time.monotonic()
        away_s, self._looked_s = now_s - self._looked_s, now_s
        if away_s > STANDSTILL_S:
            for worker in self._workers.values():
                worker.forgive(away_s)
