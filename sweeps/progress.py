"""What the coordinator notes for others while it runs: what was asked for and what trains now.

The table of trials and the records say what has ended; this file says the rest. Nothing depends
on it: without it, or with an old one, the next command goes on as well.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.record import Role
from harness.store import write_atomically
from sweeps.listeners import (
    EpochDone,
    Event,
    RunEnded,
    RunRepeated,
    RunStarted,
    SweepEnd,
    WorkerDied,
)
from sweeps.plan import SweepPlan

PROGRESS_FILE = "progress.json"

EVERY_S = 3.0
"""Shortest time between two notes: each is a file written through to the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """A run that trains.

    Attributes:
        epoch: the last one that was measured; 0 before the first.
        epochs: how many there will be.
        value: the objective after it, if there is one.
    """

    run_id: str
    role: Role
    epoch: int = 0
    epochs: int
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How the last command on a sweep went on.

    Attributes:
        total: trials that it was asked for.
        workers: how many might train at once.
        top: how many of the best trials it trains again.
        at: when this was noted, ISO 8601 in UTC.
        end: how the command ended; None while it runs, and for ever after a kill.
        reason: why it ended before all was done.
        running: what trained then.
    """

    total: int
    workers: int
    at: str
    top: int = 1
    end: SweepEnd | None = None
    reason: str | None = None
    running: tuple[UnderWay, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Progress:
        """Build it from `to_json` values; whatever is wrong raises `TypeError` or `KeyError`."""
        running = tuple(UnderWay(**run) for run in values["running"])
        return cls(**values | {"running": running})


@dataclass(slots=True, kw_only=True)
class ProgressNotes:
    """Keeps the file of one sweep up to date, as an observer.

    Args:
        plan: of the sweep.
        folder: of the sweep.
        total, workers, top: what was asked for.
        clock: seconds from any origin.
    """

    plan: SweepPlan
    folder: Path
    total: int
    workers: int
    top: int = 1
    clock: Callable[[], float] = time.monotonic
    _running: dict[str, UnderWay] = field(default_factory=dict)
    _due_s: float = 0.0

    def __call__(self, event: Event) -> None:
        """Take in what happened to a run of this sweep."""
        match event:
            case RunStarted(task=task) if task.sweep == self.plan.name:
                self._running[task.run_id] = UnderWay(
                    run_id=task.run_id, role=task.role, epochs=task.config.epochs
                )
            case EpochDone(task=task, point=point) if task.sweep == self.plan.name:
                self._running[task.run_id] = UnderWay(
                    run_id=task.run_id, role=task.role, epochs=task.config.epochs,
                    epoch=point.epoch, value=self.plan.goals[0].after_epoch(point),
                )  # fmt: skip
            case RunEnded(task=task) | RunRepeated(task=task) | WorkerDied(task=task) if (
                task is not None and task.run_id in self._running
            ):
                del self._running[task.run_id]
            case _:
                return
        if self.clock() >= self._due_s:
            self._note()
            self._due_s = self.clock() + EVERY_S

    def begin(self) -> None:
        """Note what this command was asked for, unless the last one was asked the same and ended.

        Raises:
            StoreError: the folder cannot be written.
        """
        last = read_progress(self.folder)
        asked = (self.total, self.workers, self.top, "finished")
        if last is None or (last.total, last.workers, last.top, last.end) != asked:
            self._write(None, None)

    def end(self, end: SweepEnd, reason: str | None) -> None:
        """Note how the command ended, unless it changed nothing."""
        last = read_progress(self.folder)
        if last is None or (last.end, last.reason) != (end, reason):
            # On a full disk too the way the sweep ends is told by what it raises.
            with suppress(StoreError):
                self._write(end, reason)

    def _note(self) -> None:
        # Worth no sweep: if the disk is full, the next record says so.
        with suppress(StoreError):
            self._write(None, None)

    def _write(self, end: SweepEnd | None, reason: str | None) -> None:
        progress = Progress(
            total=self.total, workers=self.workers, top=self.top, end=end, reason=reason,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            running=tuple(self._running.values()),
        )  # fmt: skip
        text = json.dumps(progress.to_json(), indent=1, allow_nan=False) + "\n"
        write_atomically(self.folder / PROGRESS_FILE, text.encode())


def read_progress(folder: Path) -> Progress | None:
    """Return the last note in a sweep's folder; None if there is none that can be read."""
    try:
        return Progress.from_json(json.loads((folder / PROGRESS_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None
