"""How the workers of a cluster meet before TensorFlow is asked, and watch each other afterwards.

TensorFlow alone waits for a missing worker without end, deaf to SIGTERM. So the chief listens on
a control port. Each worker says who it is and what it runs; the chief lets it in, or refuses it
with a reason. From then on both ends send a beat every two seconds, and a connection that ends or
falls silent is the news that its worker is lost.

    worker to chief    hello, then what `harness.supervise` has it say
    chief to worker    welcome or refused, then what `harness.supervise` has it say

Nobody is asked for a password, as TensorFlow asks for none: a cluster belongs into a network
whose members trust each other. What comes from a socket is still never trusted to be well formed.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from harness.cluster import Address, Cluster
from harness.errors import ClusterError, InterruptedRun, UsageError
from harness.wire import BEAT_S, SILENCE_S, Broken, Wire

WAIT_S = 30.0
"""How long the chief waits for workers, and they for it: time to press Enter on the next host."""

HELLO_S = 10.0
"""Time in which whoever connects must say who it is."""

RETRY_S = 0.2
"""Pause between attempts to reach a chief that does not listen yet."""

STRANGERS = 64
"""Connections at once of which nobody knows yet who it is; more are cut."""

COMMIT = "commit"
"""The fact that may be unknown: a wheel is of no commit."""

_NAMED = 3  # differences that one error lists

Facts = Mapping[str, str | int | float | bool | None]
"""What all workers must have in common, by the name that errors call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A worker said something.

    Attributes:
        message: with its `kind`.
    """

    index: int
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A worker is gone or hangs.

    Attributes:
        why: in words that go on after its name, such as "closed its connection".
    """

    index: int
    why: str


Event = Said | Lost
Inbox = queue.SimpleQueue[Event]


def difference(chief: Facts, other: Facts, name: str) -> str | None:
    """Return in words what differs between two workers, or None.

    Args:
        chief: what the chief runs.
        other: what the other says that it runs; may hold anything.
        name: how to call the other.
    """
    # As JSON writes them: there 1 is not true.
    here, there = ({k: json.dumps(v) for k, v in facts.items()} for facts in (chief, other))
    names = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    if COMMIT in names and not (COMMIT in here and COMMIT in there):
        names.remove(COMMIT)
    parts = [
        f"`{key}` is {here.get(key, 'unknown')[:80]} at the chief and "
        f"{there.get(key, 'unknown')[:80]} there"
        for key in names
    ]
    if not parts:
        return None
    more = f", and {len(parts) - _NAMED} more differ" if len(parts) > _NAMED else ""
    return (
        f"All workers must run the same, but {name} does not: {'; '.join(parts[:_NAMED])}{more}. "
        "Start all with the same options, data and versions."
    )


def lost_text(cluster: Cluster, lost: Lost) -> str:
    """Return the error for a worker that is gone or hangs."""
    return f"All workers must stay until the run ends, but {cluster.name(lost.index)} {lost.why}."


def stopped_text(name: str) -> str:
    """Return the reason of a run that ends because somebody stopped a worker."""
    return f"Stopped from outside: {name} got Ctrl-C or SIGTERM."


