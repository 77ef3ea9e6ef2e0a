"""What coordinator and workers say to each other: lines of JSON, one message each.

    coordinator to worker    job, verdict
    worker to coordinator    ready, epoch, done, raised

The end of the stream is a message too: to a worker it says that the coordinator is gone, to the
coordinator that the worker is dead.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.cause import CAUSES, Cause
from harness.record import EpochPoint

Job = Mapping[str, Any]
"""What a worker's function is given: run_id, role, sweep, trial, config (see
`RunConfig.from_json`), store (path of the output folder), and what the caller added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker has imported all it needs and waits for its first job."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A worker measured an epoch and waits for the verdict."""

    slot: int
    point: EpochPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A worker finished its job and wrote the record; it waits for the next."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """The function raised, against its contract; the worker waits for the next job.

    Attributes:
        kind: name of the exception's class.
        cause: see `RunRecord`.
    """

    slot: int
    kind: str
    reason: str
    traceback: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """A worker is gone, and its job with it; a new one is on its way to the same slot.

    Attributes:
        cause: "worker_died", or "out_of_memory" if the kernel ended it for lack of memory.
    """

    slot: int
    reason: str
    cause: Cause = "worker_died"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A worker that had nothing to do made place for a new one, on its way to the same slot."""

    slot: int
    reason: str


Verdict = Literal["go", "prune", "stop"]
"""What becomes of a run after an epoch: "stop" leaves it for a later command to go on with."""

Report = Ready | Epoch | Done | Raised | Died | Replaced


class Pool(Protocol):
    """Workers in numbered slots. Local processes today; a cluster engine would fit as well."""

    def submit(self, slot: int, job: Job) -> None:
        """Give a job to a worker that is ready or done."""

    def answer(self, slot: int, verdict: Verdict) -> None:
        """Tell a worker that measured an epoch how its run goes on."""

    def renew(self, slot: int) -> None:
        """Replace a worker that has nothing to do; the new one will say that it is ready."""

    def poll(self, timeout_s: float) -> list[Report]:
        """Return what the workers said, in order; wait up to `timeout_s` if they said nothing."""

    def close(self) -> None:
        """End all workers, whatever they are doing; they are gone on return."""


def encode(kind: str, **values: Any) -> bytes:
    """Return one message as a line."""
    return json.dumps({"kind": kind, **values}).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return the message in a line.

    Raises:
        ValueError: it is none.
    """
    message = json.loads(line)
    if not isinstance(message, dict) or "kind" not in message:
        raise ValueError(f"not a message: {line[:80]!r}")
    return message


def encode_epoch(point: EpochPoint) -> bytes:
    """Return a worker's message that an epoch was measured."""
    values = dataclasses.asdict(point) | {"metrics": dict(point.metrics)}
    return encode("epoch", point=values)


def decode_report(slot: int, line: bytes) -> Report:
    """Return what the worker in a slot said.

    Raises:
        ValueError: the line is no message of a worker.
    """
    message = decode(line)
    try:
        match message["kind"]:
            case "ready":
                return Ready(slot=slot)
            case "epoch":
                return Epoch(slot=slot, point=EpochPoint.from_json(message["point"]))
            case "done":
                return Done(slot=slot)
            case "raised":
                texts = {name: str(message[name]) for name in ("type", "reason", "traceback")}
                kind, cause = texts.pop("type"), message.get("cause")
                if cause not in CAUSES:
                    raise ValueError(f"unknown cause {cause!r}")
                return Raised(slot=slot, kind=kind, cause=cause, **texts)
            case other:
                raise ValueError(f"unknown message {other!r}")
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a message of a worker: {line[:80]!r}") from error
