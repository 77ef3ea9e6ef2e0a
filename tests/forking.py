"""Processes forked on demand by one that has loaded what takes long; it is asked over pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any


class Forked:
    """A process of its own, as `subprocess.Popen` shows it."""

    def __init__(self, pid: int, forker: Forker) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forker = forker

    def poll(self) -> int | None:
        """Return the exit code, None while it runs; a signal's number comes negative."""
        if self.returncode is None:
            self.returncode = self._forker.ask(poll=self.pid)
        return self.returncode

    def wait(self, limit_s: float) -> int:
        deadline = time.monotonic() + limit_s
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"it did not end within {limit_s} s"
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Forker:
    """A process that calls `serve`; it ends, and with it all that it started, when this one does.

    Args:
        command: starts it.
        options: of `subprocess.Popen`.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **options
        )

    def start(self, *request: Any) -> Forked:
        """Fork it; the fork's `serve` returns the request."""
        return Forked(self.ask(start=request), self)

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()


def serve() -> list[Any] | None:
    """Fork when asked to, until nobody asks; return the request in a fork, None at the end."""
    children: dict[int, int | None] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            if not (pid := os.fork()):
                return list(question["start"])
            children[pid], answer = None, pid
        else:
            answer = children[question["poll"]] = _code_of(question["poll"], children)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    for pid, ended in children.items():
        if ended is None:
            os.kill(pid, signal.SIGKILL)
    return None


def _code_of(pid: int, children: dict[int, int | None]) -> int | None:
    if children[pid] is not None:
        return children[pid]
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def path_of_this_process() -> str:
    """Return the variable with which a process finds modules where this one does."""
    return os.pathsep.join(entry for entry in sys.path if entry)
