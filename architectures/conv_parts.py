"""What the convolutional families share: convolutions, batch normalisation, a check of depth."""

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

    With `synchronized=True`, as Keras's own layer has it, replicas take the statistics of the
    batch that they share: what one device computes, and averages that are equal on all of them.
    XLA cannot compile that. Statistics are float32 in every precision.

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
        replica = tf.distribute.get_replica_context()
        if self.synchronized and replica is not None and replica.num_replicas_in_sync > 1:
            y, batch_mean, batch_variance = _shared(inputs, gamma, beta, self.epsilon, replica)
        else:
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


def _shared(x: Any, gamma: Any, beta: Any, epsilon: float, replica: Any) -> Any:
    """Return (y, mean, variance) by the statistics of all replicas' x; gradients flow through.

    The squares are taken around the common mean: E(x^2) - E(x)^2 would lose the digits of a
    variance that is small beside its mean. The variance returned has Bessel's correction, by the
    number of values on all replicas, as that of `_fused`.
    """
    values = tf.cast(x, tf.float32)
    count = tf.cast(tf.size(values) / tf.shape(values)[-1], tf.float32)

    def total(local: Any) -> Any:
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, local)

    sums = total(tf.concat([tf.reduce_sum(values, [0, 1, 2]), [count]], 0))
    count = tf.stop_gradient(sums[-1])
    mean = sums[:-1] / count
    # The squares are least around the mean: no gradient comes through it from here.
    squares = tf.math.squared_difference(values, tf.stop_gradient(mean))
    variance = total(tf.reduce_sum(squares, [0, 1, 2])) / count
    y = tf.nn.batch_normalization(values, mean, variance, beta, gamma, epsilon)
    corrected = variance * (count / tf.maximum(count - 1.0, 1.0))
    return tf.cast(y, x.dtype), mean, corrected


def batch_norm(x: Any, name: str) -> Any:
    """Return the batch normalisation of a map, by a new layer of this name.

    Args:
        x: float `[n, rows, columns, channels]`.
        name: name of the layer.
    """
    return FusedBatchNorm(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)


def conv(x: Any, channels: int, kernel: int = 1, stride: int = 1, *, name: str) -> Any:
    """Return a convolution without bias, of which a batch normalisation would take the mean.

    Its first weights suit ReLU: He et al. 2015 (Delving Deep into Rectifiers, section 2.2).

    Args:
        x: float `[n, rows, columns, any]`.
        channels: that the map has afterwards.
        kernel: rows and columns of the kernel; the map is padded with zeros.
        stride: by which rows and columns shrink, rounded up.
        name: name of the layer.
    """
    return keras.layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False,
        kernel_initializer="he_normal", name=name,
    )(x)  # fmt: skip


def norm_relu(x: Any, name: str) -> Any:
    """Return ReLU(batch_norm(x)), by layers called `NAME_norm` and `NAME_relu`."""
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(x, f"{name}_norm"))


def check_depth(depth: int) -> int:
    """Return the number of blocks per stage.

    Raises:
        UsageError: it is below 1.
    """
    if not depth >= 1:
        raise UsageError(f"`depth` must be at least 1 block per stage, got {depth!r}.")
    return depth
