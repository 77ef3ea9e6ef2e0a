"""A connection that carries lines of JSON both ways, with a pulse to tell silence from death.

Whoever is at the other end need not be one of ours: a line has a bounded length, is a JSON object
with a `kind`, or ends the connection.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any

BEAT_S = 2.0
"""How often each end says that it is there."""

SILENCE_S = 15.0
"""A peer that says nothing for so long is taken for hung: seven beats, more than a busy machine
makes a process wait. TensorFlow's own limit between workers is 15 s too."""

MAX_LINE_BYTES = 1 << 17
"""No message of ours is longer; who sends more does not speak this language."""

_READ_BYTES = 1 << 16


class Broken(Exception):
    """The connection is of no more use; the text says why, as "worker 1 ..." goes on."""


class Wire:
    """One end of a connection. Any thread may send; one thread receives.

    Args:
        connection: taken over, and closed by `release`.
        silence_s: see below.

    Attributes:
        silence_s: how long the other end may say nothing; may be changed between messages.
    """

    def __init__(self, connection: socket.socket, *, silence_s: float = SILENCE_S) -> None:
        self._socket = connection
        self.silence_s = silence_s
        self._unread = b""
        self._sending = threading.Lock()
        self._closed = threading.Event()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def send(self, kind: str, **values: Any) -> None:
        """Send a message. If the other end is gone, `receive` will tell; that is no error here."""
        line = json.dumps({"kind": kind, **values}).encode() + b"\n"
        with suppress(OSError), self._sending:
            self._socket.sendall(line)

    def beat(self, every_s: float = BEAT_S) -> None:
        """From now on tell the other end so often that this process is there."""
        threading.Thread(target=self._beat, args=(every_s,), daemon=True).start()

    def receive(self, within_s: float | None = None) -> dict[str, Any]:
        """Wait for the next message; beats are none.

        Args:
            within_s: how long at most, beats or not; None for as long as the other end is there.

        Raises:
            Broken: there will be no more messages, or none came in time.
        """
        deadline = None if within_s is None else time.monotonic() + within_s
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if not newline:
                self._unread += self._more(deadline)
                continue
            self._unread = rest
            message = _decoded(line)
            if message["kind"] != "beat":
                return message

    def close(self) -> None:
        """End the connection, also for a thread that is receiving; may be called again."""
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close and give the descriptor back; the receiving thread calls it last."""
        self.close()
        with self._sending:  # else a late beat could go to whoever gets this descriptor next
            self._socket.close()

    def _more(self, deadline: float | None) -> bytes:
        if len(self._unread) > MAX_LINE_BYTES:
            raise Broken("sent a line that is too long to be a message")
        wait_s = self.silence_s
        if deadline is not None:
            wait_s = min(wait_s, max(0.0, deadline - time.monotonic()))
        if not self._poll.poll(wait_s * 1000):
            raise Broken(f"said nothing for {wait_s:.3g} s")
        try:
            chunk = self._socket.recv(_READ_BYTES)
        except OSError as error:
            raise Broken(f"broke its connection ({error.strerror or error})") from error
        if not chunk:
            raise Broken("closed its connection")
        return chunk

    def _beat(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            self.send("beat")


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise Broken(f"sent what is no message ({line[:40]!r})")
    return message
