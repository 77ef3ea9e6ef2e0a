"""Opening a strategy: what is chosen, on which devices, and why not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import warm_process

from harness.errors import DeviceError, UsageError
from harness.machine import cpu_cores
from harness.strategy import _choose, open_layout, would_take
from harness.tpu import sees_local_tpu

ROOT = Path(__file__).parent.parent
needs_no_gpu = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU"
)


@pytest.mark.parametrize(
    ("strategy", "devices", "name", "used"),
    [
        ("cpu", "", "cpu", ("cpu:0",)),
        ("auto", "cpu:0", "cpu", ("cpu:0",)),
        ("mirrored", "cpu:0,cpu:1", "mirrored", ("cpu:0", "cpu:1")),
        ("auto", "cpu:1,cpu:0", "mirrored", ("cpu:1", "cpu:0")),
    ],
)
def test_what_is_asked_for_is_opened(
    strategy: str, devices: str, name: str, used: tuple[str, ...]
) -> None:
    layout = open_layout(strategy=strategy, devices=devices, threads=0)
    assert (layout.name, layout.devices, layout.replicas) == (name, used, len(used))
    assert layout.why.startswith("as asked for")
    with layout.strategy.scope():
        copies = layout.strategy.experimental_local_results(tf.Variable(1.0))
    places = [copy.device for copy in copies]
    assert [re.sub(r".*device:", "", place).lower() for place in places] == list(used)


def test_a_process_has_one_strategy_for_the_same_devices() -> None:
    # Two would mix up their collectives as soon as both train.
    one, two = (
        open_layout(strategy=name, devices="cpu:0,cpu:1", threads=0)
        for name in ("mirrored", "auto")
    )
    assert one.strategy is two.strategy


@needs_no_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu() -> None:
    layout = open_layout(strategy="auto", devices="", threads=0)
    assert (layout.name, layout.devices, layout.why) == ("cpu", ("cpu:0",), "auto: no GPU found")


@needs_no_gpu
@pytest.mark.skipif(sees_local_tpu(), reason="this machine has a TPU")
def test_auto_says_why_it_does_not_take_a_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_NAME", "local")
    layout = open_layout(strategy="auto", devices="", threads=0)
    assert layout.name == "cpu"
    assert layout.why == (
        "auto: no GPU found; the TPU of this machine is not visible to TensorFlow"
    )


@needs_no_gpu
@pytest.mark.parametrize(
    ("strategy", "devices", "reason"),
    [
        ("gpu", "", "TensorFlow must see gpu:0, but the GPUs found are: none. Use --strategy cpu"),
        ("auto", "gpu:3", "TensorFlow must see gpu:3, but the GPUs found are: none."),
        (
            "mirrored", "",
            "`mirrored` needs at least 2 GPUs, found 0. To try it on logical CPU devices",
        ),
        ("mirrored", "gpu:0,gpu:1", "TensorFlow must see gpu:0"),
    ],
)  # fmt: skip
def test_gpus_that_are_not_there(strategy: str, devices: str, reason: str) -> None:
    with pytest.raises(DeviceError, match=re.escape(reason)):
        open_layout(strategy=strategy, devices=devices, threads=0)


@pytest.mark.parametrize(
    ("strategy", "gpus", "chosen", "why"),
    [
        ("auto", 0, ("cpu:0",), "auto: no GPU found"),
        ("auto", 1, ("gpu:0",), "auto: the one GPU"),
        ("auto", 3, ("gpu:0", "gpu:1", "gpu:2"), "auto: all 3 GPUs"),
        ("gpu", 3, ("gpu:0",), "as asked for"),
        ("gpu", 0, ("gpu:0",), "as asked for"),
        ("mirrored", 2, ("gpu:0", "gpu:1"), "all 2 GPUs"),
        ("cpu", 2, ("cpu:0",), "as asked for"),
        ("multiworker", 2, ("gpu:0", "gpu:1"), "all its GPUs"),
        ("multiworker", 0, ("cpu:0",), "no GPU found"),
    ],
)
def test_what_each_strategy_takes_of_the_gpus_there_are(
    strategy: str, gpus: int, chosen: tuple[str, ...], why: str
) -> None:
    there = tuple(f"gpu:{i}" for i in range(gpus))
    assert _choose(strategy, (), there) == (chosen, why)


def test_names_are_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match=r"Unknown strategy 'tpus'\. Did you mean 'tpu'"):
        open_layout(strategy="tpus", devices="", threads=0)
    with pytest.raises(UsageError, match="must be told of its workers by TF_CONFIG"):
        open_layout(strategy="multiworker", devices="", threads=0)
    with pytest.raises(DeviceError, match="`cpu` uses one CPU"):
        open_layout(strategy="cpu", devices="gpu:0", threads=0)


def test_threads_and_devices_cannot_be_changed_any_more() -> None:
    tf.zeros(1)
    for threads in (0, cpu_cores()):  # the same number is no change
        open_layout(strategy="cpu", devices="", threads=threads)
    with pytest.raises(DeviceError, match=f"already runs with {cpu_cores()}, not 77"):
        open_layout(strategy="cpu", devices="", threads=77)
    with pytest.raises(DeviceError, match="3 logical CPU devices must be made before") as error:
        open_layout(strategy="mirrored", devices="cpu:0,cpu:1,cpu:2", threads=0)
    assert "Start a fresh process." in str(error.value)


FRESH = """
import json
from harness.strategy import open_layout
layout = open_layout(strategy="mirrored", devices="cpu:0,cpu:1,cpu:2,cpu:3", threads=1)
import tensorflow as tf
from nets import cut, plan, scenes
from harness.engine import Engine, EngineKey, Objective

