"""One worker's part of a run: what its training process does (see `harness.trainer`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.draft import Identity
from harness.record import EpochPoint
from harness.run import Watch, execute
from harness.store import Store
from harness.targets import parse_targets

SYMPTOMS = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError")
"""What TensorFlow raises on a worker when another is gone: the cause lies elsewhere."""


def train(job: Mapping[str, Any], tell: Callable[..., None]) -> Mapping[str, Any]:
    """Do the run; return how it ended.

    Args:
        job: `run_id`, `config` (JSON), `targets`, `store` and `data_dir` (paths). On all but the
            chief the store is a folder that is thrown away.
        tell: is told of progress: `say`, `begun`, `images` and `epoch`, as `Watch` has them.
    """

    def on_epoch(point: EpochPoint) -> bool:
        tell("epoch", point=dataclasses.asdict(point) | {"metrics": dict(point.metrics)})
        return True

    data_dir = job["data_dir"]
    record = execute(
        RunConfig.from_json(job["config"]),
        identity=Identity(run_id=job["run_id"]),
        store=Store(Path(job["store"])),
        data_dir=Path(data_dir) if data_dir else None,
        watch=Watch(
            say=lambda text: tell("say", text=text),
            begun=lambda epochs, images, batch: tell(
                "begun", epochs=epochs, images=images, batch=batch
            ),
            images=lambda epoch, images: tell("images", epoch=epoch, images=images),
            epoch=on_epoch,
        ),
        targets=parse_targets(job["targets"]),
    )
    reason = record.reason or ""
    return {
        "status": record.status,
        "reason": record.reason,
        "symptom": reason.partition(":")[0] in SYMPTOMS,
    }
