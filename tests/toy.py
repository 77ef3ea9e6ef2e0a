"""A training that takes milliseconds: what workers run in tests of sweeps.

Its curve is a pure function of the configuration; how long it takes is not.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.cause import Cause
from harness.config import RunConfig
from harness.errors import UsageError
from harness.record import EpochPoint, Measure, RunRecord, Status
from harness.store import Store

EPOCHS = 6

_left_behind: list[bytes] = []


def execute(job: Mapping[str, Any], on_epoch: Callable[[EpochPoint], bool]) -> RunRecord:
    """Pretend to train: sleep up to `delay_s` an epoch, misbehave where `faults` says so.

    `faults` names trials: {"3": "crash"} ends the process, "crash once" only the first time. Each
    job leaves `leak_mib` behind. Trial `n` waits until the file `gate` holds more than `n` bytes.
    """
    config = RunConfig.from_json(job["config"])
    store = Store(Path(job["store"]))
    _show_pid(store, config.backbone)
    fault = dict(job.get("faults", {})).get(str(job["trial"]), "")
    _left_behind.append(b"x" * (job.get("leak_mib", 0) << 20))
    points: list[EpochPoint] = []
    status: Status = "finished"
    while "gate" in job and Path(job["gate"]).stat().st_size <= (job["trial"] or 0):
        time.sleep(0.01)
    for epoch in range(1, config.epochs + 1):
        time.sleep(random.random() * job.get("delay_s", 0.0))
        _misbehave(fault, epoch, store, job["run_id"])
        failure = _failure(fault, config, epoch, store, job["run_id"])
        if failure:
            record = RunRecord(
                run_id=job["run_id"], role=job["role"], sweep=job["sweep"], trial=job["trial"],
                config=config, status="failed", started_at="2026-01-01T00:00:00+00:00",
                duration_s=0.0, reason=f"the toy says {failure}", cause=failure,
                history=tuple(points),
            )  # fmt: skip
            store.write_record(record)
            return record
        metrics = {
            "validation_score": score(config, epoch), "validation_mean_iou": iou(config, epoch)
        }  # fmt: skip
        points.append(EpochPoint(epoch=epoch, images=1, train_s=0.0, metrics=metrics))
        if not on_epoch(points[-1]):
            status = "pruned"
            break
    measures = {name: Measure(value=value) for name, value in points[-1].metrics.items()}
    record = RunRecord(
        run_id=job["run_id"], role=job["role"], sweep=job["sweep"], trial=job["trial"],
        config=config, status=status, started_at="2026-01-01T00:00:00+00:00", duration_s=0.0,
        reason="stopped early" if status == "pruned" else None, history=tuple(points),
        measures={} if fault == "no score" else measures,
    )  # fmt: skip
    if fault != "no record":
        store.write_record(record)
    if fault == "crash after the record":
        os._exit(7)
    return record


def score(config: RunConfig, epoch: int) -> float:
    """Return a curve that rises over epochs; best at rate 1e-3, weights 1 and 10 and width 1.

    Raises:
        UsageError: the network cannot be built: a depth of 3.
    """
    if config.depth == 3:
        raise UsageError("a head needs a map, but depth 3 leaves none")
    distance = (
        (math.log10(config.learning_rate) + 3) ** 2
        + math.log10(config.class_weight) ** 2
        + (math.log10(config.box_weight) - 1) ** 2
        + math.log2(config.width or 1) ** 2
        + 0.5 * (config.head == "pooled")
    )
    seeded = random.Random(config.seed).random() * 0.01
    return math.exp(-distance) * (1 - math.exp(-epoch / 3)) + seeded


def iou(config: RunConfig, epoch: int) -> float:
    """Return a second curve, which is best where the first is not: at a box weight of 100."""
    distance = (math.log10(config.learning_rate) + 3) ** 2 + (
        math.log10(config.box_weight) - 2
    ) ** 2
    return math.exp(-distance) * (1 - math.exp(-epoch / 3))


def pids(store: Store) -> list[int]:
    """Return the workers that ever did a job."""
    folder = store.root / "pids"
    return sorted(int(path.name) for path in folder.iterdir()) if folder.is_dir() else []


def served(store: Store) -> list[list[str]]:
    """Return for each worker the backbones of its jobs, in order."""
    return [(store.root / "pids" / str(pid)).read_text().split() for pid in pids(store)]


def _show_pid(store: Store, backbone: str) -> None:
    folder = store.root / "pids"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / str(os.getpid())).open("a") as file:
        file.write(f"{backbone}\n")


def _misbehave(fault: str, epoch: int, store: Store, run_id: str) -> None:
    if epoch != 2:
        return
    once = store.root / f"{run_id}.misbehaved"
    if fault.endswith("once"):
        if once.exists():
            return
        once.touch()
    match fault.removesuffix(" once"):
        case "crash":
            sys.stderr.write("a last word before the crash\n")
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
        case "raise":
            raise RuntimeError("the toy broke")
        case "print":
            print('{"kind": "done"}', flush=True)  # noqa: T201 - as libraries do
            os.write(1, b"garbage without end")
        case "read":
            sys.stdin.read()
        case "hang":
            time.sleep(3600)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "memory error":
            raise MemoryError("the toy is too large")


def _failure(fault: str, config: RunConfig, epoch: int, store: Store, run_id: str) -> Cause | None:
    """Return why a run fails, as a record says it, that does not misbehave in its process."""
    attempts = store.root / f"{run_id}.failed"
    match fault.split():
        case ["diverge"] if epoch == 2:
            return "diverged"
        case ["oom", "above", most] if config.batch > int(most):
            return "out_of_memory"
        case ["flaky", times] if epoch == 2:
            with attempts.open("a+") as file:
                file.seek(0)
                if len(file.read()) < int(times):
                    file.write("x")
                    return "transient"
    return None
