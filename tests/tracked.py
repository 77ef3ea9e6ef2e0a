"""Runs to be tracked, and an empty MLflow store to track them in."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.mlflow_client import open_client
from harness.record import DataIdentity, EpochPoint, Machine, Measure, RunRecord
from harness.store import Store

CONFIG = RunConfig(dataset="digits", learning_rate=0.002, epochs=3)
MANIFEST = {"name": "demo", "objective": "score", "seed": 7}
DATA = DataIdentity(
    source="digits", digest="ab" * 32, data_seed=0, image_px=75, classes=10, n_train=1200,
    n_validation=200, n_test=397, test_digest="cd" * 32,
)  # fmt: skip
MACHINE = Machine(
    host_digest="h", system="Linux", python="3.11", cpu_model="Toy CPU", cpu_cores=2,
    memory_gib=4.0, packages={}, strategy="cpu", replicas=1, devices=("cpu:0",), threads=0,
    git_commit="f" * 40, git_dirty=True,
)  # fmt: skip


def point(epoch: int, *, train_s: float = 2.0, score: float | None = None) -> EpochPoint:
    metrics = {"train_loss": 1 / epoch, "validation_score": score or epoch / 10}
    return EpochPoint(epoch=epoch, images=1200, train_s=train_s + epoch / 8, metrics=metrics)


def record(run_id: str = "r1", **changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "role": "run", "config": CONFIG, "status": "finished", "duration_s": 12.5,
        "started_at": "2026-01-02T03:04:05+00:00", "data": DATA, "machine": MACHINE,
        "history": tuple(point(e) for e in (1, 2, 3)),
        "measures": {
            "validation_score": Measure(value=0.3), "test_score": Measure(value=0.28),
            "mfu": Measure(reason="the peak is unknown"),
        },
    }  # fmt: skip
    return RunRecord(run_id=run_id, **values | changes)


def trial(number: int, *, score: float = 0.3, status: str = "finished", **more: Any) -> RunRecord:
    measures = {"validation_score": Measure(value=score)} if status == "finished" else {}
    return record(
        f"demo-t{number:03d}", role="trial", sweep="demo", trial=number, status=status,
        measures=measures, reason=None if status == "finished" else "because", **more,
    )  # fmt: skip


def rerun(number: int, seed: int, test_score: float) -> RunRecord:
    return dataclasses.replace(
        final(number, seed, test_score), run_id=f"demo-t{number:03d}-r{seed}", role="rerun"
    )


def of_sweep(sweep: str, done: RunRecord, backbone: str) -> RunRecord:
    """Return the record as one of another sweep, of another backbone."""
    return dataclasses.replace(
        done, run_id=done.run_id.replace("demo", sweep), sweep=sweep,
        config=dataclasses.replace(done.config, backbone=backbone),
    )  # fmt: skip


def final(number: int, seed: int, test_score: float) -> RunRecord:
    return record(
        f"demo-t{number:03d}-s{seed}", role="final", sweep="demo", trial=number,
        config=dataclasses.replace(CONFIG, seed=seed),
        measures={"test_score": Measure(value=test_score)},
    )  # fmt: skip


def new_store(root: Path, factory: pytest.TempPathFactory) -> Store:
    """Return an output folder that holds an MLflow database without runs."""
    root.mkdir(parents=True)
    shutil.copy(_empty_database(factory), root / "mlflow.db")
    return Store(root)


@contextmanager
def answering(reply: str) -> Iterator[str]:
    """Answer whoever connects with the same bytes; yield host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # shut down
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(reply.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _empty_database(factory: pytest.TempPathFactory) -> Path:
    """Make the database once in a session: its migrations take seconds."""
    made = factory.getbasetemp() / "empty-mlflow.db"
    if not made.exists():
        path = factory.mktemp("mlflow") / "mlflow.db"
        open_client(f"sqlite:///{path}").search_experiments(max_results=1)
        shutil.copy(path, made)
    return made
