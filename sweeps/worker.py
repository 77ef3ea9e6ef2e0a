"""A process that trains: `python -m sweeps.worker PARENT module:function`.

The function is `execute(job, on_epoch) -> RunRecord`. It writes the record to the store before it
returns, and calls `on_epoch(point)` after each epoch; False means: stop here, you are pruned. If
that raises `InterruptedRun`, a later command goes on with the run: what helps it is kept.
One worker does many jobs, so what is traced and compiled once serves them all.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from harness.cause import cause_of
from harness.errors import InterruptedRun, UsageError
from harness.record import EpochPoint, RunRecord
from sweeps.protocol import Job, decode, encode, encode_epoch

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>

Inbox = queue.SimpleQueue[dict[str, Any]]


class Execute(Protocol):
    """The function that does a job."""

    def __call__(self, job: Job, on_epoch: Callable[[EpochPoint], bool]) -> RunRecord:
        """Train as the job says, write the record, return it."""


def main() -> None:
    """Serve jobs from standard input until it ends."""
    parent, name = int(sys.argv[1]), sys.argv[2]
    _die_with(parent)
    # Ctrl-C reaches the whole terminal; the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs, answers = _private_pipes()
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, inbox), daemon=True).start()
    execute = find(name)
    _say(answers, encode("ready"))
    while True:
        _serve(inbox.get(), execute, inbox, answers)


def find(name: str) -> Execute:
    """Return the function called "module:function".

    Raises:
        UsageError: the name has another form, or the module no such function.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UsageError(f"A worker's function must be given as module:function, got {name!r}.")
    found = getattr(importlib.import_module(module), function, None)
    if not callable(found):
        raise UsageError(f"Module {module!r} must have a function {function!r}, but has none.")
    execute: Execute = found
    return execute


def _serve(job: Job, execute: Execute, inbox: Inbox, answers: BinaryIO) -> None:
    def on_epoch(point: EpochPoint) -> bool:
        _say(answers, encode_epoch(point))
        match inbox.get()["verdict"]:
            case "stop":
                raise InterruptedRun("The sweep stopped; its next command goes on here.")
            case verdict:
                return bool(verdict == "go")

    try:
        execute({name: value for name, value in job.items() if name != "kind"}, on_epoch)
    except Exception as error:  # noqa: BLE001 - one bad job must not end the worker
        text = "".join(traceback.format_exception(error))
        kind = type(error).__name__
        told = {"type": kind, "reason": f"{kind}: {error}", "cause": cause_of(error)}
        _say(answers, encode("raised", traceback=text, **told))
    else:
        _say(answers, encode("done"))


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes for messages; what libraries print goes to standard error instead."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return jobs, answers


def _listen(jobs: BinaryIO, inbox: Inbox) -> None:
    """Pass messages on; at the end of the stream the coordinator is gone, so stop at once."""
    try:
        for line in jobs:
            inbox.put(decode(line))
    finally:
        os._exit(0)  # in the middle of training: nobody waits for the result


def _say(answers: BinaryIO, message: bytes) -> None:
    try:
        view = memoryview(message)
        while view:
            view = view[answers.write(view) :]
    except OSError:
        os._exit(0)  # the coordinator is gone


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, where it can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)


if __name__ == "__main__":
    main()
