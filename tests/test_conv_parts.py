"""Batch normalisation whose averages keep up with a short run, and the check of depth."""

from __future__ import annotations

from typing import Any

import conv_oracle
import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures.conv_parts import FusedBatchNorm, batch_norm, check_depth
from harness.errors import UsageError
from harness.strategy import open_layout


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


def both_ways(x: Any, parts: tuple[int, ...], dtype: str = "float32") -> list[list[Any]]:
    """Normalise x at once and in parts over two replicas.

    Returns:
        For each way output, gradients of x, gamma and beta, and both averages.
    """
    strategy = open_layout(strategy="mirrored", devices="cpu:0,cpu:1", threads=0).strategy
    seen = []
    for shared in (False, True):
        with strategy.scope():
            layer = FusedBatchNorm(momentum=0.5, epsilon=1e-5, synchronized=shared, dtype=dtype)
            layer.build(x.shape)

        def step(some: Any, layer: FusedBatchNorm = layer) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(some)
                y = layer(some, training=True)
                # Not the sum of squares, which does not depend on x once it is normalised.
                loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
            return y, *tape.gradient(loss, [some, layer.gamma.value, layer.beta.value])

        if shared:
            cut = tf.split(x, parts)
            spread = strategy.experimental_distribute_values_from_function(
                lambda context, cut=cut: cut[context.replica_id_in_sync_group]
            )
            local = strategy.experimental_local_results
            found = [local(value) for value in tf.function(strategy.run)(step, args=(spread,))]
            y, dx, dgamma, dbeta = [np.concatenate(found[0]), np.concatenate(found[1])] + [
                sum(np.asarray(part) for part in parts) for parts in found[2:]
            ]
        else:
            y, dx, dgamma, dbeta = tf.function(step)(x)
        averages = layer.moving_mean, layer.moving_variance
        for average in averages:
            copies = [
                np.asarray(copy) for copy in strategy.experimental_local_results(average.value)
            ]
            assert (copies[0] == copies[1]).all(), "replicas keep the same averages"
        seen.append([np.asarray(v, np.float32) for v in (y, dx, dgamma, dbeta, *averages)])
    return seen


@pytest.mark.parametrize("parts", [(4, 4), (3, 5)], ids=["halves", "unequal"])
def test_replicas_share_their_statistics(parts: tuple[int, ...]) -> None:
    # The means of the parts lie apart, so that statistics of their own would show.
    x = np.random.default_rng(2).normal(3, 2, (8, 2, 3, 4)).astype(np.float32)
    x[: parts[0]] += 1
    alone, shared = both_ways(tf.constant(x), parts)
    for one, other in zip(alone, shared, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-4)
    # Once from means of 0 and variances of 1, and Bessel's correction by all 8 * 2 * 3 values.
    assert shared[-2] == pytest.approx(x.mean((0, 1, 2)) / 2, rel=1e-5)
    assert shared[-1] == pytest.approx(0.5 + x.var((0, 1, 2)) * 48 / 47 / 2, rel=1e-5)


def test_a_variance_small_beside_its_mean_is_not_lost_between_replicas() -> None:
    # Mean 100 and deviation 0.01: in float32 the mean of the squares is 10,000 +- 5e-4, five
    # times the variance of 1e-4.
    x = (100 + 0.01 * np.random.default_rng(3).normal(size=(8, 2, 3, 4))).astype(np.float32)
    _, shared = both_ways(tf.constant(x), (4, 4))
    expected = x.astype(np.float64).var((0, 1, 2)) * 48 / 47
    assert (shared[-1] - 0.5) * 2 == pytest.approx(expected, abs=2e-6)
    assert shared[0].std() == pytest.approx(1, abs=0.06)  # 1e-5 beside 1e-4 under the root


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_shared_statistics_are_float32_in_half_precision(half: str) -> None:
    x = np.random.default_rng(4).normal(3, 2, (8, 2, 3, 4)).astype(np.float32)
    x = tf.cast(x, half)
    alone, shared = both_ways(x, (4, 4), f"mixed_{half}")
    exact = np.asarray(tf.cast(x, tf.float32))
    assert shared[-2] == pytest.approx(exact.mean((0, 1, 2)) / 2, rel=1e-5)
    assert shared[-1] == pytest.approx(0.5 + exact.var((0, 1, 2)) * 48 / 47 / 2, rel=1e-5)
    # bfloat16 has 8 bits, so that outputs of up to 3 are rounded to 1/64.
    assert shared[0] == pytest.approx(alone[0], abs=2**-6)


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
