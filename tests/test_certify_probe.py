"""What a process measures for a certificate, and that planted faults are found in it.

Everything in one process with two logical devices; real processes are those of
`tests/test_cmd_certify.py`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from harness import engine as engine_module
from harness import train_step
from harness.agreement import evaluation_sizes
from harness.certify_probe import Request, observe
from harness.config import RunConfig
from harness.contender_specs import parse_specs
from harness.errors import UsageError
from harness.judging import judge
from harness.observed import Observed

BATCH = 16
CONFIG = RunConfig(dataset="digits", train_examples=64, global_batch_size=BATCH, seed=3)
CPU, MIRRORED = parse_specs("cpu,mirrored", gpus=0)


@pytest.fixture(autouse=True)
def tf32_as_before() -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    tf.config.experimental.enable_tensor_float_32_execution(enabled=before)


def seen(backbone: str, *, mirrored: bool, controls: int = 0) -> Observed:
    spec = MIRRORED if mirrored else CPU
    config = dataclasses.replace(
        CONFIG, backbone=backbone, strategy=spec.strategy, devices=spec.devices
    )
    return observe(Request(config=config, steps=4, controls=controls))


@functools.cache
def reference(backbone: str) -> Observed:
    return seen(backbone, mirrored=False, controls=2)


def disagreement(backbone: str) -> str | None:
    """Return the name of the first quantity that differs on two replicas."""
    contender = judge(MIRRORED, [seen(backbone, mirrored=True)], reference(backbone))
    assert contender.replicas == 2
    found = contender.disagreement
    return None if found is None else found.name


@pytest.mark.parametrize("backbone", ["nets:fused", "nets:dropping"])
def test_two_replicas_are_certified(backbone: str) -> None:
    assert disagreement(backbone) is None


def test_what_a_reference_holds() -> None:
    found = reference("nets:fused")
    assert found.path.losses.shape == (4,)
    assert found.path.averages.shape == (8,), "means and variances of 4 channels"
    assert found.path.outputs.shape == (BATCH, 14)
    assert {n: len(outputs) for n, outputs in found.evaluations.items()} == {
        n: n for n in evaluation_sizes(BATCH)
    }
    assert found.noise is not None
    assert found.noise.controls == 3, "two permuted, one compiled"
    assert 0 < found.noise.first["first gradient"] < 1e-3
    assert len(found.images) == len(found.train_s) == 3
    assert found.copies_apart == 0
    assert reference("nets:dropping").silenced == ("dropout",)


def summed_means(engine: Any, original: Callable[..., Any]) -> Any:
    """The loss of a replica is the mean of its own part."""
    each = SimpleNamespace(
        model=engine.model, forward=engine.forward, key=engine.key, layout=engine.layout,
        global_batch=engine.key.replica_batch, parts=engine.parts,
    )  # fmt: skip
    return original(each)


def reduced_twice(engine: Any, original: Callable[..., Any]) -> Any:
    gradients = original(engine)

    def doubled(*batch: Any) -> Any:
        sums, grads = gradients(*batch)
        replica = tf.distribute.get_replica_context()
        return sums, replica.all_reduce(tf.distribute.ReduceOp.SUM, grads)

    return doubled


@pytest.mark.parametrize("fault", [summed_means, reduced_twice])
def test_faults_of_the_gradient_are_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = train_step.gradient_function
    monkeypatch.setattr(
        train_step, "gradient_function", functools.partial(fault, original=original)
    )
    assert disagreement("nets:fused") == "first gradient norm"


def test_batch_statistics_of_each_replica_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "share_batches", lambda _model: None)
    assert disagreement("nets:fused") == "first loss"


def dropped(engine: Any, scenes: Any, original: Callable[..., Any]) -> list[Any]:
    whole = len(scenes.ids) // engine.global_batch * engine.global_batch
    return [part[:whole] for part in original(engine, scenes)]


def swapped(engine: Any, scenes: Any, original: Callable[..., Any]) -> list[Any]:
    """Parts of replicas in the wrong order."""
    half = engine.key.replica_batch
    order = np.arange(len(scenes.ids))
    if len(order) > BATCH:
        order[:BATCH] = np.roll(order[:BATCH], half)
    return [part[order] for part in original(engine, scenes)]


@pytest.mark.parametrize(
    ("fault", "name"),
    [(dropped, "count of 1 examples"), (swapped, f"outputs of {BATCH + 1} in order")],
)
def test_faults_of_evaluation_are_found(
    fault: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = engine_module.Engine.predict
    monkeypatch.setattr(
        engine_module.Engine, "predict", lambda engine, scenes: fault(engine, scenes, original)
    )
    assert disagreement("nets:fused") == name


def test_a_fault_that_shows_later_is_found_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    # Adam's second step of another size: nothing of the first steps knows of it.
    original = engine_module.Engine.train
    steps: list[int] = []

    def faulty(engine: Any, chunks: Any, *, objective: Any, **more: Any) -> Any:
        steps.append(1)
        if engine.layout.replicas == 2 and len(steps) == 3:  # the first compiles
            objective = dataclasses.replace(objective, learning_rate=objective.learning_rate * 2)
        return original(engine, chunks, objective=objective, **more)

    reference("nets:fused")
    monkeypatch.setattr(engine_module.Engine, "train", faulty)
    assert disagreement("nets:fused") == "loss path"


def test_replicas_that_drift_apart_are_found() -> None:
    found = seen("nets:fused", mirrored=True)
    for fault in (
        dataclasses.replace(found, copies_apart=1e-9),
        dataclasses.replace(found, copies_apart=float("nan")),
    ):
        disagreed = judge(MIRRORED, [fault], reference("nets:fused")).disagreement
        assert disagreed is not None
        assert disagreed.name == "copies on the replicas"
    spec = dataclasses.replace(MIRRORED, workers=1)
    other = dataclasses.replace(found, weights_digest="other")
    disagreed = judge(spec, [found, other], reference("nets:fused")).disagreement
    assert disagreed is not None
    assert disagreed.basis.endswith("1 of 2 workers hold others")


def test_chance_that_no_rate_switches_off_is_refused() -> None:
    with pytest.raises(UsageError, match="nets:restless must not draw at random with the rates"):
        reference("nets:restless")


def test_measurements_come_back_from_their_file(tmp_path: Any) -> None:
    found = reference("nets:fused")
    found.save(tmp_path / "seen.npz")
    back = Observed.load(tmp_path / "seen.npz")
    assert judge(CPU, [back], found).disagreement is None
    assert back.noise is not None
    assert found.noise is not None
    assert back.noise.first == found.noise.first
    assert (back.data, back.machine, back.images) == (found.data, found.machine, found.images)