def losses(layout, steps=10):
    key = EngineKey(blueprint=plan(), replica_batch=16 // layout.replicas, steps_per_call=1)
    engine = Engine(key, layout)
    engine.reset(7)
    objective = Objective(learning_rate=1e-2, class_weight=1.0, box_weight=1.0)
    chunks = cut(scenes(16 * steps), *range(0, 16 * steps + 1, 16))
    path = [engine.train([some], objective=objective).metrics["train_loss"] for some in chunks]
    return path, [engine.predict(scenes(n))[1].tolist() for n in (1, 15, 17)]

print(json.dumps({
    "logical": len(tf.config.list_logical_devices("CPU")),
    "threads": [tf.config.threading.get_intra_op_parallelism_threads(),
                tf.config.threading.get_inter_op_parallelism_threads()],
    "replicas": layout.replicas,
    "four": losses(layout),
    "one": losses(open_layout(strategy="cpu", devices="", threads=1)),
}))
"""


def test_a_fresh_process_makes_four_devices_and_trains_with_one_thread() -> None:
    # One thread for four replicas must not wait for itself for ever.
    done = warm_process.run(code=FRESH)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["logical"], found["threads"], found["replicas"]) == (4, [1, 1], 4)
    (path, boxes), (expected_path, expected_boxes) = found["four"], found["one"]
    assert path == pytest.approx(expected_path, rel=2e-5)
    for some, expected, n in zip(boxes, expected_boxes, (1, 15, 17), strict=True):
        assert len(some) == n
        assert np.array(some) == pytest.approx(np.array(expected), abs=1e-4)


@needs_no_gpu
def test_what_a_strategy_would_take_is_told_without_opening_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert would_take("cpu") == "cpu:0 (as asked for)"
    assert would_take("auto") == "cpu:0 (auto: no GPU found)"
    for strategy, words in (
        ("gpu", "must see gpu:0, but the GPUs found are: none"),
        ("mirrored", "needs at least 2 GPUs, found 0"),
        ("multiworker", "by TF_CONFIG, but that is not set"),
        ("tpu", "must find a TPU in this machine, but found none"),
    ):
        with pytest.raises(UsageError, match=words):
            would_take(strategy)
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    assert would_take("multiworker") == "cpu:0 (worker 1 of 2, no GPU found)"
    monkeypatch.setenv("TPU_NAME", "far-away")
    assert would_take("tpu") == "tpu:far-away (as asked for)"
