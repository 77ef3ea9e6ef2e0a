"""Stand-ins for what measures in a process of a certificate, named as `probes:wait` and so on."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from records import DATA, MACHINE

from harness.agreement import TrainPath
from harness.observed import Observed


def observed(**changes: Any) -> Observed:
    values: dict[str, Any] = {
        "path": TrainPath(
            losses=np.ones(2), gradient=np.ones(3), averages=np.zeros(0), outputs=np.ones((1, 4))
        ),
        "noise": None, "evaluations": {1: np.ones((1, 4))}, "copies_apart": 0.0,
        "weights_digest": "d", "images": (64,), "train_s": (0.5,), "silenced": (), "data": DATA,
        "machine": MACHINE,
    }  # fmt: skip
    return Observed(**values | changes)


def place() -> int:
    return int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])


def tell_place(request: str, to: str) -> None:
    """Say which worker this is and where the others are, and stay until told to go."""
    workers = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
    assert len(set(workers)) == len(workers)
    observed(silenced=(request, str(place()), os.environ["CUDA_VISIBLE_DEVICES"])).save(Path(to))
    sys.stdin.read()


def break_one(_request: str, to: str) -> None:
    """Write down a reason in worker 1; the others break because it does."""
    if place() == 1:
        time.sleep(0.3)
        Path(f"{to}.error").write_text(json.dumps([2, "The sky must be blue."]))
    sys.exit(3)


def shout(request: str, _to: str) -> None:
    raise ValueError(f"no idea what {json.loads(request)['what']} is")


def wait(request: str, _to: str) -> None:
    """Do nothing for ever; say who it is where the request wants it."""
    with Path(json.loads(request)["pids"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(3600)
