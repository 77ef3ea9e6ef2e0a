"""A process that trains a worker's part: `python -m harness.trainer PARENT SOCKET FUNCTION`.

The function, "module:function", is `train(job, tell) -> ending`: `tell(kind, **values)` passes
progress on, and the ending has the `status`, `reason` and `symptom` of `harness.supervise.End`.
It is imported first, TensorFlow with it; then the process says `ready` and waits for `go`:
TensorFlow's workers wait for each other in a call that lets nothing else of a process run, so all
make it at the same moment.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from harness.wire import Broken, Wire

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


class Train(Protocol):
    """The function that does a worker's part."""

    def __call__(self, job: Mapping[str, Any], tell: Callable[..., None]) -> Mapping[str, Any]:
        """Train as the job says; return how it ended."""


def main() -> None:
    """Do the one job that comes over the socket, then wait to be dismissed."""
    parent, descriptor, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    die_with(parent, signal.SIGKILL)
    # Ctrl-C reaches the whole terminal; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its warnings would be last words
    wire = Wire(socket.socket(fileno=descriptor))
    wire.beat()
    try:
        job = wire.receive()
        module, _, function = name.partition(":")
        train: Train = getattr(importlib.import_module(module), function)
        wire.send("ready")
        wire.receive()  # go
    except Broken:
        os._exit(0)  # the supervisor is gone
    threading.Thread(target=_watch, args=(wire,), daemon=True).start()
    wire.send("ended", **_ending(train, job, wire))
    # The last to leave must be the chief's: TensorFlow in the others dies without it. And none
    # leaves by itself: TensorFlow would first wait for all the others.
    threading.Event().wait()


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies, where it can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _ending(train: Train, job: Mapping[str, Any], wire: Wire) -> Mapping[str, Any]:
    try:
        return train(job, wire.send)
    except BaseException as error:  # noqa: BLE001 - also what ends a process is news to the others
        traceback.print_exc()
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def _watch(wire: Wire) -> None:
    """End this process, whatever it is doing, when its supervisor hangs up or is gone."""
    try:
        while True:
            wire.receive()
    except Broken:
        os._exit(0)


if __name__ == "__main__":
    main()
