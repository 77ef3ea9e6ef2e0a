"""The training process of a worker, seen from its supervisor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.child_python import environment, exit_text, last_words, python
from harness.errors import StoreError
from harness.rendezvous import Inbox, Lost, Said
from harness.wire import Broken, Wire

START_S = 180.0
"""Time to load TensorFlow, of which seconds on a warm machine and minutes over a network; while
libraries are loaded a process cannot beat."""

SILENCE_S = 20.0
"""A training process that says nothing for so long hangs. More than between hosts: creating the
strategy holds the interpreter until TensorFlow of every worker has answered."""

DEATH_S = 5.0
"""Time that a process whose connection ended gets to leave its exit code."""


class Child:
    """A process that trains, started by `start`; what it says goes to an inbox.

    Args:
        index: the number of this worker.
        function: "module:function", see `harness.trainer`.
        log: file for all that the process prints.
        inbox: gets `Said` and, once it is dead or hangs, `Lost`.
        environment: variables added to this process's own.
        silence_s, start_s: limits, see above.
    """

    def __init__(
        self,
        index: int,
        function: str,
        log: Path,
        inbox: Inbox,
        *,
        environment: Mapping[str, str],
        silence_s: float = SILENCE_S,
        start_s: float = START_S,
    ) -> None:
        self._index, self._function, self._log, self._inbox = index, function, log, inbox
        self._environment, self._silence_s, self._start_s = environment, silence_s, start_s
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None

    def start(self, job: Mapping[str, Any]) -> None:
        """Start the process; it loads what it needs and says `ready`.

        Raises:
            StoreError: the log cannot be written.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._log.parent.mkdir(parents=True, exist_ok=True)
                with self._log.open("wb") as log:
                    self._process = self._spawn(theirs.fileno(), log.fileno())
            except OSError as error:
                ours.close()
                raise StoreError(f"{self._log} cannot be written: {error.strerror}.") from error
        wire = self._wire = Wire(ours, silence_s=self._start_s)
        wire.send("job", **job)
        wire.beat()
        threading.Thread(target=self._listen, args=(wire, self._process), daemon=True).start()

    def go(self) -> None:
        """Let a process that is ready begin."""
        if self._wire is not None:
            self._wire.send("go")

    def end(self) -> None:
        """Kill the process and all that it started; may be called again."""
        if self._wire is not None:
            self._wire.close()
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _spawn(self, descriptor: int, log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            python("-m", "harness.trainer", str(os.getpid()), str(descriptor), self._function),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(descriptor,),
            env=environment(self._environment),
            start_new_session=True,  # its own group: Ctrl-C is the supervisor's affair
        )

    def _listen(self, wire: Wire, process: subprocess.Popen[bytes]) -> None:
        try:
            while True:
                message = wire.receive()
                if message["kind"] == "ready":
                    wire.silence_s = self._silence_s
                self._inbox.put(Said(index=self._index, message=message))
        except Broken as error:
            why = f"lost its training process, which {self._obituary(process, str(error))}"
            self._inbox.put(Lost(index=self._index, why=why))
        finally:
            wire.release()

    def _obituary(self, process: subprocess.Popen[bytes], why: str) -> str:
        """Return in words how the process ended; if by itself, with the last line of its log."""
        if "said nothing" in why:
            return why
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(DEATH_S)
            if code in (-signal.SIGKILL, -signal.SIGTERM):
                return exit_text(code)
            why = exit_text(code)
        words = last_words(self._log)
        return f"{why}, with the last words {words!r} (log: {self._log})" if words else why
