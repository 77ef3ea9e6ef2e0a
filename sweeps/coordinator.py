"""The sweep: one process that proposes, hands out, judges and keeps the books.

The order in which a run is committed: the worker writes its record to disk; the coordinator ends
its row in the study; the tracker is told. After a kill between any two of them the next command
goes on from what is there.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from harness.errors import InterruptedRun, StoreError, SweepError, UsageError
from harness.store import Store
from sweeps.crew import Crew, Stop
from sweeps.listeners import NoTracker, Observer, SweepOpened, SweepOutcome, Tracker
from sweeps.lock import hold_lock
from sweeps.plan import SweepPlan, read_plan, settle_plan
from sweeps.protocol import Pool
from sweeps.study import SweepStudy, best_row
from sweeps.work import Finals, Trials, ended_records

ATTEMPTS = 3
"""Workers that may die of one run before it counts as failed."""


def run_sweep(
    plan: SweepPlan,
    *,
    total: int,
    workers: int,
    store: Store,
    start_pool: Callable[[int], Pool],
    tracker: Tracker | None = None,
    observer: Observer = lambda _event: None,
    job_extra: Mapping[str, Any] | None = None,
    attempts: int = ATTEMPTS,
) -> SweepOutcome:
    """Bring a sweep to `total` trials and its finals; go on from whatever is there.

    Args:
        plan: what the sweep is.
        total: trials that the sweep shall hold, those of earlier commands included.
        workers: how many train at once; at most `plan.lookahead`.
        store: the output folder.
        start_pool: starts so many workers, such as `partial(LocalPool, execute=...)`.
        tracker: is told everything that shall be kept.
        observer: is told everything that may be shown.
        job_extra: added to each job as it is, such as the folder of the data.
        attempts: workers that may die of one run before it counts as failed.

    Raises:
        UsageError: a number does not fit.
        SweepError: the sweep was begun with another plan, or another process runs it.
        StoreError: something on disk cannot be read or written.
        InterruptedRun: Ctrl-C or SIGTERM; all is in order for the same command to go on.
    """
    _check_numbers(plan, total, workers, attempts)
    tracker = tracker or NoTracker()
    store.check_writable()
    folder = store.sweep_dir(plan.name)
    with hold_lock(folder), _stop_on_signals() as stop:
        _refuse_leftovers(plan, store, folder)
        settle_plan(plan, folder)
        trials = Trials(plan, SweepStudy(plan, folder), store, total=total, attempts=attempts)
        observer(SweepOpened(plan=plan, total=total, rows=trials.table()))
        tracker.open_sweep(plan)
        tracker.reconcile(ended_records(plan, trials.table(), store))
        crew = Crew(
            store, workers=min(workers, max(trials.left(), plan.finals)), start_pool=start_pool,
            tracker=tracker, observer=observer, job_extra=job_extra or {}, stop=stop,
        )  # fmt: skip
        try:
            with crew:
                crew.run(trials)
                finals = Finals(plan, best_row(plan, trials.table()), store, attempts=attempts)
                crew.run(finals)
        except BaseException as error:
            stopped = isinstance(error, (InterruptedRun, KeyboardInterrupt))
            table = SweepOutcome(name=plan.name, trials=trials.table())
            with suppress(StoreError):  # on a full disk; the first error is the one to report
                tracker.close_sweep("interrupted" if stopped else "failed", table)
            raise
        outcome = _outcome(plan, trials, finals, total, runs_started=crew.runs_started)
        tracker.close_sweep("finished", outcome)
    return outcome


def _outcome(
    plan: SweepPlan, trials: Trials, finals: Finals, total: int, *, runs_started: int
) -> SweepOutcome:
    rows = trials.table()
    best = best_row(plan, rows)
    notes = []
    if len(rows) > total:
        notes.append(
            f"Sweep {plan.name!r} holds {len(rows)} trials, more than the {total} asked for; "
            "none is removed."
        )
    if not runs_started:
        notes.append(f"Sweep {plan.name!r} holds its {len(rows)} trials: nothing was left to do.")
    if best is None:
        notes.append("No trial finished, so there is no best configuration to train again.")
    return SweepOutcome(
        name=plan.name, trials=rows, best=best, finals=finals.records(),
        already_done=not runs_started, notes=tuple(notes),
    )  # fmt: skip


def _check_numbers(plan: SweepPlan, total: int, workers: int, attempts: int) -> None:
    for what, value in (("trials", total), ("workers", workers), ("attempts", attempts)):
        if not value >= 1:
            raise UsageError(f"The number of {what} must be at least 1, got {value}.")
    if workers > plan.lookahead:
        raise UsageError(
            f"At most {plan.lookahead} workers can be busy with a lookahead of {plan.lookahead}, "
            f"but {workers} were asked for. Use fewer, or start a sweep with a larger lookahead."
        )


def _refuse_leftovers(plan: SweepPlan, store: Store, folder: Path) -> None:
    """Refuse a new sweep whose runs would overwrite those of an earlier one."""
    first = plan.trial_id(0)
    if read_plan(folder) is None and store.read_record(first) is not None:
        raise SweepError(
            f"A new sweep must not overwrite runs, but {store.run_dir(first)} is there already. "
            "Choose another --name, or remove the old runs."
        )


@contextmanager
def _stop_on_signals() -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop in good order.

    The second one interrupts at once; then too the next command finds all in order.
    """
    stop = Stop()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
