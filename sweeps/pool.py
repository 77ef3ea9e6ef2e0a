"""Local worker processes behind the `Pool` interface."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import BenchError
from sweeps.process import LocalWorker
from sweeps.protocol import Died, Job, Report, Verdict, encode

SILENCE_S = 1800.0
"""A worker that says nothing for so long is taken for hung; an epoch may take a good while."""

START_ATTEMPTS = 3
"""Workers that may die in a row before one of them is ready."""

CLOSE_S = 2.0
"""Time that workers get to end by themselves."""

DEATH_S = 20.0
"""Time that a worker which is ending gets to leave its exit code: a busy machine is slow."""

TICK_S = 0.5
"""How often processes are looked at that may be dead without having closed their pipe."""

Environment = Callable[[int], Mapping[str, str]]


class LocalPool:
    """Worker processes on this machine, each replaced when it dies or hangs.

    Args:
        size: number of workers.
        execute: "module:function", see `sweeps.worker`.
        log_dir: folder for what workers print, `worker-<slot>.log`.
        environment: variables added for the worker in a slot, such as its threads or its GPU.
        silence_s: seconds without a word after which a busy worker is killed.

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
        silence_s: float = SILENCE_S,
    ) -> None:
        self._execute = execute
        self._log_dir = log_dir
        self._environment = environment
        self._silence_s = silence_s
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
        self._workers[slot].say(encode("job", **job))

    def answer(self, slot: int, verdict: Verdict) -> None:
        """See `Pool`."""
        self._workers[slot].say(encode("verdict", verdict=verdict))

    def poll(self, timeout_s: float) -> list[Report]:
        """See `Pool`.

        Raises:
            BenchError: workers cannot even start; the text quotes the last one.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            self._selector.select(min(TICK_S, left_s))
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
        worker = LocalWorker(slot, self._execute, self._log_dir, self._environment(slot))
        self._workers[slot] = worker
        self._selector.register(worker.answers, selectors.EVENT_READ)

    def _hear(self, worker: LocalWorker) -> list[Report]:
        """Return what a worker said since last time; replace it if it is dead or hung."""
        try:
            reports, ended = worker.read()
            fault = None
        except ValueError as error:
            reports, ended, fault = [], True, f"broke the protocol ({error})"
        if worker.silent_s() > self._silence_s:
            fault = f"said nothing for {self._silence_s:g} s and was taken for hung"
        if worker.was_ready:
            self._failed_starts = 0
        # Last words are reported first and alone: whoever answers them must not reach the
        # successor. The end is still there at the next poll.
        if reports or not (ended or fault):
            return reports
        return [self._replace(worker, fault)]

    def _replace(self, worker: LocalWorker, fault: str | None) -> Died:
        self._selector.unregister(worker.answers)
        worker.end(0.0 if fault else DEATH_S)
        reason = worker.obituary(fault)
        if not worker.was_ready:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                del self._workers[worker.slot]
                raise BenchError(
                    f"Workers must be able to start, but {self._failed_starts} in a row did not. "
                    f"The last {reason}. Its log is {worker.log}."
                )
        self._start(worker.slot)
        return Died(slot=worker.slot, reason=f"The worker {reason} (log: {worker.log}).")
