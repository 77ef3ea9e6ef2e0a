"""One end for all workers: what the chief decides, and what the others do until it has.

Each worker is two processes. The supervisor, this one, holds the connection between workers and
can always be interrupted; its training process may be stuck inside TensorFlow, deaf to signals,
and is killed when the run is over. The chief alone decides how a run ended:

    chief to worker    part (of a checkpoint), start (the run), go (all are ready),
                       end (status and reason)
    worker to chief    ready (TensorFlow is loaded), ended (status, reason, symptom)

When a worker dies, TensorFlow makes the training of all others fail with errors about the
connection. Those are symptoms, and the chief waits for the cause before it believes one.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from harness.child import Child
from harness.cluster import Cluster
from harness.membership import Member
from harness.record import Status
from harness.rendezvous import Chief, Inbox, Lost, Said, lost_text, stopped_text

SYMPTOM_S = 20.0
"""How long a failed connection of TensorFlow waits for its cause: five seconds more than the
silence after which a worker is taken for hung."""

AGREE_S = 2.0
"""How long the failure of another worker waits for that of the chief, which knows more of it: what
diverges, diverges on all at once."""

FAREWELL_S = 20.0
"""How long the chief, done itself, waits for the others, and those for its last word."""

STALL_S = 1800.0
"""Training that goes on without any progress for so long hangs; a step may take a good while."""

TICK_S = 0.5
"""How often clocks are looked at."""

_LONGEST_REASON = 4000

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run ended, or one worker's part of it.

    Attributes:
        reason: None if it finished.
        worker: who brought the end.
        symptom: whether the reason may be the consequence of another worker's death.
    """

    status: Status
    reason: str | None
    worker: int
    symptom: bool = False


def lead(
    cluster: Cluster,
    chief: Chief,
    child: Child,
    inbox: Inbox,
    *,
    run: Mapping[str, Any],
    job: Mapping[str, Any],
    progress: Progress,
    symptom_s: float = SYMPTOM_S,
) -> End:
    """Train as the chief; return the one end of the run once all others know it.

    Args:
        cluster: who trains.
        chief: after `gather`.
        child: not started yet; killed on return.
        inbox: that of `chief` and `child`.
        run: what the others need to know of the run.
        job: what this worker's training process is told.
        progress: is told what the training process says on the way.
        symptom_s: see `SYMPTOM_S`.

    Raises:
        StoreError: the log cannot be written; the others are told.
    """
    verdicts = _Verdicts(cluster, symptom_s)
    try:
        chief.tell("start", **run)
        child.start(job)
        end = _led(cluster, chief, child, inbox, progress, verdicts)
    except KeyboardInterrupt:
        end = End(status="interrupted", reason=stopped_text(cluster.name(0)), worker=0)
    except BaseException as error:
        chief.tell("end", status="failed", reason=f"{cluster.name(0)} failed: {error}")
        raise
    finally:
        child.end()
    chief.tell("end", status=end.status, reason=end.reason)
    return end


def _led(
    cluster: Cluster, chief: Chief, child: Child, inbox: Inbox, progress: Progress,
    verdicts: _Verdicts,
) -> End:  # fmt: skip
    ready: set[int] = set()
    moved_s = time.monotonic()
    while True:
        event = _next(inbox)
        match event:
            case Lost():
                verdicts.lost(event)
            case Said(message={"kind": "ended"}):
                verdicts.ended(event)
            case Said(message={"kind": "ready"}):
                ready.add(event.index)
                if len(ready) == len(cluster.workers):
                    chief.tell("go")
                    child.go()
            case Said(index=0):
                progress(event.message)
        if event is not None:
            moved_s = time.monotonic()
        elif time.monotonic() - moved_s > STALL_S:
            why = f"made no progress for {STALL_S:g} s"
            verdicts.lost(Lost(index=0, why=why))
        end = verdicts.final()
        if end is not None:
            return end


