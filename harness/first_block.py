"""The first block of a small network, trained as one operation on a CPU.

A 3x3 convolution of one channel, its ReLU and 2x2 average pooling do little arithmetic with much
memory: in `notebook-cnn` on 75x75 pixels 1.5 of 21 MFLOP, but a quarter of the time of a step.
Taken together, the map between convolution and pooling, four times as large as what leaves the
block, need not be written and read again and again: XLA makes one loop of the forward pass and
one for each place of a pooling window on the way back, and the gradient of the kernel is a matrix
product. The formulas are those of the layers; only the order of sums differs.

What is trained so is the same network: its layers, weights, size and predictions are those of
Keras, and so is everything else that asks for them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.strategy import Layout
from harness.tf_keras import keras, tf

REPAID_STEPS = 500
"""Steps of a run from which on the block is trained as one: XLA takes 0.8 s to compile it, and
saves 3 ms in a step of 64 images."""

MOST_FILTERS = 32
"""Measured up to this number: a step is 1.06 times as fast with 8, 1.11 with 16 and with 32."""

_KERNEL = 3
_TAPS = tuple(itertools.product(range(_KERNEL), repeat=2))
"""Of the kernel: row and column."""

_PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Of a window of the pooling: row and column."""


def pays(config: RunConfig, layout: Layout, steps: int) -> bool:
    """Tell whether a run is on a device, and long enough, that it gains by it.

    Args:
        config: of the run.
        layout: the open strategy.
        steps: in an epoch.
    """
    return (
        layout.name == "cpu"
        and config.jit != "on"
        and config.precision == "float32"
        and steps * config.epochs >= REPAID_STEPS
    )


def training_forward(model: keras.Model, *, fused: bool) -> Callable[[Any], Any]:
    """Return the forward pass of training: from images to the model's outputs, in their order.

    Args:
        model: from float32 `[n, height, width, channels]`.
        fused: whether its first block shall be one, if it has such a block.
    """
    block = first_block(model) if fused else None
    if block is None:
        return functools.partial(model, training=True)
    convolution, pooling = block
    rest = keras.Model(pooling.output, model.outputs)

    def forward(images: Any) -> Any:
        kernel, bias = (tf.convert_to_tensor(v) for v in (convolution.kernel, convolution.bias))
        return rest(_convolved_and_pooled(images, kernel, bias), training=True)

    return forward


def first_block(model: keras.Model) -> tuple[keras.layers.Layer, keras.layers.Layer] | None:
    """Return convolution and pooling if a model begins with a block of this kind, else None."""
    layers = list(getattr(model, "operations", ()))[:3]
    kinds = keras.layers.InputLayer, keras.layers.Conv2D, keras.layers.AveragePooling2D
    if len(layers) < 3 or any(
        type(layer) is not kind  # a subclass may compute something else
        for layer, kind in zip(layers, kinds, strict=True)
    ):
        return None
    images, convolution, pooling = layers
    chain = _consumers(images) == [convolution] and _consumers(convolution) == [pooling]
    inside = all(output is not convolution.output for output in model.outputs)
    return (convolution, pooling) if chain and inside and _fits(convolution, pooling) else None


def _consumers(layer: keras.layers.Layer) -> list[keras.Operation]:
    return [node.operation for node in layer._outbound_nodes]  # noqa: SLF001 - Keras has no other


