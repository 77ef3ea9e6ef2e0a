"""The sweep, or several: one process that proposes, hands out, judges and keeps the books.

The order in which a run is committed: the worker writes its record to disk; the coordinator ends
its row in the study; the tracker is told. After a kill between any two of them the next command
goes on from what is there.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from harness.errors import InterruptedRun, StoreError, SweepError, UsageError
from harness.store import Store
from sweeps.crew import Crew, Stop, TimeIsUp, failed_fast
from sweeps.group import SweepGroup, refuse_group, settle_group
from sweeps.listeners import (
    Event,
    NoTracker,
    Observer,
    SweepEnd,
    SweepOpened,
    SweepOutcome,
    Tracker,
)
from sweeps.lock import hold_lock
from sweeps.plan import SweepPlan, read_plan, settle_plan
from sweeps.progress import ProgressNotes
from sweeps.protocol import Pool
from sweeps.sampler import TrialRow
from sweeps.samplers import most_trials
from sweeps.study import SweepStudy, best_row, best_rows, leaders
from sweeps.together import Together
from sweeps.work import Finals, Trials, ended_records

ATTEMPTS = 3
"""Workers that may die of one run before it counts as failed."""


def run_sweep(plan: SweepPlan, **options: Any) -> SweepOutcome:
    """Bring one sweep to its trials and finals; options and errors are those of `run_sweeps`."""
    (outcome,) = run_sweeps((plan,), **options)
    return outcome


def run_sweeps(
    plans: Sequence[SweepPlan],
    *,
    total: int,
    workers: int,
    store: Store,
    start_pool: Callable[[int], Pool],
    tracker: Tracker | None = None,
    observer: Observer = lambda _event: None,
    job_extra: Mapping[str, Any] | None = None,
    attempts: int = ATTEMPTS,
    top: int = 1,
    fail_fast: bool = False,
    deadline_s: float | None = None,
) -> tuple[SweepOutcome, ...]:
    """Bring sweeps to `total` trials each, then to their finals; go on from whatever is there.

    Several are the members of one group and share the workers. No test split is opened before
    the last search has ended.

    Args:
        plans: what each sweep is.
        total: trials that each sweep shall hold, those of earlier commands included.
        workers: how many train at once; at most `lookahead` of a plan.
        store: the output folder.
        start_pool: starts so many workers, such as `partial(LocalPool, execute=...)`.
        tracker: is told everything that shall be kept.
        observer: is told everything that may be shown.
        job_extra: added to each job as it is, such as the folder of the data.
        attempts: workers that may die of one run before it counts as failed.
        top: how many of the best trials of each sweep are trained again.
        fail_fast: end at the first run that fails, in good order; also at a trial that failed
            in an earlier command.
        deadline_s: when it ends in good order, done or not, by `time.monotonic`; None for never.

    Returns:
        How each sweep stands; `stopped` says so if the time was up before all was done.

    Raises:
        UsageError: a number does not fit.
        SweepError: a sweep was begun with another plan, or another process runs it.
        StoreError: something on disk cannot be read or written.
        FailFast: a run failed, and that was to end the sweep.
        InterruptedRun: Ctrl-C or SIGTERM; all is in order for the same command to go on.
    """
    for plan in plans:
        _check_numbers(plan, total, workers, attempts, top)
    group = SweepGroup.of(plans) if len(plans) > 1 or plans[0].group else None
    tracker = tracker or NoTracker()
    store.check_writable()
    with _all_locked(plans, group, store), _stop_on_signals(deadline_s) as stop:
        _settle(plans, group, store)
        notes = [_noting(plan, store, total, workers, top) for plan in plans]
        searches = {plan.name: _trials(plan, store, total, attempts) for plan in plans}
        _open(plans, group, searches, store, total=total, tracker=tracker, observer=observer)
        served: dict[int, str] = {}
        trials = Together(searches, served)
        finals_each = plans[0].finals * (top + (not plans[0].trains_alike))
        crew = Crew(
            store, workers=min(workers, max(trials.left(), len(plans) * finals_each)),
            start_pool=start_pool, tracker=tracker, observer=_all_of(observer, *notes),
            job_extra=job_extra or {}, stop=stop, fail_fast=fail_fast,
        )  # fmt: skip
        try:
            if fail_fast:
                for plan in plans:
                    _refuse_failed(plan, searches[plan.name].table())
            with crew:
                crew.run(trials)
                best = {p.name: best_rows(p, searches[p.name].table(), top) for p in plans}
                finals = {p.name: Finals(p, best[p.name], store, attempts=attempts) for p in plans}
                crew.run(Together(finals, served))
        except BaseException as error:
            end, outcomes = _cut_short(error, searches, total)
            with suppress(StoreError):  # on a full disk; the first error is the one to report
                _close(tracker, group, notes, end, outcomes)
            if not isinstance(error, TimeIsUp):
                raise
        else:
            outcomes = tuple(
                _outcome(p, searches[p.name], finals[p.name], total, started=crew.runs_started)
                for p in plans
            )
            _close(tracker, group, notes, "finished", outcomes)
    return outcomes


def _all_of(*observers: Observer) -> Observer:
    """Return an observer that tells each of these."""

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell


@contextmanager
def _all_locked(
    plans: Sequence[SweepPlan], group: SweepGroup | None, store: Store
) -> Iterator[None]:
    """Hold the folders of a group and of each sweep, always in the same order."""
    with ExitStack() as locks:
        for name in [*([group.name] if group else []), *(plan.name for plan in plans)]:
            locks.enter_context(hold_lock(store.sweep_dir(name)))
        yield


def _settle(plans: Sequence[SweepPlan], group: SweepGroup | None, store: Store) -> None:
    for plan in plans:
        refuse_group(store.sweep_dir(plan.name))
        _refuse_leftovers(plan, store, store.sweep_dir(plan.name))
    if group is not None:
        settle_group(group, store.sweep_dir(group.name))
    for plan in plans:
        settle_plan(plan, store.sweep_dir(plan.name))


def _trials(plan: SweepPlan, store: Store, total: int, attempts: int) -> Trials:
    study = SweepStudy(plan, store.sweep_dir(plan.name))
    return Trials(plan, study, store, total=total, attempts=attempts)


def _open(
    plans: Sequence[SweepPlan], group: SweepGroup | None, searches: Mapping[str, Trials],
    store: Store, *, total: int, tracker: Tracker, observer: Observer,
) -> None:  # fmt: skip
    """Tell everybody of what is there."""
    for plan in plans:
        observer(SweepOpened(plan=plan, total=total, rows=searches[plan.name].table()))
    if group is not None:
        tracker.open_group(group)
    ended = []
    for plan in plans:
        tracker.open_sweep(plan)
        ended += ended_records(plan, searches[plan.name].table(), store)
    tracker.reconcile(ended)


def _noting(plan: SweepPlan, store: Store, total: int, workers: int, top: int) -> ProgressNotes:
    """Return what notes how a sweep goes on; it has begun."""
    notes = ProgressNotes(
        plan=plan, folder=store.sweep_dir(plan.name), total=total, workers=workers, top=top
    )
    notes.begin()
    return notes


def _cut_short(
    error: BaseException, searches: Mapping[str, Trials], total: int
) -> tuple[SweepEnd, tuple[SweepOutcome, ...]]:
    """Return how a command ended that did not get through, and how each sweep stands."""
    stopped = isinstance(error, (InterruptedRun, KeyboardInterrupt, TimeIsUp))
    reason = str(error) or type(error).__name__
    outcomes = tuple(
        SweepOutcome(name=name, trials=work.table(), total=total, stopped=reason)
        for name, work in searches.items()
    )
    return "interrupted" if stopped else "failed", outcomes


def _close(
    tracker: Tracker, group: SweepGroup | None, notes: Sequence[ProgressNotes], end: SweepEnd,
    outcomes: Sequence[SweepOutcome],
) -> None:  # fmt: skip
    for outcome, note in zip(outcomes, notes, strict=True):
        tracker.close_sweep(end, outcome)
        note.end(end, outcome.stopped)
    if group is not None:
        tracker.close_group(group, end)


def _outcome(
    plan: SweepPlan, trials: Trials, finals: Finals, total: int, *, started: int
) -> SweepOutcome:
    rows = trials.table()
    best = best_row(plan, rows)
    notes = []
    if len(rows) > total:
        notes.append(
            f"Sweep {plan.name!r} holds {len(rows)} trials, more than the {total} asked for; "
            "none is removed."
        )
    if not started:
        notes.append(f"Sweep {plan.name!r} holds its {len(rows)} trials: nothing was left to do.")
    if best is None:
        notes.append("No trial finished, so there is no best configuration to train again.")
    again = finals.records()
    return SweepOutcome(
        name=plan.name, trials=rows, total=total, best=best,
        front=leaders(plan, rows) if len(plan.objectives) > 1 else (),
        finals=tuple(record for record in again if record.role == "final"),
        reruns=tuple(record for record in again if record.role == "rerun"),
        already_done=not started, notes=tuple(notes),
    )  # fmt: skip


def _check_numbers(plan: SweepPlan, total: int, workers: int, attempts: int, top: int) -> None:
    for what, value in (
        ("trials", total), ("workers", workers), ("attempts", attempts),
        ("trials to train again", top),
    ):  # fmt: skip
        if not value >= 1:
            raise UsageError(f"The number of {what} must be at least 1, got {value}.")
    if workers > plan.lookahead:
        raise UsageError(
            f"At most {plan.lookahead} workers can be busy with a lookahead of {plan.lookahead}, "
            f"but {workers} were asked for. Use fewer, or raise --lookahead with another --name "
            "or --new."
        )
    most = most_trials(plan.sampler, plan.space)
    if most is not None and total > most:
        raise UsageError(
            f"The values of this space make {most} combinations, and {plan.sampler!r} takes each "
            f"once, so there can be at most {most} trials, got {total}."
        )


def _refuse_leftovers(plan: SweepPlan, store: Store, folder: Path) -> None:
    """Refuse a new sweep whose runs would overwrite those of an earlier one."""
    first = plan.trial_id(0)
    if read_plan(folder) is None and store.read_record(first) is not None:
        raise SweepError(
            f"A new sweep must not overwrite runs, but {store.run_dir(first)} is there already. "
            "Choose another --name, or remove the old runs."
        )


def _refuse_failed(plan: SweepPlan, rows: Sequence[TrialRow]) -> None:
    for row in rows:
        if row.status == "failed":
            raise failed_fast(plan.trial_id(row.number), row.reason)


@contextmanager
def _stop_on_signals(deadline_s: float | None) -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop in good order.

    The second one interrupts at once; then too the next command finds all in order.
    """
    stop = Stop(deadline_s=deadline_s)

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
