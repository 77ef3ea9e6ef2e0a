"""How a sweep stands, from its folder alone: whether it runs, how far it is, what is left.

Takes no lock and mends nothing, so that it may be asked at any time, also while a sweep runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harness.errors import BenchError
from harness.record import Role, RunRecord
from harness.store import RECORD_FILE, Store
from sweeps.group import read_group
from sweeps.lock import LOCK_FILE, Holder, holder
from sweeps.plan import PLAN_FILE, SweepPlan
from sweeps.progress import Progress, UnderWay, read_progress
from sweeps.sampler import TrialRow
from sweeps.study import best_row, best_rows, load_table
from sweeps.work import final_tasks, rerun_tasks

State = Literal["running", "finished", "interrupted", "failed", "died"]
"""How the last command on a sweep ended, if it has: "died" means by a kill or with the machine."""

SAMPLE = 30
"""Trials that ended last, from whose times the time left is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a sweep stands.

    Attributes:
        rows: the table of trials.
        finals: records of the finals of the best trials, the best first, in order of seeds.
        reruns: records of the re-runs of the best trial, in order of seeds.
        holder: who runs it; None if nobody does.
        progress: what its last command noted; None for sweeps of older releases.
        last_ended_s: when a run last ended, in seconds since 1970; None if none has.
        trial_s: how long trials took on average, pruned ones included; None if none has ended.
        image_s: seconds per image that a finished trial trained on.
    """

    plan: SweepPlan
    rows: tuple[TrialRow, ...]
    finals: tuple[RunRecord, ...] = ()
    reruns: tuple[RunRecord, ...] = ()
    holder: Holder | None = None
    progress: Progress | None = None
    last_ended_s: float | None = None
    trial_s: float | None = None
    image_s: float | None = None

    @property
    def state(self) -> State:
        """Return how its last command ended, or that it runs."""
        if self.holder is not None:
            return "running"
        if self.progress is not None:
            return self.progress.end or "died"
        left_open = any(row.status == "running" for row in self.rows)
        return "died" if left_open or not self.rows else "finished"

    @property
    def total(self) -> int:
        """Return the trials that were asked for last, or that there are if these are more."""
        return max(self.progress.total if self.progress else 0, len(self.rows))

    @property
    def workers(self) -> int:
        """Return how many trained at once in the last command."""
        return self.progress.workers if self.progress else 1

    @property
    def ended(self) -> int:
        """Return how many trials have ended."""
        return sum(row.status != "running" for row in self.rows)

    @property
    def best(self) -> TrialRow | None:
        """Return the best finished trial."""
        return best_row(self.plan, self.rows)

    @property
    def top(self) -> int:
        """Return how many of the best trials are trained again."""
        return self.progress.top if self.progress else 1

    @property
    def finals_asked(self) -> int:
        """Return how many finals there will be, as far as the trials so far tell."""
        return self.plan.finals * max(1, len(best_rows(self.plan, self.rows, self.top)))

    @property
    def finals_done(self) -> int:
        """Return how many finals of the best trials have finished."""
        return sum(record.status == "finished" for record in self.finals)

    @property
    def reruns_asked(self) -> int:
        """Return how many re-runs of the best trial there will be."""
        return 0 if self.plan.trains_alike else self.plan.finals

    @property
    def reruns_done(self) -> int:
        """Return how many re-runs of the best trial have finished."""
        return sum(record.status == "finished" for record in self.reruns)

    @property
    def is_complete(self) -> bool:
        """Whether the same command would find nothing left to do."""
        again = self.finals_asked + self.reruns_asked if self.best else 0
        return self.ended == self.total > 0 and self.finals_done + self.reruns_done >= again

    @property
    def under_way(self) -> tuple[UnderWay, ...]:
        """Return what trains now, or trained when the sweep stopped and goes on later."""
        return self.progress.running if self.progress else ()

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each state; those not yet begun are "waiting"."""
        states: list[str] = [row.status for row in self.rows]
        known = ("finished", "pruned", "failed", "running")
        waiting = self.total - len(states)
        return {name: states.count(name) for name in known} | {"waiting": waiting}

    def left_s(self, final_examples: int) -> float | None:
        """Return about how long the rest takes, by the trials that have ended; None if unknown.

        Args:
            final_examples: training examples of a final.
        """
        if self.trial_s is None:
            return None
        parts = dict.fromkeys(get_args(Role), 0.0)
        for run in self.under_way:
            parts[run.role] += run.epoch / run.epochs
        trials = max(0.0, self.total - self.ended - parts["trial"])
        trials += max(0.0, self.reruns_asked - self.reruns_done - parts["rerun"])
        finals = max(0.0, self.finals_asked - self.finals_done - parts["final"])
        at_once = min(self.workers, max(1, self.finals_asked))
        return (
            trials * self.trial_s / self.workers + finals * self._final_s(final_examples) / at_once
        )

    def _final_s(self, examples: int) -> float:
        known = [record.duration_s for record in self.finals if record.status == "finished"]
        if known:
            return statistics.fmean(known)
        return (self.image_s or 0.0) * self.plan.base.epochs * examples


