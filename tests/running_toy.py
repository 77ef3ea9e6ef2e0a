"""Sweeps of the toy in processes of their own, for tests that look at them or stop them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.store import Store
from sweeps.progress import read_progress
from sweeps.standing import standing

SCRIPT = Path(__file__).with_name("toy_sweep.py")


@contextmanager
def running_toy(store: Store, **wish: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep and wait until two trials train and another has ended; kill what is left."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    asked = {"total": 12, "workers": 2, "delay_s": 0.6} | wish
    process = subprocess.Popen(
        [sys.executable, SCRIPT, store.root, json.dumps(asked)],
        env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        name = asked.get("name", "toy")
        wait(lambda: _is_well_on_its_way(store, name))
        yield process
    finally:
        process.kill()  # nothing happens to one that has ended
        process.communicate()


def wait(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def _is_well_on_its_way(store: Store, name: str) -> bool:
    progress = read_progress(store.sweep_dir(name))
    if progress is None or len(progress.running) < 2:
        return False
    return standing(store, name).ended >= 1