class Chief:
    """The chief's end: lets workers in, hears and tells all of them.

    As a context it tells them of an error that ends it.

    Args:
        cluster: who is expected.
        facts: what they must have in common.
        listener: from `listen`; taken over.
        inbox: gets what workers say once `gather` has returned.
        notify: takes a line about somebody who was turned away.
        silence_s, beat_s: see `harness.wire`.
    """

    def __init__(
        self,
        cluster: Cluster,
        facts: Facts,
        listener: socket.socket,
        inbox: Inbox,
        *,
        notify: Callable[[str], None] = lambda _text: None,
        silence_s: float = SILENCE_S,
        beat_s: float = BEAT_S,
    ) -> None:
        self._cluster, self._facts, self._inbox = cluster, facts, inbox
        self._listener, self._notify = listener, notify
        self._silence_s, self._beat_s = silence_s, beat_s
        self._lock = threading.Lock()
        self._wires: dict[int, Wire] = {}
        self._strangers: set[Wire] = set()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Chief:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        name = self._cluster.name(0)
        if isinstance(error, KeyboardInterrupt | InterruptedRun):
            self.tell("end", status="interrupted", reason=stopped_text(name))
        elif error is not None:
            self.tell("end", status="failed", reason=f"{name} failed: {error}")
        self.close()

    def gather(self, wait_s: float = WAIT_S) -> None:
        """Wait until every worker is here.

        Raises:
            ClusterError: one does not come in time, runs something else or is lost again; all
                that are here are told.
            InterruptedRun: somebody stopped one of them.
        """
        deadline = time.monotonic() + wait_s
        while self._missing():
            try:
                event = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._give_up(self._absent(wait_s))
            match event:
                case Lost():
                    self._give_up(lost_text(self._cluster, event))
                case Said(message={"kind": "differs", "reason": reason}):
                    self._give_up(reason)
                case Said(message={"kind": "ended", "status": "interrupted"}):
                    why = stopped_text(self._cluster.name(event.index))
                    self.tell("end", status="interrupted", reason=why)
                    raise InterruptedRun(why)

    def tell(self, kind: str, **values: Any) -> None:
        """Send a message to every worker that is here."""
        with self._lock:
            wires = tuple(self._wires.values())
        for wire in wires:
            wire.send(kind, **values)

    def close(self) -> None:
        """Hang up on everybody and listen no more; may be called again."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            wires = (*self._wires.values(), *self._strangers)
        for wire in wires:
            wire.close()

    def _missing(self) -> list[int]:
        with self._lock:
            return [i for i in range(1, len(self._cluster.workers)) if i not in self._wires]

    def _absent(self, wait_s: float) -> str:
        names = " and ".join(self._cluster.name(index) for index in self._missing())
        return (
            f"All {len(self._cluster.workers)} workers must come within {wait_s:g} s, but {names} "
            "did not. Start every one with the same command, or wait longer with "
            "--wait-for-workers."
        )

    def _give_up(self, why: str) -> None:
        self.tell("end", status="failed", reason=why)
        raise ClusterError(why)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            wire = Wire(connection, silence_s=self._silence_s)
            with self._lock:
                welcome = len(self._strangers) < STRANGERS and not self._closed
                if welcome:
                    self._strangers.add(wire)
            if welcome:
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()
            else:
                wire.release()

    def _serve(self, wire: Wire) -> None:
        """Talk to one connection until it ends."""
        try:
            index = self._admitted(wire)
            if index is not None:
                self._listen(index, wire)
        finally:
            with self._lock:
                self._strangers.discard(wire)
            wire.release()

    def _admitted(self, wire: Wire) -> int | None:
        """Return the number of a worker that was let in, or None if it was turned away."""
        try:
            hello = wire.receive(within_s=HELLO_S)
        except Broken:
            return None  # a port scanner, or a worker that tries again
        index, facts = hello.get("index"), hello.get("facts")
        wrong = self._wrong_peer(hello, index)
        if wrong is not None or type(index) is not int or not isinstance(facts, dict):
            wrong = wrong or "A worker must say what it runs, but said nothing of it."
            self._notify(f"Somebody was turned away: {wrong}")
            wire.send("refused", reason=wrong)
            return None
        unequal = difference(self._facts, facts, self._cluster.name(index))
        if unequal:
            wire.send("refused", reason=unequal)
            self._inbox.put(Said(index=index, message={"kind": "differs", "reason": unequal}))
            return None
        with self._lock:
            self._wires[index] = wire
        wire.send("welcome")
        wire.beat(self._beat_s)
        return index

    def _wrong_peer(self, hello: Mapping[str, Any], index: Any) -> str | None:
        """Return why somebody is no worker that is still missing, if so."""
        if hello["kind"] != "hello" or hello.get("cluster") != self._cluster.digest():
            return "TF_CONFIG must list the workers that it lists at the chief, but lists others."
        if type(index) is not int or not 1 <= index < len(self._cluster.workers):
            most = len(self._cluster.workers) - 1
            return f"The index of a worker must be 1 to {most}, got {str(index)[:20]!r}."
        with self._lock:
            here = index in self._wires
        name = self._cluster.name(index)
        return f"Each worker must be started once, but {name} is here already." if here else None

    def _listen(self, index: int, wire: Wire) -> None:
        with self._lock:
            self._strangers.discard(wire)
        try:
            self._inbox.put(Said(index=index, message={"kind": "joined"}))
            while True:
                self._inbox.put(Said(index=index, message=wire.receive()))
        except Broken as error:
            self._inbox.put(Lost(index=index, why=str(error)))


def listen(address: Address) -> socket.socket:
    """Return a socket that listens at the chief's control address, and there alone.

    Raises:
        UsageError: the port is taken, or the address is none of this machine's.
    """
    listener = None
    try:
        family, place = address.resolved()
        listener = socket.socket(family, socket.SOCK_STREAM)
        # A port that the last run left a moment ago is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(STRANGERS)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise UsageError(
            f"The chief must be able to listen at its control address {address}, but cannot: "
            f"{error.strerror or error}. Choose another port with --control-port, on every worker."
        ) from error
    return listener