class _Verdicts:
    """What is known of how each worker's part ended, and what follows from it."""

    def __init__(self, cluster: Cluster, symptom_s: float) -> None:
        self._cluster = cluster
        self._symptom_s = symptom_s
        self._ends: dict[int, tuple[End, float]] = {}

    def lost(self, lost: Lost) -> None:
        """Take in that a worker is gone; one that had ended before may go."""
        reason = lost_text(self._cluster, lost)
        self._add(End(status="failed", reason=reason, worker=lost.index), wait_s=0.0)

    def ended(self, said: Said) -> None:
        """Take in how a worker says that its part ended."""
        end = read_end(said)
        if end.worker == 0 or end.status == "interrupted":
            self._add(end, wait_s=self._symptom_s if end.symptom else 0.0)
            return
        reason = end.reason
        if end.status == "failed" and not said.message.get("lost"):
            reason = f"{self._cluster.name(end.worker)} failed: {reason}"
        named = End(status=end.status, reason=reason, worker=end.worker, symptom=end.symptom)
        wait_s = 0.0 if said.message.get("lost") else AGREE_S
        self._add(named, wait_s=self._symptom_s if end.symptom else wait_s)

    def final(self) -> End | None:
        """Return the end of the run, or None if it is not certain yet."""
        own = self._ends.get(0)
        if own is not None and own[0].status == "finished":
            # All that is measured is in its record: what happens to others now changes nothing.
            everybody = len(self._ends) == len(self._cluster.workers)
            return own[0] if everybody or time.monotonic() > own[1] + FAREWELL_S else None
        due = [
            end
            for end, due_s in self._ends.values()
            if end.status != "finished" and time.monotonic() >= due_s
        ]
        # A cause before a symptom, and the chief's own words before those of others.
        return min(due, key=lambda end: (end.symptom, end.worker), default=None)

    def _add(self, end: End, *, wait_s: float) -> None:
        self._ends.setdefault(end.worker, (end, time.monotonic() + wait_s))


def follow(
    cluster: Cluster,
    member: Member,
    child: Child,
    inbox: Inbox,
    *,
    part: Progress,
    job: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    progress: Progress,
) -> End:
    """Train as a worker that is not the chief; return the end of the run as the chief says it.

    Args:
        cluster: who trains.
        member: after `join`.
        child: not started yet; killed on return.
        inbox: that of `member` and `child`.
        part: takes in a part of the checkpoint to go on from.
        job: makes of what the chief says of the run what the training process is told.
        progress: is told what the training process says on the way.
    """
    try:
        return _followed(cluster, member, child, inbox, part, job, progress)
    except KeyboardInterrupt:
        reason = stopped_text(cluster.name(cluster.index))
        member.tell("ended", status="interrupted", reason=reason)
        return End(status="interrupted", reason=reason, worker=cluster.index)
    except BaseException as error:
        member.tell("ended", status="failed", reason=str(error))
        raise
    finally:
        child.end()
        member.close()


def _followed(
    cluster: Cluster, member: Member, child: Child, inbox: Inbox, part: Progress,
    job: Callable[[Mapping[str, Any]], Mapping[str, Any]], progress: Progress,
) -> End:  # fmt: skip
    own: End | None = None
    own_s = 0.0
    while own is None or time.monotonic() - own_s < 2 * FAREWELL_S:
        event = _next(inbox)
        match event:
            case Said(index=0, message={"kind": "part"}):
                part(event.message)
            case Said(index=0, message={"kind": "start"}):
                child.start(job(event.message))
            case Said(index=0, message={"kind": "go"}):
                child.go()
            case Said(index=0, message={"kind": "end"}):
                return read_end(event)
            case Said(index=cluster.index, message={"kind": "ready"}):
                member.tell("ready")
            case Said(index=cluster.index, message={"kind": "ended"}):
                own, own_s = read_end(event), time.monotonic()
                member.tell(**event.message)
            case Said(index=cluster.index):
                progress(event.message)
            case Lost(index=0):
                return End(status="failed", reason=lost_text(cluster, event), worker=0)
            case Lost() if own is None:
                reason = lost_text(cluster, event)
                own, own_s = (
                    End(status="failed", reason=reason, worker=event.index),
                    time.monotonic(),
                )
                member.tell("ended", status="failed", reason=reason, lost=True)
    return own


def read_end(said: Said) -> End:
    """Return how a run or a part ended; nonsense is a failure."""
    given, reason = said.message.get("status"), said.message.get("reason")
    status: Status | None = next((one for one in get_args(Status) if one == given), None)
    if status is None:
        status, reason = "failed", f"ended as {str(given)[:40]!r}, which is no status"
    return End(
        status=status,
        reason=None if status == "finished" else str(reason)[:_LONGEST_REASON],
        worker=said.index,
        symptom=bool(said.message.get("symptom")),
    )


def _next(inbox: Inbox) -> Said | Lost | None:
    try:
        return inbox.get(timeout=TICK_S)
    except queue.Empty:
        return None
