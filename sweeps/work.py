"""The two kinds of work of a sweep: its trials, and the finals of the best ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from harness.record import EpochPoint, RunRecord
from harness.store import Store
from sweeps.backoff import halved
from sweeps.dominance import DominanceJudge
from sweeps.objectives import finite
from sweeps.plan import SweepPlan, Task
from sweeps.sampler import Judge, TrialRow, guide, propose
from sweeps.study import SweepStudy


class Work(Protocol):
    """Runs to be done: what comes next, and what becomes of a run that ended."""

    def left(self) -> int:
        """Return how many runs have not ended."""

    def next_task(self, slot: int) -> Task | None:
        """Return a run that the worker in a slot may start now, or None while there is none."""

    def goes_on(self, task: Task, point: EpochPoint) -> bool:
        """Return whether a run continues after an epoch."""

    def found(self, task: Task) -> RunRecord | None:
        """Return the record of a run that ended before its worker could say so."""

    def settle(self, task: Task, record: RunRecord) -> tuple[RunRecord, TrialRow | None]:
        """Take in a run that ended; return the record as it counts, and its row if a trial."""

    def put_back(self, task: Task) -> bool:
        """Take back a run whose worker died; False if that has happened too often."""

    def again(self, task: Task, record: RunRecord) -> str | None:
        """Take back a run that failed, if it is done again, and say why; None if it is not.

        Args:
            task: the run.
            record: how it failed.
        """


class Trials:
    """The trials of a sweep, old and new.

    Rows that a killed coordinator left running are taken up again in place: told from their
    record if the worker had written it, else run again with the same params.

    Args:
        plan: of the sweep.
        study: its table on disk.
        store: where workers put the records.
        total: how many trials there shall be; a sweep that holds more keeps and ends them.
        attempts: workers that may die of one trial before it counts as failed.
    """

    def __init__(
        self, plan: SweepPlan, study: SweepStudy, store: Store, *, total: int, attempts: int
    ) -> None:
        self._plan, self._study, self._store, self._attempts = plan, study, store, attempts
        self._rows = study.rows()
        self._total = max(total, len(self._rows))
        self._waiting: list[int] = []
        self._judges: dict[int, Judge | DominanceJudge] = {}
        for row in self._rows:
            if row.status == "running":
                self._take_up(row)

    def table(self) -> tuple[TrialRow, ...]:
        """Return all rows in order of their numbers."""
        return tuple(self._rows)

    def left(self) -> int:
        """See `Work`."""
        return self._total - sum(row.status != "running" for row in self._rows)

    def next_task(self, slot: int) -> Task | None:  # noqa: ARG002 - all workers are alike here
        """See `Work`."""
        if self._waiting:
            number = self._waiting.pop(0)
        elif len(self._rows) < self._total and self._propose():
            number = len(self._rows) - 1
        else:
            return None
        task = self._task(number)
        self._judges[number] = self._judge(task)
        return task

    def goes_on(self, task: Task, point: EpochPoint) -> bool:
        """See `Work`."""
        values = [goal.after_epoch(point) for goal in self._plan.goals]
        return self._judges[task.trial].goes_on(point.epoch, values)

    def found(self, task: Task) -> RunRecord | None:
        """See `Work`."""
        record = self._store.read_record(task.run_id)
        fits = record and record.config == task.config and record.status != "interrupted"
        return record if fits else None

    def settle(self, task: Task, record: RunRecord) -> tuple[RunRecord, TrialRow | None]:
        """See `Work`."""
        counted = self._judged(record)
        backoff = self._rows[task.trial].backoff
        if backoff is not None:
            counted = dataclasses.replace(counted, too_large=backoff.too_large)
        if counted != record:
            self._store.write_record(counted)
        row = self._study.end(task.trial, counted)
        self._rows[task.trial] = row
        self._judges.pop(task.trial, None)
        return counted, row

    def put_back(self, task: Task) -> bool:
        """See `Work`."""
        row = self._study.count_attempt(self._rows[task.trial])
        self._rows[task.trial] = row
        if row.attempts >= self._attempts:
            return False
        self._waiting = sorted([*self._waiting, task.trial])
        return True

    def again(self, task: Task, record: RunRecord) -> str | None:
        """See `Work`. Once if the cause may pass; with half the batch if the plan says so."""
        row = self._rows[task.trial]
        if record.cause == "transient" and not row.retries:
            set_aside(record, self._store)
            self._rows[task.trial] = self._study.count_retry(row)
            words = once_more(record)
        elif record.cause == "out_of_memory" and self._plan.oom_backoff:
            backoff = halved(record, row.backoff)
            if backoff is None:
                return None
            set_aside(record, self._store)
            self._rows[task.trial] = self._study.back_off(row, backoff)
            words = f"{record.reason} It is done again with {backoff.words()}."
        else:
            return None
        self._waiting = sorted([*self._waiting, task.trial])
        return words

    def _take_up(self, row: TrialRow) -> None:
        task = self._task(row.number)
        record = self.found(task)
        if record is None:
            self._waiting.append(row.number)
        elif record.status != "failed" or self.again(task, record) is None:
            self.settle(task, record)

    def _propose(self) -> bool:
        """Add the next row, unless it depends on a trial that still runs."""
        number, plan = len(self._rows), self._plan
        known = guide(self._rows, number, plan.lookahead)
        if known is None:
            return False
        params = propose(
            plan.sampler, plan.space, seed=plan.seed, number=number, guide=known,
            directions=[goal.direction for goal in plan.goals],
        )  # fmt: skip
        self._rows.append(self._study.begin(number, params))
        return True

    def _task(self, number: int) -> Task:
        return self._plan.trial_task(number, self._rows[number].settings)

    def _judge(self, task: Task) -> Judge | DominanceJudge:
        known = guide(self._rows, task.trial, self._plan.lookahead)
        assert known is not None, "a row exists only after all that it depends on has ended"
        if self._plan.pruner == "dominance":
            return DominanceJudge(known, epochs=task.config.epochs, objectives=self._plan.goals)
        return Judge(
            self._plan.pruner, known, number=task.trial, epochs=task.config.epochs,
            space=self._plan.space, direction=self._plan.direction,
        )  # fmt: skip

    def _judged(self, record: RunRecord) -> RunRecord:
        """Return the record, as failed if it cannot be ranked with the others."""
        plan = self._plan
        lacking = [g for g in plan.goals if finite([g.at_end(record)]) is None]
        if record.data is not None and record.data.digest != plan.data_digest:
            reason = (
                f"The trials of a sweep must look at the same data, but this one found "
                f"{record.data.digest} instead of {plan.data_digest}."
            )
        elif record.status == "finished" and lacking:
            goal = lacking[0]
            reason = (
                f"A finished trial needs a finite {goal.measure}, "
                f"but its is {goal.at_end(record)}."
            )
        else:
            return record
        return dataclasses.replace(record, status="failed", reason=reason)


class Finals:
    """The best configurations trained again, once for each new seed: finals, then re-runs.

    A run that failed is tried again by the next command: unlike a trial it counts for nothing.

    Args:
        plan: of the sweep.
        best: the trials that won, best first; if none finished, there are no finals.
        store: where workers put the records.
        attempts: workers that may die of one final before it counts as failed.
    """

    def __init__(
        self, plan: SweepPlan, best: Sequence[TrialRow], store: Store, *, attempts: int
    ) -> None:
        self._store, self._attempts = store, attempts
        self._tasks = tuple(task for row in best for task in final_tasks(plan, row))
        self._tasks += tuple(task for row in best[:1] for task in rerun_tasks(plan, row))
        self._waiting = [task for task in self._tasks if self.found(task) is None]
        self._open = {task.run_id for task in self._waiting}
        self._deaths: dict[str, int] = {}
        self._retried: set[str] = set()

    def left(self) -> int:
        """See `Work`."""
        return len(self._open)

    def next_task(self, slot: int) -> Task | None:  # noqa: ARG002 - all workers are alike here
        """See `Work`."""
        return self._waiting.pop(0) if self._waiting else None

    def goes_on(self, task: Task, point: EpochPoint) -> bool:  # noqa: ARG002 - never pruned
        """See `Work`."""
        return True

    def found(self, task: Task) -> RunRecord | None:
        """See `Work`."""
        record = self._store.read_record(task.run_id)
        fits = record and record.config == task.config and record.status == "finished"
        return record if fits else None

    def settle(self, task: Task, record: RunRecord) -> tuple[RunRecord, TrialRow | None]:
        """See `Work`."""
        self._open.discard(task.run_id)
        return record, None

    def put_back(self, task: Task) -> bool:
        """See `Work`."""
        self._deaths[task.run_id] = self._deaths.get(task.run_id, 0) + 1
        if self._deaths[task.run_id] >= self._attempts:
            return False
        self._waiting.append(task)
        return True

    def again(self, task: Task, record: RunRecord) -> str | None:
        """See `Work`. With another batch it would be no final of the best configuration."""
        if record.cause != "transient" or task.run_id in self._retried:
            return None
        self._retried.add(task.run_id)
        self._waiting.append(task)
        return once_more(record)

    def records(self) -> tuple[RunRecord, ...]:
        """Return the records there are: of the best trial first, in order of seeds."""
        found = (self._store.read_record(task.run_id) for task in self._tasks)
        return tuple(record for record in found if record is not None)


def once_more(record: RunRecord) -> str:
    """Say why a run is tried once more whose failure may have been a passing one."""
    return f"{record.reason} That may pass, so the run is tried once more, by a new worker."


def set_aside(record: RunRecord, store: Store) -> None:
    """Write down that a failed run is not over: after a kill its record would count as its end.

    Raises:
        StoreError: it cannot be written.
    """
    store.write_record(dataclasses.replace(record, status="interrupted", cause=None))


def final_tasks(plan: SweepPlan, row: TrialRow) -> tuple[Task, ...]:
    """Return the finals of a trial, should it be among the best."""
    return tuple(plan.final_task(row.number, row.settings, k) for k in range(1, plan.finals + 1))


def rerun_tasks(plan: SweepPlan, row: TrialRow) -> tuple[Task, ...]:
    """Return the re-runs of a trial, should it be the best; none if finals train alike anyway."""
    seeds = () if plan.trains_alike else range(1, plan.finals + 1)
    return tuple(plan.rerun_task(row.number, row.settings, k) for k in seeds)


def ended_records(plan: SweepPlan, rows: tuple[TrialRow, ...], store: Store) -> list[RunRecord]:
    """Return the records of all runs of a sweep that have ended, trials first."""
    ended = [row for row in rows if row.status != "running"]
    tasks = [plan.trial_task(row.number, row.settings) for row in ended]
    for row in ended:
        if row.status == "finished":
            tasks += (*final_tasks(plan, row), *rerun_tasks(plan, row))
    found = (store.read_record(task.run_id) for task in tasks)
    return [record for record in found if record is not None and record.status != "interrupted"]
