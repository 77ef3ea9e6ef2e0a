"""Killed in the middle, `bench run` and `bench sweep` end as if nothing had happened."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from test_journey import PATIENCE_S, Process, bench, table, tracked

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

TIMES = {"run_id", "started_at", "duration_s", "machine", "resumed_after"}
TIME_MEASURES = {"images_per_s", "compile_s", "evaluation_s", "peak_rss_mib"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(BACKBONE)
    return tmp_path


def timeless(record: RunRecord) -> dict[str, Any]:
    """Return a record without what differs between equal runs."""
    values: dict[str, Any] = json.loads(record.dumps())
    for point in values["history"]:
        del point["train_s"]
    for name in TIME_MEASURES:
        del values["measures"][name]
    return {name: value for name, value in values.items() if name not in TIMES}


def wait_for_epoch(out: Path, epoch: int, run_id: str = "*") -> None:
    """Wait until that many epochs have their checkpoint: the next one has just begun."""
    start = time.monotonic()
    while not any(last_epoch(f) >= epoch for f in out.glob(f"runs/{run_id}/checkpoint")):
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.005)


def test_killed_and_stopped_a_run_ends_with_the_same_record(folder: Path) -> None:
    line = (
        "run --dataset digits --backbone mine:tiny --epochs 40 --patience 30 --batch-size 8 "
        "--learning-rate 1e-2 --threads 1 --out"
    )
    calm = Process(f"{line} calm", folder)
    killed = Process(f"{line} o", folder)
    wait_for_epoch(folder / "o", 6)
    killed.send(signal.SIGKILL)
    assert killed.end()[0] == -signal.SIGKILL
    assert list(Store(folder / "o").records()) == []

    stopped = Process(f"{line} o", folder)
    wait_for_epoch(folder / "o", 10)
    stopped.send(signal.SIGTERM)
    code, said, errors = stopped.end()
    assert code == 130
    assert re.search(r"^Run \S+ goes on after epoch \d+ of 40\.$", said, re.MULTILINE)
    assert not re.search(r"^epoch [1-6]/40 ", said, re.MULTILINE), "not trained again"
    assert re.fullmatch(
        r"Interrupted: Stopped from outside after epoch \d+\. Its record is in \S+\. "
        r"The same command goes on after epoch \d+\.\n",
        errors,
    )
    (record,) = Store(folder / "o").records()
    assert record.status == "interrupted"
    assert [point.epoch for point in record.history][:10] == list(range(1, 11))

    said = bench(f"{line} o", folder)
    assert f"Run {record.run_id} goes on after epoch " in said
    assert calm.end()[0] == 0
    (whole,), (record,) = (list(Store(folder / out).records()) for out in ("calm", "o"))
    assert record.status == "finished"
    assert timeless(record) == timeless(whole)
    assert len(record.resumed_after) == 2
    assert not Store(folder / "o").checkpoint_dir(record.run_id).exists()

    (run,) = tracked(folder / "o")
    assert (run.info.status, run.data.tags["bench.run_id"]) == ("FINISHED", record.run_id)
    bench("sync --out o", folder)
    assert [run.info.status for run in tracked(folder / "o")] == ["FINISHED"]


def test_a_fresh_run_leaves_the_unfinished_one_alone_and_two_never_share_it(
    folder: Path,
) -> None:
    line = "run --dataset digits --backbone mine:tiny --epochs 100000 --no-test --out o"
    killed = Process(line, folder)
    wait_for_epoch(folder / "o", 3)
    killed.send(signal.SIGKILL)
    killed.end()
    (old,) = (path.name for path in (folder / "o/runs").iterdir())
    both = [Process(line, folder), Process(line, folder), Process(f"{line} --no-resume", folder)]
    start = time.monotonic()
    while len(list((folder / "o").glob("runs/*/checkpoint/*2.npz"))) < 3:
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.05)
    for process in both:
        process.send(signal.SIGINT)
    said = [process.end()[1] for process in both]
    assert sum(f"Run {old} goes on after epoch" in text for text in said) == 1
    assert "goes on" not in said[2]
    assert len(list((folder / "o/runs").iterdir())) == 3


def test_a_trial_killed_in_the_middle_leaves_the_same_table(folder: Path) -> None:
    line = (
        "sweep --dataset digits --backbone mine:tiny --name s --trials 2 "
        "--trial-epochs 40 --final-seeds 1 --epochs 40 --workers 1 --no-report --out"
    )
    calm = Process(f"{line} calm", folder)
    for run_id, epoch in (("s-t001", 4), ("s-t00?-s1", 4)):
        killed = Process(f"{line} o", folder)
        wait_for_epoch(folder / "o", epoch, run_id)
        killed.send(signal.SIGKILL)
        killed.end()
    bench(f"{line} o", folder)
    assert calm.end()[0] == 0
    assert table(folder / "o") == table(folder / "calm")
    resumed, whole = (
        {record.run_id: record for record in Store(folder / out).records()}
        for out in ("o", "calm")
    )
    assert set(resumed) == set(whole)
    for name, record in resumed.items():
        assert timeless(record) == timeless(whole[name])
    assert sum(len(record.resumed_after) for record in resumed.values()) == 2
    assert list((folder / "o").glob("runs/*/checkpoint")) == []
    assert {run.info.status for run in tracked(folder / "o")} == {"FINISHED"}
    assert len(tracked(folder / "o")) == len(tracked(folder / "calm"))
