"""Who is told how a sweep goes: the tracker keeps it for later, the observer shows it now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.record import EpochPoint, RunRecord
from sweeps.group import SweepGroup
from sweeps.plan import SweepPlan, Task
from sweeps.sampler import TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """How a sweep stands.

    Attributes:
        trials: the whole table, in order of numbers.
        total: how many trials it was to hold: its budget, once they have ended.
        best: the finished trial that is best in the first objective; None if none finished.
        front: with several objectives the trials that no other one dominates; else empty.
        finals: records of the best configurations trained again, of the best first, in order of
            seeds.
        reruns: records of the best trial repeated with new seeds; none if finals train alike.
        already_done: nothing was started, because nothing was left to do.
        stopped: why the command ended before all was done; None if it did not.
        notes: what the user should know, one sentence each.
    """

    name: str
    trials: tuple[TrialRow, ...]
    total: int
    best: TrialRow | None = None
    front: tuple[TrialRow, ...] = ()
    finals: tuple[RunRecord, ...] = ()
    reruns: tuple[RunRecord, ...] = ()
    already_done: bool = False
    stopped: str | None = None
    notes: tuple[str, ...] = ()


SweepEnd = Literal["finished", "interrupted", "failed"]


class Tracker(Protocol):
    """Keeps runs where people look; in this house MLflow.

    Every call may come again after a kill, and must then change nothing that is already there.
    A tracker whose server is away keeps that to itself and sends later: a `TrackingError` here
    would stop the sweep.
    """

    def open_group(self, group: SweepGroup) -> None:
        """Make a group of sweeps known, before any of its sweeps."""

    def open_sweep(self, plan: SweepPlan) -> None:
        """Make the sweep known, before any of its runs."""

    def reconcile(self, records: Sequence[RunRecord]) -> None:
        """Take in whatever is missing of runs that ended before this command."""

    def begin(self, task: Task) -> None:
        """A run starts, or starts again after its worker died."""

    def epoch(self, task: Task, point: EpochPoint) -> None:
        """A run has measured an epoch."""

    def finish(self, record: RunRecord) -> None:
        """A run has ended as its record says, which is on disk."""

    def close_sweep(self, end: SweepEnd, outcome: SweepOutcome) -> None:
        """The command ends."""

    def close_group(self, group: SweepGroup, end: SweepEnd) -> None:
        """The command ends; the sweeps of the group are closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOpened:
    """The command looked at what is there: `done` of `total` trials have ended."""

    plan: SweepPlan
    total: int
    rows: tuple[TrialRow, ...]

    @property
    def done(self) -> int:
        """Return how many trials have ended."""
        return sum(row.status != "running" for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A worker took a run."""

    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """A run has measured an epoch."""

    task: Task
    point: EpochPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A run has ended; `row` is its line of the table if it was a trial."""

    task: Task
    record: RunRecord
    row: TrialRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRepeated:
    """A run failed, but is done again."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDied:
    """A worker ended uncalled; its run, if it had one, is put back or failed."""

    reason: str
    task: Task | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReplaced:
    """A worker without a run made place for a new one."""

    reason: str


Event = SweepOpened | RunStarted | EpochDone | RunEnded | RunRepeated | WorkerDied | WorkerReplaced
Observer = Callable[[Event], None]


class NoTracker:
    """Tracks nothing."""

    def open_group(self, group: SweepGroup) -> None:
        """See `Tracker`."""

    def open_sweep(self, plan: SweepPlan) -> None:
        """See `Tracker`."""

    def reconcile(self, records: Sequence[RunRecord]) -> None:
        """See `Tracker`."""

    def begin(self, task: Task) -> None:
        """See `Tracker`."""

    def epoch(self, task: Task, point: EpochPoint) -> None:
        """See `Tracker`."""

    def finish(self, record: RunRecord) -> None:
        """See `Tracker`."""

    def close_sweep(self, end: SweepEnd, outcome: SweepOutcome) -> None:
        """See `Tracker`."""

    def close_group(self, group: SweepGroup, end: SweepEnd) -> None:
        """See `Tracker`."""
