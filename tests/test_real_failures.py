"""A real sweep in which trials diverge, run out of memory and break, seen in MLflow's store."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_journey import Process, bench, tracked

from harness.mlflow_api import Run
from harness.store import Store
from sweeps.study import load_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

BACKBONE = """
import keras
import tensorflow as tf


class Hungry(keras.layers.Layer):
    "Allocates 40 TB for a batch above 16 while it runs, else nothing to speak of."

    def call(self, x):
        rows = 10**7 if x.shape[0] is not None and x.shape[0] > 16 else 1
        return x + 0 * tf.reduce_mean(tf.fill([rows, 10**6], tf.reduce_mean(x)))


class Broken(keras.layers.Layer):
    def call(self, x):
        if x.shape[0] is not None:
            raise ValueError("a plug-in broke")
        return x


def moody(image_shape, depth=1):
    image = keras.Input(image_shape)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(5)(image))
    match depth:
        case 2:
            x = x * 1e38 * 1e38
        case 3:
            x = Hungry()(x)
        case 4:
            x = Broken()(x)
    return keras.Model(image, x)
"""
# Seed 3 draws the depths 1, 2, 2, 3, 4, 1.
LINE = (
    "sweep --dataset digits --backbone mine:moody --search depth=1,2,3,4 --sampler random "
    "--seed 3 --learning-rate 1e-3 --class-weight 1 --box-weight 1 --name s --trials 6 "
    "--trial-epochs 2 --trial-examples 128 --batch-size 64 --final-seeds 0 --workers 1 "
    "--oom-backoff"
)


def artifact(run: Run, name: str) -> str:
    return (Path(run.info.artifact_uri.removeprefix("file://")) / name).read_text()


def test_every_failure_is_a_result_with_its_reason_in_mlflow(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BACKBONE)
    said, out = bench(LINE, tmp_path), tmp_path / "bench-runs"
    _, rows = load_table(Store(out), "s")
    assert [row.params["depth"] for row in rows] == [1, 2, 2, 3, 4, 1]
    states = ["finished", "failed", "failed", "finished", "failed", "finished"]
    assert [row.status for row in rows] == states

    runs = {run.data.tags["bench.run_id"]: run for run in tracked(out)}
    assert Counter(run.data.tags["bench.role"] for run in tracked(out)) == {"trial": 6, "sweep": 1}
    for row in rows:
        check(runs[f"s-t{row.number:03d}"], int(row.params["depth"]))
    assert re.search(r"s-t001 failed: .* training diverged\. ", said)
    assert "It is done again with batch_size 32 instead of 64." in said
    assert "It is done again with batch_size 16 instead of 32." in said
    first, second = (Store(out).read_record(f"s-t00{number}") for number in (1, 2))
    assert first is not None
    assert second is not None
    assert first.value("compile_s") is not None
    assert second.measures["compile_s"].reason == "compiled for an earlier run of this process"

    code, _, errors = Process(f"{LINE} --fail-fast", tmp_path).end()
    assert code == 1
    assert re.fullmatch(
        r"Error: s-t001 failed, and --fail-fast ends the sweep there: [^\n]+"
        r"the same command without --fail-fast goes on\.\n",
        errors,
    )
    assert load_table(Store(out), "s")[1] == rows


def check(run: Run, depth: int) -> None:
    """Look at a trial as somebody does who opens it in MLflow."""
    tags: dict[str, Any] = run.data.tags
    note, reason = tags["mlflow.note.content"], tags.get("bench.reason", "")
    match depth:
        case 1:
            assert (run.info.status, tags.get("bench.cause")) == ("FINISHED", None)
        case 2:
            assert (run.info.status, tags["bench.cause"]) == ("FAILED", "diverged")
            assert "training diverged" in reason
            assert "DivergedRun" in artifact(run, "traceback.txt")
        case 3:
            assert (run.info.status, run.data.params["batch_size"]) == ("FINISHED", "16")
            assert tags["bench.too_large_batches"] == "64, 32"
            assert "Ran out of memory with a batch of 64 and 32 before." in note
        case 4:
            assert run.info.status == "FAILED"
            assert "a plug-in broke" in reason
            assert "a plug-in broke" in artifact(run, "traceback.txt")
            assert "`traceback.txt`" in note