def _fits(convolution: keras.layers.Layer, pooling: keras.layers.Layer) -> bool:
    return (
        convolution.kernel.shape[:3] == (_KERNEL, _KERNEL, 1)
        and convolution.filters <= MOST_FILTERS
        and convolution.strides == convolution.dilation_rate == (1, 1)
        and convolution.padding == pooling.padding == "valid"
        and convolution.data_format == pooling.data_format == "channels_last"
        and convolution.use_bias
        and convolution.activation is keras.activations.relu
        and convolution.trainable
        and convolution.activity_regularizer is pooling.activity_regularizer is None
        and pooling.pool_size == pooling.strides == (2, 2)
        and convolution.compute_dtype == pooling.compute_dtype == "float32"
        and None not in convolution.output.shape[1:]
    )


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _convolved_and_pooled(images: Any, kernel: Any, bias: Any) -> Any:
    """Return float32 `[n, rows, columns, filters]`; no gradient flows to the images."""

    def gradient(upstream: Any) -> tuple[None, Any, Any]:
        *parts, patches = _backward(images, kernel, bias, upstream)
        products = [tf.matmul(patches, part, transpose_a=True) for part in parts]
        sums = tf.matmul(_OWN_TAPS, tf.concat(products, axis=0))
        return None, tf.reshape(sums[:-1], tf.shape(kernel)), sums[-1]

    return _forward(images, kernel, bias), gradient


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _forward(images: Any, kernel: Any, bias: Any) -> Any:
    windows = (tf.nn.relu(_sums(images, kernel, bias, place)) for place in _PLACES)
    return tf.add_n(list(windows)) / len(_PLACES)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _backward(images: Any, kernel: Any, bias: Any, upstream: Any) -> list[Any]:
    """Return the gradient of the sums at each place of a window, and patches of the images.

    Returns:
        Four times `[n * rows * columns, filters]`, in the order of `_PLACES`, then the 4x4 pixels
        under each window and a one, `[n * rows * columns, 17]`, in the order of `_OWN_TAPS`.
    """
    share, filters = upstream / len(_PLACES), kernel.shape[-1]
    # A sum is taken again rather than kept: it costs less than to read it.
    parts = [
        tf.where(_sums(images, kernel, bias, place) > 0, share, 0.0)  # no gradient at 0, as Keras
        for place in _PLACES
    ]
    return [*(tf.reshape(part, (-1, filters)) for part in parts), _patches(images)]


def _sums(images: Any, kernel: Any, bias: Any, place: tuple[int, int]) -> Any:
    """Return what the ReLU gets at one place of each window: `[n, rows, columns, filters]`."""
    rows, columns = _pooled(images)
    total = bias
    for row, column in _TAPS:
        top, left = place[0] + row, place[1] + column
        pixels = images[:, top : top + 2 * rows - 1 : 2, left : left + 2 * columns - 1 : 2]
        total = total + pixels * kernel[row, column, 0]
    return total


def _patches(images: Any) -> Any:
    rows, columns = _pooled(images)
    n = images.shape[0]
    # Two by two pixels at a time, which is what a patch moves by.
    blocks = tf.reshape(
        images[:, : 2 * rows + 2, : 2 * columns + 2], (n, rows + 1, 2, columns + 1, 2)
    )
    parts = []
    for down, right in _PLACES:
        some = blocks[:, down : down + rows, :, right : right + columns]
        parts.append(tf.reshape(tf.transpose(some, (0, 1, 3, 2, 4)), (-1, 4)))
    return tf.concat([*parts, tf.ones((n * rows * columns, 1))], axis=1)


def _pooled(images: Any) -> tuple[int, int]:
    """Return rows and columns of what leaves the block."""
    height, width = images.shape[1:3]
    return (height - _KERNEL + 1) // 2, (width - _KERNEL + 1) // 2


def _own_taps() -> NDArray[np.float32]:
    """Return which pixels of a patch the kernel meets at each place; float32 `[10, 4 * 17]`.

    Times the products of patches with gradients, one below the other, it is the gradient of the
    nine taps of the kernel, and of the bias.
    """
    order = [
        (2 * down + row, 2 * right + column) for down, right in _PLACES for row, column in _PLACES
    ]
    every = np.zeros((len(_TAPS) + 1, len(_PLACES), len(order) + 1), np.float32)
    for k, (down, right) in enumerate(_PLACES):
        for tap, (row, column) in enumerate(_TAPS):
            every[tap, k, order.index((down + row, right + column))] = 1
        every[-1, k, -1] = 1
    return every.reshape(len(every), -1)


_OWN_TAPS = _own_taps()
