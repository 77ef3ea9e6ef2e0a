"""A training that needs no TensorFlow, but waits for the other workers as TensorFlow does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EPOCHS = 3


def train(job: Mapping[str, Any], tell: Callable[..., None]) -> Mapping[str, Any]:
    """Pretend to train in step with the others; misbehave in epoch 2 as the job says.

    The job's `room` is a folder that all share: a worker leaves a file there for each epoch it has
    begun and waits for those of all others, without end. `fault` is what goes wrong on the worker
    `faulty`; `pids` of all that ran lie in the room.
    """
    room, index = Path(job["room"]), job["index"]
    (room / f"pid-{index}").write_text(str(os.getpid()))
    tell("begun", epochs=EPOCHS, images=10, batch=5)
    for epoch in range(1, EPOCHS + 1):
        if epoch == 2 and job.get("faulty") == index:
            ending = _misbehave(job["fault"])
            if ending is not None:
                return ending
        (room / f"epoch-{epoch}-{index}").touch()
        while len(list(room.glob(f"epoch-{epoch}-*"))) < job["workers"]:
            if job.get("symptom") and (room / "gone").exists():
                reason = "UnavailableError: Connection reset by peer"
                return {"status": "failed", "reason": reason, "symptom": True}
            time.sleep(0.02)
        tell("epoch", epoch=epoch)
    return {"status": "finished", "reason": None}


def _misbehave(fault: str) -> Mapping[str, Any] | None:
    match fault:
        case "fail":
            return {"status": "failed", "reason": "the loss must be finite."}
        case "raise":
            raise RuntimeError("the toy broke")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "exit":
            os.write(2, b"a last word\n")
            os._exit(3)
        case "wait":
            time.sleep(3600)
        case "nonsense":
            return {"status": "splendid", "reason": None}
    return None
