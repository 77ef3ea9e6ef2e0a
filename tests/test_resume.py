"""Killed in the middle, `bench run` and `bench sweep` end as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_journey import PATIENCE_S, Process, bench, orphans, table, tracked

from harness.checkpoint import last_epoch
from harness.record import RunRecord
from harness.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

BACKBONE = """
import keras
from harness import checkpoint

# Due after each epoch: these take a fraction of a second.
checkpoint.EVERY_S, checkpoint.SHARE = 0.0, 1e9

def tiny(image_shape):
    image = keras.Input(image_shape)
    x = keras.layers.AveragePooling2D(5)(image)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    return keras.Model(image, x)
"""

Start = Callable[[str], Process]

TIMES = {"run_id", "started_at", "duration_s", "machine", "resumed_after"}
TIME_MEASURES = {
    "images_per_s", "step_p50_ms", "step_p90_ms", "data_images_per_s", "disturbed_epochs",
    "first_batch_s", "compile_s", "evaluation_s", "peak_rss_mib", "peak_device_mib",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(BACKBONE)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start commands; none outlives the test."""
    started = []

    def start(line: str) -> Process:
        started.append(Process(line, folder))
        return started[-1]

    yield start
    for process in started:
        process.send(signal.SIGKILL)  # nothing happens to one that has ended
        process.end()


def timeless(record: RunRecord) -> dict[str, Any]:
    """Return a record without what differs between equal runs."""
    values: dict[str, Any] = json.loads(record.dumps())
    for point in values["history"]:
        for name in ("train_s", "validation_s", "disturbed"):
            del point[name]
    for name in TIME_MEASURES:
        del values["measures"][name]
    return {name: value for name, value in values.items() if name not in TIMES}


def wait_for_epoch(out: Path, epoch: int, run_id: str = "*") -> None:
    """Wait until that many epochs have their checkpoint: the next one has just begun."""
    start = time.monotonic()
    while not any(last_epoch(f) >= epoch for f in out.glob(f"runs/{run_id}/checkpoint")):
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.005)


def test_killed_and_stopped_a_run_ends_with_the_same_record(folder: Path, start: Start) -> None:
    line = (
        "run --dataset digits --backbone mine:tiny --epochs 40 --patience 30 --batch-size 8 "
        "--learning-rate 1e-2 --threads 1 --out o"
    )
    store = Store(folder / "o")
    killed = start(line)
    wait_for_epoch(store.root, 6)
    killed.send(signal.SIGKILL)
    assert killed.end()[0] == -signal.SIGKILL
    assert list(store.records()) == []
    (run_id,) = (path.name for path in (store.root / "runs").iterdir())

    calm = start(f"{line} --no-resume")
    stopped = start(line)
    wait_for_epoch(store.root, 10, run_id)
    stopped.send(signal.SIGTERM)
    code, said, errors = stopped.end()
    assert code == 130
    assert re.search(rf"^Run {run_id} goes on after epoch \d+ of 40\.$", said, re.MULTILINE)
    assert not re.search(r"^epoch [1-6]/40 ", said, re.MULTILINE), "not trained again"
    assert re.fullmatch(
        r"Interrupted: Stopped from outside after epoch \d+\. Its record is in \S+\. "
        r"The same command goes on after epoch \d+\.\n",
        errors,
    )
    interrupted = store.read_record(run_id)
    assert interrupted is not None
    assert interrupted.status == "interrupted"
    assert [point.epoch for point in interrupted.history][:10] == list(range(1, 11))
    code, said, _ = calm.end()
    assert code == 0
    assert "goes on after" not in said

    assert f"Run {run_id} goes on after epoch " in bench(line, folder)
    record, whole = store.records()
    assert record.run_id == run_id
    assert record.status == "finished"
    assert timeless(record) == timeless(whole)
    assert (len(record.resumed_after), whole.resumed_after) == (2, ())
    assert list(store.root.glob("runs/*/checkpoint")) == []
    runs = {run.data.tags["bench.run_id"]: run.info.status for run in tracked(store.root)}
    assert runs == {run_id: "FINISHED", whole.run_id: "FINISHED"}
    assert len(tracked(store.root)) == 2


def test_a_trial_killed_in_the_middle_leaves_the_same_table(folder: Path, start: Start) -> None:
    # A worker looks at the clock before it has imported the backbone: the first checkpoint is due
    # after 5 s, so a trial lasts longer.
    line = (
        "sweep --dataset digits --backbone mine:tiny --name s --trials 2 --trial-epochs 120 "
        "--batch-size 8 --final-seeds 0 --workers 1 --no-report --out"
    )
    calm = start(f"{line} calm")
    killed = start(f"{line} o")
    wait_for_epoch(folder / "o", 4, "s-t000")
    (worker,) = orphans(killed.pid)  # it has its coordinator still
    os.kill(int(Path(worker).parent.name), signal.SIGKILL)  # another one goes on
    wait_for_epoch(folder / "o", 4, "s-t001")
    killed.send(signal.SIGKILL)
    killed.end()
    bench(f"{line} o", folder)
    assert calm.end()[0] == 0
    assert table(folder / "o") == table(folder / "calm")
    resumed, whole = (list(Store(folder / out).records()) for out in ("o", "calm"))
    assert [timeless(record) for record in resumed] == [timeless(record) for record in whole]
    assert [len(record.resumed_after) for record in resumed] == [1, 1]
    assert list((folder / "o").glob("runs/*/checkpoint")) == []
    assert {run.info.status for run in tracked(folder / "o")} == {"FINISHED"}
    assert len(tracked(folder / "o")) == len(tracked(folder / "calm"))
