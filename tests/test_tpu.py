"""TPUs, as far as that goes without one: errors, and the graph that a TPU would be given."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from nets import cut, plan, scenes
from tensorflow.python.tpu.tpu_system_metadata import TPUSystemMetadata

from harness import train_step
from harness.engine import Engine, EngineKey, Objective
from harness.errors import DeviceError
from harness.strategy import Layout, open_layout
from harness.tpu import open_tpu, sees_local_tpu

needs_no_tpu = pytest.mark.skipif(sees_local_tpu(), reason="this machine has a TPU")

CORES = 2
BATCH = 16
STEPS = 3
WEIGHTS = np.array([1.0, 1.0], np.float32)


@pytest.fixture(autouse=True)
def no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing ask Google Cloud: its metadata server is looked for where nobody listens."""
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{closed_port()}")
    for name in ("TPU_NAME", "TPU_CONFIG", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"):
        monkeypatch.delenv(name, raising=False)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@needs_no_tpu
def test_a_tpu_that_this_machine_does_not_have() -> None:
    for devices in ("", "tpu:local"):
        with pytest.raises(DeviceError) as error:
            open_layout(strategy="tpu", devices=devices, threads=0)
        assert str(error.value) == (
            "TensorFlow must find a TPU in this machine, but found none. On a TPU VM install a "
            "TensorFlow made for TPUs (`tensorflow-tpu` with libtpu); elsewhere name the TPU with "
            "--devices tpu:NAME, or use another --strategy."
        )


def test_a_name_that_google_cloud_does_not_tell() -> None:
    with pytest.raises(DeviceError) as error:
        open_layout(strategy="auto", devices="tpu:my-tpu", threads=0)
    said = str(error.value)
    assert said.startswith("The TPU 'my-tpu' must be found by its name, but Google Cloud did not")
    assert "Connection refused" in said
    assert said.endswith("or on the TPU VM itself use --devices tpu:local.")
    assert "\n" not in said


def test_the_name_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_NAME", "another")
    for strategy in ("tpu", "auto"):
        with pytest.raises(DeviceError, match="The TPU 'another' must be found by its name"):
            open_layout(strategy=strategy, devices="", threads=0)
    assert open_layout(strategy="cpu", devices="", threads=0).name == "cpu"


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    # TensorFlow itself waits for minutes.
    address = f"127.0.0.1:{closed_port()}"
    with pytest.raises(DeviceError) as error:
        open_tpu(f"grpc://{address}")
    said = str(error.value)
    assert said.startswith(f"The TPU 'grpc://{address}' must answer at {address}, but does not: ")
    assert said.endswith(
        "Check that it runs and that this machine is in its network, or use another --strategy."
    )


class FakedCores:
    """A resolver that names cores of this machine; variables for them fall back to its CPU."""

    def get_tpu_system_metadata(self) -> TPUSystemMetadata:
        host = "/job:localhost/replica:0/task:0"
        cores = tuple(
            SimpleNamespace(name=f"{host}/device:TPU:{i}", device_type="TPU") for i in range(CORES)
        )
        return TPUSystemMetadata(
            num_cores=CORES, num_hosts=1, num_of_cores_per_host=CORES, topology=None, devices=cores
        )


@functools.cache
def faked(backbone: str) -> Engine:
    """Return an engine for a TPU that can be traced but not run."""
    layout = Layout(
        strategy=tf.distribute.TPUStrategy(FakedCores()),
        name="tpu", devices=("tpu:0", "tpu:1"), why="faked",
    )  # fmt: skip
    key = EngineKey(blueprint=plan(backbone), replica_batch=BATCH // CORES, steps_per_call=STEPS)
    return Engine(key, layout)


def nodes(concrete: Any) -> Iterator[Any]:
    """Yield the operations of a traced function and of all functions that it calls."""
    graph = concrete.graph.as_graph_def(add_shapes=True)
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def shapes(node: Any) -> list[list[int] | None]:
    """Return the shape of each output; None if not even its rank is known, -1 for a dimension."""
    found = node.attr["_output_shapes"].list.shape
    return [None if s.unknown_rank else [d.size for d in s.dim] for s in found]


def traced(tested: Engine) -> tuple[Any, Any]:
    """Return the traced training and prediction."""
    chunk = tested._packed(scenes(BATCH * 2))
    arguments = (*chunk.tensors, tf.constant(WEIGHTS), tested._rates([1e-3]))
    train = tested._train_call.get_concrete_function(*arguments)
    images = tested.spread(scenes(BATCH).images)
    return train, tested._predict_call.get_concrete_function(images)


@pytest.mark.parametrize("backbone", ["nets:tiny", "nets:normalised", "nets:dropping"])
def test_the_graph_for_a_tpu_is_complete_and_static(backbone: str) -> None:
    tested = faked(backbone)
    tested.reset(3)
    train, predict = traced(tested)
    for concrete in (train, predict):
        # The loop itself, over a number of steps that is an input, stays with the host.
        found = [node for node in nodes(concrete) if node.op != "Range"]
        assert {"TPUReplicateMetadata", "TPUReplicatedInput"} <= {node.op for node in found}
        sized = [(node.op, node.name, shapes(node)) for node in found]
        assert any(shape for _, _, all_ in sized for shape in all_), "shapes are there to look at"
        assert [s for s in sized if any(shape is None or -1 in shape for shape in s[2])] == []
    assert "CrossReplicaSum" in {node.op for node in nodes(train)}, "gradients are summed"


def test_a_tpu_is_sent_one_step_at_a_time() -> None:
    train, _ = traced(faked("nets:tiny"))
    sent = [
        shapes(node) for node in nodes(train)
        if node.op == "TPUReplicatedInput" and node.attr["T"].type == tf.uint8.as_datatype_enum
    ]  # fmt: skip
    assert sent == [[[BATCH // CORES, 75, 75]]], "not all the steps of a call, at each of them"


@functools.cache
def alone(backbone: str) -> Engine:
    key = EngineKey(blueprint=plan(backbone), replica_batch=BATCH, steps_per_call=STEPS)
    return Engine(key, open_layout(strategy="cpu", devices="", threads=0))


@pytest.mark.parametrize("backbone", ["nets:tiny", "nets:normalised", "nets:dropping"])
def test_the_whole_step_compiles_under_xla(backbone: str) -> None:
    # As a TPU compiles it, the update included; elsewhere only loss and gradients are compiled.
    tested = alone(backbone)
    step = tf.function(train_step.step_function(tested), jit_compile=True)
    tested.reset(7)
    tested.optimizer.learning_rate.assign(1e-2)
    found = []
    for some in cut(scenes(BATCH * STEPS), *range(0, BATCH * STEPS + 1, BATCH)):
        sums = step(some.images, some.labels.astype(np.int32), some.boxes, WEIGHTS)
        found.append(float(sums[0]) / BATCH)
    tested.reset(7)
    objective = Objective(learning_rate=1e-2, class_weight=1.0, box_weight=1.0)
    plain = [
        tested.train([some], objective=objective).metrics["train_loss"]
        for some in cut(scenes(BATCH * STEPS), *range(0, BATCH * STEPS + 1, BATCH))
    ]
    # Compiled dropout draws other numbers; normalisation lets rounding grow.
    if backbone == "nets:tiny":
        assert found == pytest.approx(plain, rel=2e-5)
    assert found[0] != found[-1]
    assert all(np.isfinite(weight).all() for weight in tested.weights())
