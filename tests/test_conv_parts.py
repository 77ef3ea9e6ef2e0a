"""Batch normalisation whose averages keep up with a short run, and the check of depth."""

from __future__ import annotations

import conv_oracle
import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures.conv_parts import batch_norm, check_depth
from harness.errors import UsageError


def normalising() -> keras.Model:
    inputs = keras.Input((2, 3, 4))
    return keras.Model(inputs, batch_norm(inputs, "norm"))


def test_in_training_it_is_the_formula_of_the_batch() -> None:
    x = np.random.default_rng(0).normal(3, 2, (5, 2, 3, 4)).astype(np.float32)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    weights = [np.ones(4), np.zeros(4), mean, variance]
    y = np.asarray(normalising()(x, training=True))
    assert y == pytest.approx(conv_oracle.batch_norm(x, weights), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_same_as_that_of_keras(training: bool) -> None:
    ours, theirs = normalising().get_layer("norm"), keras.layers.BatchNormalization(epsilon=1e-5)
    rng = np.random.default_rng(1)
    x = tf.constant(rng.normal(3, 2, (5, 2, 3, 4)), tf.float32)
    seen = []
    for layer in (ours, theirs):
        layer(x)
        layer.set_weights([rng.uniform(0.5, 2, 4) for rng in map(np.random.default_rng, range(4))])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y**3)
        seen.append([y, *tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])])
    for one, other in zip(*seen, strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(other), rel=1e-3, abs=1e-3)


def test_frozen_it_leaves_its_averages_alone() -> None:
    layer = normalising().get_layer("norm")
    layer.trainable = False
    x = np.full((1, 2, 3, 4), 5, np.float32)
    y = np.asarray(layer(x, training=True))
    assert (np.asarray(layer.moving_mean.value) == 0).all()
    assert y == pytest.approx(x, rel=1e-4)


def test_its_averages_keep_up_with_a_short_training() -> None:
    # After k batches of mean m the average is (1 - 0.9^k) m: 22 are 90 % there. With Keras's own
    # 0.99 it would be 20 %.
    model = normalising()
    for _ in range(22):
        model(np.full((1, 2, 3, 4), 5, np.float32), training=True)
    mean = np.asarray(model.get_layer("norm").moving_mean.value)
    assert mean == pytest.approx(np.full(4, 5 * (1 - 0.9**22)), rel=1e-5)
    assert (mean > 4.5).all()


def test_it_has_four_numbers_per_channel_of_which_two_are_trained() -> None:
    model = normalising()
    assert model.count_params() == 4 * 4
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 2 * 4


def test_depth_of_at_least_one_passes() -> None:
    assert [check_depth(depth) for depth in (1, 7)] == [1, 7]


@pytest.mark.parametrize("depth", [0, -3])
def test_less_depth_is_refused(depth: int) -> None:
    with pytest.raises(UsageError, match=f"at least 1 block per stage, got {depth}"):
        check_depth(depth)
