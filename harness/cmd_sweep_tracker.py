"""Between a sweep and the tracker: plans and tasks become plain values."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from harness.record import EpochPoint, RunRecord
from sweeps.group import SweepGroup
from sweeps.listeners import SweepEnd, SweepOutcome
from sweeps.plan import SweepPlan, Task

if TYPE_CHECKING:
    from harness.track import Tracker


class SweepTracker:
    """Tells the tracker of this house what the sweep says."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def open_group(self, group: SweepGroup) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.open_sweep(group.to_json())

    def open_sweep(self, plan: SweepPlan) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.open_sweep(plan.to_json())

    def reconcile(self, records: Collection[RunRecord]) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.reconcile(records)

    def begin(self, task: Task) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.begin(task.run_id, task.role, task.sweep, task.trial, task.config)

    def epoch(self, task: Task, point: EpochPoint) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.epoch(task.run_id, point)

    def finish(self, record: RunRecord) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.finish(record)

    def close_sweep(self, end: SweepEnd, outcome: SweepOutcome) -> None:
        """See `sweeps.listeners.Tracker`."""
        summary: dict[str, str | int] = {"status": end, "trials_granted": outcome.total}
        if outcome.stopped:
            summary["reason"] = outcome.stopped
        if outcome.front:
            summary["front_trials"] = len(outcome.front)
            numbers = ", ".join(str(row.number) for row in outcome.front)
            summary["Pareto front"] = f"trials {numbers}"
        self._tracker.close_sweep(outcome.name, summary)

    def close_group(self, group: SweepGroup, end: SweepEnd) -> None:
        """See `sweeps.listeners.Tracker`."""
        self._tracker.close_sweep(group.name, {"status": end})
