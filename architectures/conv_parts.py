"""What the convolutional families share: batch normalisation for short runs, a check of depth."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from harness.errors import UsageError

# Keras's own 0.99 remembers a hundred steps: after an epoch of a few hundred its averages still
# hold weights of long ago, and the network that is evaluated is not the one that was trained.
# The last ten steps of 64 scenes are average enough.
MOMENTUM = 0.9

# As in the papers' own programs. Keras's 1e-3 is not small beside the variance of what a stem
# makes of a mostly black canvas.
EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="bench")
class FusedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]  # Keras has no types
    r"""Normalise each channel over the batch and the places; learn its scale and offset.

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta

    In training, mean and variance are those of the batch, afterwards their running averages.
    Keras 3 writes the formula out in a dozen passes over the map; this is one operation of
    TensorFlow, 2 to 3 times as fast on a CPU, where normalisation costs more than convolutions.

    Each replica takes the statistics of its own images: the same global batch on two devices is
    normalised in two halves, so their losses differ a little from those of one device. (Keras's
    `synchronized` statistics cannot be compiled by XLA on several devices.)

    Input and output: float `[n, rows, columns, channels]`. Its 4 x channels parameters are gamma,
    beta (both trainable) and the two averages; that of the variance has Bessel's correction.

    Source: Ioffe and Szegedy 2015 (Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift, algorithms 1 and 2).
    """

    def call(self, inputs: Any, *, training: bool | None = None) -> Any:
        """Return the normalised map, and in training move the averages."""
        gamma, beta, mean, variance = (
            tf.convert_to_tensor(weight)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if not (training and self.trainable):
            return _fused(inputs, gamma, beta, mean, variance, self.epsilon)[0]
        y, batch_mean, batch_variance = _fused(inputs, gamma, beta, None, None, self.epsilon)
        old, new = self.momentum, 1 - self.momentum
        self.moving_mean.assign(old * mean + new * batch_mean)
        self.moving_variance.assign(old * variance + new * batch_variance)
        return y


def _fused(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float) -> Any:
    """Return (y, mean, variance); by the statistics of x unless there are others."""
    return tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, mean, variance, epsilon=epsilon, is_training=mean is None
    )


def batch_norm(x: Any, name: str) -> Any:
    """Return the batch normalisation of a map, by a new layer of this name.

    Args:
        x: float `[n, rows, columns, channels]`.
        name: name of the layer.
    """
    return FusedBatchNorm(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)


def check_depth(depth: int) -> int:
    """Return the number of blocks per stage.

    Raises:
        UsageError: it is below 1.
    """
    if not depth >= 1:
        raise UsageError(f"`depth` must be at least 1 block per stage, got {depth!r}.")
    return depth
