"""Asks backbones of Keras for ImageNet weights, in one process with a Keras home of its own.

Keras reads its place only once, so this cannot be done in the process of the tests.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from architectures import registry

ROOT = Path(registry.__file__).parent.parent

TRY = """
import json, os, sys, time, urllib.request
import numpy as np
from architectures import imagenet_weights, registry
from harness.errors import BenchError

imagenet_weights.ANSWER_S = 1.0
home = os.environ["KERAS_HOME"]
for name, port in json.loads(sys.argv[1]):
    os.environ["https_proxy"] = f"http://127.0.0.1:{port}"
    urllib.request.install_opener(None)  # it has remembered the proxy of its first use
    start, kind, words = time.perf_counter(), "", ""
    try:
        model = registry.get("keras/" + name)((75, 75, 1), pretrained="imagenet")
        np.savez(f"{home}/{name}.npz", *model.get_weights())
    except BenchError as error:
        kind, words = type(error).__name__, str(error)
    print(json.dumps([kind, words, time.perf_counter() - start]))
"""
"""A line of JSON for each model. Every download goes to a port of this machine."""


@dataclass(frozen=True)
class Answer:
    """Kind and words of the error, both empty if there was none, and how long it took."""

    kind: str
    words: str
    seconds: float


def ask(home: Path, cases: Sequence[tuple[str, int]]) -> list[Answer]:
    """Build each (model, port of the only way to the network) with `pretrained="imagenet"`."""
    home.mkdir(exist_ok=True)
    environment = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", TRY, json.dumps(cases)],
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": str(home)},
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    # Only our lines: what Keras printed there would break the talk of a worker with its sweep.
    return [Answer(*json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """Yield a port that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        yield taken.getsockname()[1]
