"""The fused update against Keras's own."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from harness.adam import FusedAdam

RATE = 1e-2


def test_the_updates_are_those_of_keras() -> None:
    generator = np.random.default_rng(0)
    shapes = [(3, 3, 1, 16), (16,), ()]
    start = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    ours, theirs = FusedAdam(RATE), keras.optimizers.Adam(RATE)
    weights = {}
    for optimizer in (ours, theirs):
        weights[optimizer] = [keras.Variable(value) for value in start]
        optimizer.build(weights[optimizer])
    for _ in range(50):
        gradients = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
        for optimizer in (ours, theirs):
            optimizer.apply([tf.constant(g) for g in gradients], weights[optimizer])
    for found, expected in zip(weights[ours], weights[theirs], strict=True):
        # 50 steps of at most RATE, each within 1e-5 of itself.
        np.testing.assert_allclose(np.array(found), np.array(expected), atol=50 * RATE * 1e-5)
    for found, expected in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(np.array(found), np.array(expected), rtol=2e-5, atol=1e-8)
