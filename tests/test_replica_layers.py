"""Layers under two replicas: statistics of the whole batch, draws of their own, and XLA."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import model

from harness.certify_processes import observe
from harness.contender_specs import parse_specs
from harness.errors import UsageError
from harness.replica_layers import SEED_STEP, check_jit, random_layers, share_batches
from harness.strategy import open_layout

WIDTH = 64


class Noisy(keras.layers.Layer):
    """A layer of somebody's own, with a random layer as a part and a draw of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.layers.Dropout(0.5)
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x: Any, *, training: bool = False) -> Any:
        x = self.inner(x, training=training)
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds) if training else x


def drawing(make: Callable[[], Any], *, shared: bool = True) -> Any:
    """Return a function that gives both replicas' outputs on ones, and the state of the draws."""
    strategy = open_layout(strategy="mirrored", devices="cpu:0,cpu:1", threads=0).strategy
    with strategy.scope():
        keras.utils.set_random_seed(5)
        inputs = keras.Input((WIDTH,))
        net = keras.Model(inputs, make()(inputs))
    if shared:
        share_batches(net)
    ones = tf.ones((1, WIDTH))
    step = tf.function(lambda: strategy.run(lambda x: net(x, training=True), args=(ones,)))

    def draw() -> tuple[Any, Any, list[Any]]:
        one, two = (np.asarray(y) for y in strategy.experimental_local_results(step()))
        states = [
            strategy.experimental_local_results(v.value) for v in net.non_trainable_variables
        ]
        return one, two, [[copy.numpy().tolist() for copy in copies] for copies in states]

    return draw


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Dropout(0.5),
        lambda: keras.layers.GaussianNoise(1.0),
        Noisy,
        lambda: keras.Sequential([keras.layers.Dense(WIDTH), keras.layers.Dropout(0.5)]),
    ],
    ids=["dropout", "noise", "own", "nested"],
)
def test_replicas_draw_for_themselves_and_repeat_by_seed(make: Callable[[], Any]) -> None:
    draw, again = drawing(make), drawing(make)
    seen: list[Any] = []
    for _ in range(2):
        one, two, states = draw()
        assert not np.array_equal(one, two)
        assert all(copy == other for copy, other in states), "their counts of draws are the same"
        seen += [one, two]
        other_one, other_two, _ = again()
        assert np.array_equal(one, other_one)
        assert np.array_equal(two, other_two)
    assert len({array.tobytes() for array in seen}) == 4, "the second draw is no repetition"


def test_keras_alone_gives_all_replicas_the_same_draw() -> None:
    # If this fails, Keras does by itself what `share_batches` does.
    one, two, _ = drawing(lambda: keras.layers.Dropout(0.5), shared=False)()
    assert np.array_equal(one, two)


@pytest.mark.slow
def test_replicas_of_several_processes_follow_the_same_rule() -> None:
    _, workers = parse_specs("cpu,multiworker:2", gpus=0)
    seen = observe(workers, {}, gpus=[], probe="drawing_worker:tell")
    for count in range(2):
        for replica, worker in enumerate(seen):
            assert (worker.path.outputs[count] > 0).tolist() == kept_by_rule(replica, count)


def test_the_rule_of_the_seeds_is_the_documented_one() -> None:
    draw = drawing(lambda: keras.layers.Dropout(0.5, seed=11))
    for count in range(2):
        for replica, y in enumerate(draw()[:2]):
            assert (y[0] > 0).tolist() == kept_by_rule(replica, count)


def kept_by_rule(replica: int, count: int) -> list[bool]:
    """Return which of the features a replica keeps in its draw of that number, by seed 11."""
    seed = [(11 + replica * SEED_STEP) % (2**31 - 2), count]  # as Keras makes it 32 bits
    kept = np.asarray(tf.random.stateless_uniform((WIDTH,), seed)) >= 0.5
    return [bool(each) for each in kept]


def test_random_layers_are_found_however_deep() -> None:
    inputs = keras.Input((WIDTH,))
    inner = keras.Sequential([keras.layers.Dense(WIDTH), keras.layers.Dropout(0.5, name="in_row")])
    own = Noisy()
    net = keras.Model(inputs, own(inner(inputs)))
    found = {layer.name for layer in random_layers(net)}
    assert found == {"in_row", own.name, own.inner.name}
    assert list(random_layers(model("nets:nested", seed=0))) == []


def test_xla_cannot_share_statistics() -> None:
    net = model("nets:normalised", seed=0)
    with pytest.raises(UsageError, match=r"over 2 replicas needs them, and nets:normalised") as e:
        check_jit(net, name="nets:normalised", jit=True, replicas=2)
    assert re.search(r"has it \(batch_norm\w*\)\. Use --jit off\.$", str(e.value))
    check_jit(net, name="nets:normalised", jit=True, replicas=1)
    check_jit(net, name="nets:normalised", jit=False, replicas=2)
    check_jit(model("nets:dropping", seed=0), name="nets:dropping", jit=True, replicas=2)


def test_frozen_statistics_are_no_obstacle_to_xla() -> None:
    net = model("nets:normalised", seed=0)
    net.trainable = False
    check_jit(net, name="nets:normalised", jit=True, replicas=2)


def test_statistics_inside_other_layers_are_shared_too() -> None:
    inner = keras.layers.BatchNormalization()
    inputs = keras.Input((3, 4))
    net = keras.Model(inputs, keras.layers.TimeDistributed(inner)(inputs))
    share_batches(net)
    assert inner.synchronized
    with pytest.raises(UsageError, match="Use --jit off"):
        check_jit(net, name="own", jit=True, replicas=2)
