"""A first block trained as one: the numbers of Keras's layers, where a network has such."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import pytest
from nets import cut, gradients, plan, scenes

from architectures import registry
from harness import first_block
from harness.config import RunConfig
from harness.engine import Engine, EngineKey, Objective
from harness.first_block import pays
from harness.seen_part import window_layers
from harness.strategy import Layout, open_layout
from harness.training_forward import training_forward

BATCH = 48
OBJECTIVE = Objective(learning_rate=1e-3, class_weight=1.0, box_weight=1.0)

LOSS_PATH = 2e-5
"""Relative, as between shards in `test_shards`: sums are taken in another order."""


def first(net: keras.Model) -> Any:
    return first_block.first_block(window_layers(net))


def model(
    shape: tuple[int, int, int] = (20, 23, 1), *, pooling: Any = None, twice: bool = False,
    seen: bool = False, beside: bool = False, kind: Any = keras.layers.Conv2D, **convolution: Any,
) -> keras.Model:  # fmt: skip
    """Return a network that begins with such a block, but for what is changed."""
    settings = {"filters": 16, "kernel_size": 3, "activation": "relu"} | convolution
    inputs = keras.Input(shape)
    x = kind(**settings, bias_initializer="random_normal")(inputs)
    y = (pooling or keras.layers.AveragePooling2D(2))(x)
    outputs = [keras.layers.Flatten()(y)]
    if twice:
        outputs.append(keras.layers.GlobalMaxPooling2D()(x))
    if beside:
        outputs.append(keras.layers.GlobalMaxPooling2D()(inputs))
    return keras.Model(inputs, [*outputs, x] if seen else outputs)


@pytest.mark.parametrize("filters", [16, 19, 32])
@pytest.mark.parametrize("shape", [(4, 4, 1), (5, 5, 1), (20, 23, 1), (25, 20, 1), (75, 75, 1)])
def test_outputs_and_gradients_are_those_of_the_layers(
    shape: tuple[int, int, int], filters: int
) -> None:
    keras.utils.set_random_seed(3)
    net = model(shape, filters=filters)
    images = np.random.default_rng(1).random((7, *shape), np.float32)
    wanted = gradients(functools.partial(net, training=True), images, net.trainable_variables)
    assert first(net)
    fused = training_forward(net, fused=True)
    for one, other in zip(gradients(fused, images, net.trainable_variables), wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


def test_no_gradient_flows_where_the_relu_gets_zero() -> None:
    net = model()
    first(net).bias.assign(np.array(4 * [0, 0.5, -0.5, 1], np.float32))
    black = np.zeros((2, 20, 23, 1), np.float32)
    for forward in (functools.partial(net, training=True), training_forward(net, fused=True)):
        _, kernel, bias = gradients(forward, black, net.trainable_variables)
        assert not kernel.any()
        assert list(bias != 0) == 4 * [False, True, False, True]


def test_what_is_no_number_stays_so() -> None:
    net = model()
    images = np.full((1, 20, 23, 1), np.nan, np.float32)
    assert np.isnan(training_forward(net, fused=True)(images)[0]).all()


class Louder(keras.layers.Conv2D):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (20, 23, 3)},
        {"shape": (None, None, 1), "pooling": keras.layers.AveragePooling2D(2)},
        {"filters": 15},
        {"filters": 33},
        {"kernel_size": 5},
        {"strides": 2},
        {"dilation_rate": 2},
        {"padding": "same"},
        {"use_bias": False},
        {"activation": "gelu"},
        {"activation": None},
        {"trainable": False},
        {"activity_regularizer": "l2"},
        {"dtype": "mixed_bfloat16"},
        {"kind": Louder},
        {"kind": keras.layers.SeparableConv2D},
        {"pooling": keras.layers.MaxPooling2D(2)},
        {"pooling": keras.layers.AveragePooling2D(3)},
        {"pooling": keras.layers.AveragePooling2D(2, strides=1)},
        {"pooling": keras.layers.AveragePooling2D(2, padding="same")},
        {"twice": True},
        {"seen": True},
        {"beside": True},
        {"pooling": keras.layers.AveragePooling2D(2, activity_regularizer="l2")},
    ],
    ids=str,
)
def test_any_other_block_is_left_to_its_layers(changes: dict[str, Any]) -> None:
    if None in changes.get("shape", ()):
        inputs = keras.Input(changes["shape"])
        x = keras.layers.Conv2D(5, 3, activation="relu")(inputs)
        net = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(changes["pooling"](x)))
    else:
        net = model(**changes)
    assert first(net) is None


def test_a_network_may_be_smaller_than_such_a_block() -> None:
    inputs = keras.Input((4, 4, 1))
    assert first(keras.Model(inputs, keras.layers.Flatten()(inputs))) is None
    assert first(keras.Sequential([keras.layers.Flatten()])) is None


@functools.cache
def engine(*, fused: bool, jit: bool = False, shards: int = 1) -> Engine:
    layout = dataclasses.replace(open_layout(strategy="cpu", devices="", threads=0), shards=shards)
    blueprint = plan("notebook-cnn")
    key = EngineKey(
        blueprint=blueprint, replica_batch=BATCH, steps_per_call=2, jit=jit, fused=fused
    )
    return Engine(key, layout)


def path(tested: Engine, steps: int = 20) -> list[dict[str, float]]:
    tested.reset(7)
    chunks = cut(scenes(BATCH * steps), *range(0, BATCH * steps + 1, BATCH))
    return [tested.train([chunk], objective=OBJECTIVE).metrics for chunk in chunks]


@pytest.mark.parametrize("shards", [1, 2])
def test_training_takes_the_same_path(shards: int) -> None:
    tested = engine(fused=True, shards=shards)
    assert len(tested.parts) == shards
    found, wanted = path(tested), path(engine(fused=False))
    assert found[0] == pytest.approx(wanted[0], rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=LOSS_PATH)
    assert found == path(tested)  # and repeats bit by bit


def test_everything_else_is_that_of_the_network() -> None:
    tested, plain = engine(fused=True), engine(fused=False)
    assert tested.facts == plain.facts
    assert tested.weight_names() == plain.weight_names()
    for one in (tested, plain):
        one.reset(7)
    some = scenes(50)
    for one, other in zip(tested.predict(some), plain.predict(some), strict=True):
        assert one.tobytes() == other.tobytes()


def test_only_such_a_block_is_trained_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []

    def noted(convolution: Any) -> Any:
        taken.append(convolution)
        return first_block.as_one(convolution)

    monkeypatch.setattr("harness.training_forward.as_one", noted)
    for net in (model(), model(pooling=keras.layers.MaxPooling2D(2))):
        training_forward(net, fused=False)
        training_forward(net, fused=True)
        assert taken == [block for block in [first(net)] if block]
        taken.clear()
    for fused, jit in ((True, True), (False, False)):  # XLA gets the layers
        engine.__wrapped__(fused=fused, jit=jit)
        assert not taken
    engine.__wrapped__(fused=True)
    assert len(taken) == 1


CPU = Layout(strategy=None, name="cpu", devices=("cpu:0",), why="")


@pytest.mark.parametrize(
    ("config", "name", "steps", "wanted"),
    [
        (RunConfig(epochs=2), "cpu", 250, True),
        (RunConfig(epochs=2), "cpu", 249, False),
        (RunConfig(epochs=2), "mirrored", 250, False),
        (RunConfig(epochs=2), "gpu", 250, False),
        (RunConfig(epochs=2, jit="on"), "cpu", 250, False),
        (RunConfig(epochs=2, jit="auto"), "cpu", 250, True),
        (RunConfig(epochs=2, precision="mixed_bfloat16"), "cpu", 250, False),
    ],
)
def test_long_runs_on_a_cpu_gain_by_it(
    config: RunConfig, name: str, steps: int, wanted: bool
) -> None:
    assert pays(config, dataclasses.replace(CPU, name=name), steps) is wanted


def test_the_networks_of_the_house_that_begin_so() -> None:
    def begins_so(name: str) -> bool:
        return first(registry.get(name)((75, 75, 1))) is not None

    assert begins_so("notebook-cnn")
    assert not begins_so("readme-cnn")  # max pooling
    assert not begins_so("patch-s")