def standing(store: Store, name: str) -> Standing:
    """Return how a sweep stands.

    Raises:
        StoreError: there is no such sweep, or its description, journal or a record is damaged.
    """
    folder = store.sweep_dir(name)
    held, progress = holder(folder), read_progress(folder)
    if held is None and progress and progress.end is None:
        # It died, unless it began between the two questions.
        held, progress = holder(folder), read_progress(folder)
    plan, rows = load_table(store, name)
    best = best_row(plan, rows)
    top = best_rows(plan, rows, progress.top if progress else 1)
    finals = _records(store, (task.run_id for row in top for task in final_tasks(plan, row)))
    reruns = _records(store, (task.run_id for task in rerun_tasks(plan, best))) if best else ()
    trials = [plan.trial_id(row.number) for row in rows if row.status != "running"]
    whole = [plan.trial_id(row.number) for row in rows if row.status == "finished"]
    timed = _records(store, trials[-SAMPLE:])
    images = [r for r in _records(store, whole[-SAMPLE:]) if r.history]
    return Standing(
        plan=plan, rows=rows, finals=finals, reruns=reruns, holder=held, progress=progress,
        last_ended_s=_last_written(store, [*trials, *(r.run_id for r in (*finals, *reruns))]),
        trial_s=statistics.fmean(r.duration_s for r in timed) if timed else None,
        image_s=(
            sum(r.duration_s for r in images) / sum(p.images for r in images for p in r.history)
            if images else None
        ),
    )  # fmt: skip


def sweep_names(store: Store) -> list[str]:
    """Return the sweeps in an output folder by name, without groups."""
    return sorted(path.parent.name for path in (store.root / "sweeps").glob(f"*/{PLAN_FILE}"))


def group_members(store: Store, name: str) -> list[str]:
    """Return the sweeps of a group; empty if there is no group of this name."""
    group = read_group(store.sweep_dir(name))
    known = sweep_names(store)
    return [] if group is None else [member for member in group.members if member in known]


def running(store: Store) -> dict[str, Holder]:
    """Return what runs in an output folder: sweeps, and groups instead of their members."""
    folders = sorted(path.parent for path in (store.root / "sweeps").glob(f"*/{LOCK_FILE}"))
    held = {folder.name: found for folder in folders if (found := holder(folder)) is not None}
    members = {member for name in held for member in group_members(store, name)}
    return {name: found for name, found in held.items() if name not in members}


def _records(store: Store, run_ids: Iterable[str]) -> tuple[RunRecord, ...]:
    found = []
    for run_id in run_ids:
        try:
            record = store.read_record(run_id)
        except BenchError:  # a damaged record spoils no more than an average
            continue
        if record is not None:
            found.append(record)
    return tuple(found)


def _last_written(store: Store, run_ids: Sequence[str]) -> float | None:
    paths = (store.run_dir(run_id) / RECORD_FILE for run_id in run_ids)
    return max((_written_s(path) for path in paths), default=0.0) or None


def _written_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
