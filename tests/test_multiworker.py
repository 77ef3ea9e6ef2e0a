"""Two real processes that train one model: as one device would, and alike."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_worker import BATCH, PREDICTED, RUN, STEPS, engine, trained

from harness.draft import Identity
from harness.predictions import Predictions
from harness.record import RunRecord
from harness.run import execute
from harness.store import Store
from harness.strategy import Layout, open_layout

ROOT = Path(__file__).parent.parent
LIMIT_S = 900
"""So that nothing hangs; two idle cores take 30 s, and a busy machine must not fail."""

LOSS_PATH = 2e-5
"""As in test_engine."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextmanager
def started(command: Sequence[str], folder: Path, workers: int = 2) -> Iterator[Sequence[Any]]:
    """Start the workers of a cluster on this machine; none outlives the block."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    processes = []
    try:
        for index in range(workers):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            environment = {
                "TF_CONFIG": json.dumps(config), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
                "CUDA_VISIBLE_DEVICES": "-1",
            }  # fmt: skip
            with (folder / f"worker-{index}.log").open("w") as log:
                process = subprocess.Popen(
                    command, env=os.environ | environment, stdout=log, stderr=log
                )
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()  # TensorFlow swallows SIGTERM while it waits for other workers
            process.wait()


def wait_for(processes: Sequence[Any], folder: Path) -> None:
    """Wait until all have ended well; the first that has not fails the test."""
    deadline = time.monotonic() + LIMIT_S
    while any(process.poll() is None for process in processes):
        bad = [p for p in processes if p.poll()]
        if bad or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    codes = [process.poll() for process in processes]
    logs = "\n".join(log.read_text()[-3000:] for log in sorted(folder.glob("*.log")))
    assert codes == [0] * len(processes), logs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where two workers have left what they found."""
    folder = tmp_path_factory.mktemp("cluster")
    command = [sys.executable, str(ROOT / "tests" / "one_worker.py"), str(folder)]
    with started(command, folder) as processes:
        wait_for(processes, folder)
    return folder


def found(folder: Path, worker: int) -> dict[str, Any]:
    with np.load(folder / f"worker-{worker}.npz") as values:
        return dict(values)


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    """Return what one device finds."""
    return trained(engine(open_layout(strategy="cpu", devices="", threads=0), jit=False))


def test_each_worker_knows_its_place(folder: Path) -> None:
    assert [found(folder, worker)["layout"].tolist() for worker in (0, 1)] == [
        [2, 0, 2],
        [2, 1, 2],
    ]


def test_each_worker_feeds_its_half_of_every_batch(folder: Path) -> None:
    halves = [found(folder, worker)["jit-False-rows"] for worker in (0, 1)]
    both = np.concatenate([half.reshape(STEPS, BATCH // 2) for half in halves], axis=1)
    assert both.ravel().tolist() == list(range(BATCH * STEPS))


def test_both_workers_report_the_same_and_end_with_the_same_weights(folder: Path) -> None:
    values = [found(folder, worker) for worker in (0, 1)]
    apart = [
        name
        for name in values[0]
        if not name.endswith(("layout", "rows")) and not np.array_equal(*[v[name] for v in values])
    ]
    assert apart == []


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "jit"])
def test_two_workers_take_the_path_of_one_device(
    folder: Path, one: dict[str, Any], jit: bool
) -> None:
    two = found(folder, 0)
    path = two[f"jit-{jit}-path"]
    assert path[0, 0] == pytest.approx(one["path"][0, 0], rel=1e-6)
    assert path == pytest.approx(one["path"], rel=LOSS_PATH)
    # Adam divides by the gradient's size, so the path alone would not show a factor of 2.
    difference = np.linalg.norm(two[f"jit-{jit}-gradient"] - one["gradient"])
    assert difference < 1e-5 * np.linalg.norm(one["gradient"])


@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize("n", PREDICTED)
def test_each_worker_has_every_prediction_once_and_in_order(
    folder: Path, one: dict[str, Any], n: int, worker: int
) -> None:
    values = found(folder, worker)
    assert values[f"jit-False-p{n}"].shape == (n, 10)
    # The weights have taken 20 steps of Adam, which lets rounding grow.
    assert values[f"jit-False-p{n}"] == pytest.approx(one[f"p{n}"], abs=1e-4)
    assert values[f"jit-False-b{n}"] == pytest.approx(one[f"b{n}"], abs=1e-4)


def record_of(folder: Path, worker: int) -> RunRecord:
    record = Store(folder / f"out-{worker}").read_record("run")
    assert record is not None
    assert record.status == "finished", record.traceback or record.reason
    return record


def test_a_run_of_two_workers_is_that_of_one_device(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(RUN, strategy="cpu")
    store = Store(tmp_path)
    alone = execute(config, identity=Identity(run_id="run"), store=store, data_dir=None)
    first, second = (record_of(folder, worker) for worker in (0, 1))
    assert first.machine is not None
    assert (first.machine.strategy, first.machine.devices) == ("multiworker", ("cpu:0",))
    assert (first.machine.workers, first.machine.replicas) == (2, 2)
    for a, b, c in zip(alone.history, first.history, second.history, strict=True):
        assert b.metrics == c.metrics
        assert (a.images, b.images) == (112, 112)
        assert b.metrics["train_loss"] == pytest.approx(a.metrics["train_loss"], rel=1e-5)
    name = "predictions-test.npz"
    assert first.files[name] == second.files[name], "the same bytes"
    kept = [Predictions.load(s.run_dir("run") / name) for s in (store, Store(folder / "out-0"))]
    assert kept[0].ids.tolist() == kept[1].ids.tolist()
    assert kept[1].predicted_boxes == pytest.approx(kept[0].predicted_boxes, abs=1e-4)


def test_what_belongs_to_a_worker_is_told_by_its_layout() -> None:
    pair = open_layout(strategy="mirrored", devices="cpu:0,cpu:1", threads=0)
    alone = dataclasses.replace(pair)
    assert (alone.workers, alone.local_replicas, alone.chief) == (1, 2, True)
    assert alone.share(12) == slice(0, 12)
    shares = [dataclasses.replace(pair, workers=2, worker=k) for k in (0, 1)]
    assert [layout.share(12) for layout in shares] == [slice(0, 6), slice(6, 12)]
    assert [layout.local_replicas for layout in shares] == [1, 1]
    assert [layout.chief for layout in shares] == [True, False]
    assert isinstance(shares[0], Layout)
