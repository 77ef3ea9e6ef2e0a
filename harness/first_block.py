"""The first block of a small network, trained as one operation on a CPU.

A 3x3 convolution of one channel, its ReLU and 2x2 average pooling do little arithmetic with much
memory: in `notebook-cnn` on 75x75 pixels 1.5 of 21 MFLOP, but a quarter of the time of a step.
Taken together, the map between convolution and pooling, four times as large as what leaves the
block, need not be written and read again and again: XLA makes one loop of the forward pass, and on
the way back works on a few rows at a time, which stay in the cache of a core. The formulas are
those of the layers; only the order of sums differs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from harness.config import RunConfig
from harness.strategy import Layout
from harness.tf_keras import keras, tf

REPAID_STEPS = 500
"""Steps of a run from which on the block is trained as one: XLA takes 0.8 s to compile it, and
saves 3 to 4 ms in a step of 64 images."""

LEAST_FILTERS, MOST_FILTERS = 16, 32
"""Measured with both: a step is 1.1 to 1.15 times as fast. With 8 it is not."""

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


def first_block(layers: Sequence[keras.layers.Layer]) -> keras.layers.Layer | None:
    """Return the convolution if a model begins with a block of this kind, else None.

    Args:
        layers: as `harness.seen_part.window_layers` returns them; the second one is the pooling.
    """
    kinds = keras.layers.Conv2D, keras.layers.AveragePooling2D
    if tuple(type(layer) for layer in layers[:2]) != kinds:
        return None
    convolution, pooling = layers[:2]
    return convolution if _fits(convolution, pooling) else None


def as_one(convolution: keras.layers.Layer) -> Callable[[Any], Any]:
    """Return the block of what `first_block` found, of float32 images `[n, height, width, 1]`."""

    def block(images: Any) -> Any:
        kernel, bias = (tf.convert_to_tensor(v) for v in (convolution.kernel, convolution.bias))
        return _convolved_and_pooled(images, kernel, bias)

    return block


def _fits(convolution: keras.layers.Layer, pooling: keras.layers.Layer) -> bool:
    return (
        convolution.kernel.shape[:3] == (_KERNEL, _KERNEL, 1)
        and LEAST_FILTERS <= convolution.filters <= MOST_FILTERS
        and convolution.strides == convolution.dilation_rate == (1, 1)
        and convolution.use_bias
        and convolution.activation is keras.activations.relu
        and convolution.trainable
        and pooling.pool_size == pooling.strides == (2, 2)
        and convolution.compute_dtype == pooling.compute_dtype == "float32"
    )


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _convolved_and_pooled(images: Any, kernel: Any, bias: Any) -> Any:
    """Return float32 `[n, rows, columns, filters]`; no gradient flows to the images."""

    def gradient(upstream: Any) -> tuple[None, Any, Any]:
        return None, *_backward(images, kernel, bias, upstream)

    return _forward(images, kernel, bias), gradient


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _forward(images: Any, kernel: Any, bias: Any) -> Any:
    windows = (tf.nn.relu(_sums(images, kernel, bias, place)) for place in _PLACES)
    return tf.add_n(list(windows)) / len(_PLACES)


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _backward(images: Any, kernel: Any, bias: Any, upstream: Any) -> tuple[Any, Any]:
    """Return the gradients of kernel and bias.

    XLA's own matrix product would be no help: those of two shards wait for each other.
    """
    n, rows, columns, filters = upstream.shape
    some = _rows_at_once(rows)
    blocks = -(-rows // some)
    shifted = _shifted(images, rows, columns)
    if more := blocks * some - rows:  # rows that nothing flows back from
        shifted = tf.pad(shifted, ((0, 0), (0, 2 * more), (0, 0), (0, 0)))
        upstream = tf.pad(upstream, ((0, 0), (0, more), (0, 0), (0, 0)))

    def add_block(block: Any, of_kernel: Any, of_bias: Any) -> tuple[Any, Any, Any]:
        image, row = block // blocks, block % blocks * some
        pixels = tf.slice(shifted, (image, 2 * row, 0, 0), (1, 2 * some + 2, 4, columns))[0]
        share = tf.slice(upstream, (image, row, 0, 0), (1, some, columns, filters))[0]
        flowing = _flowing(pixels, kernel, bias, share)
        for down, right in itertools.product(range(2 * some), range(2)):
            met = pixels[down : down + _KERNEL, right : right + _KERNEL, :, tf.newaxis]
            of_kernel += met * flowing[down, right]
            of_bias += flowing[down, right]
        return block + 1, of_kernel, of_bias

    # By column, so that the sums are taken in vectors; those of the columns come last.
    nothing = tf.zeros((_KERNEL, _KERNEL, columns, filters)), tf.zeros((columns, filters))
    _, of_kernel, of_bias = tf.while_loop(
        lambda block, *_: block < n * blocks, add_block, (tf.constant(0), *nothing)
    )
    return (
        tf.reduce_sum(of_kernel, 2)[:, :, tf.newaxis] / len(_PLACES),
        tf.reduce_sum(of_bias, 0) / len(_PLACES),
    )


def _rows_at_once(rows: int) -> int:
    """Return how many rows make a block: six, or about that if it leaves fewer over.

    Of fewer than four, XLA would take the sums of `_flowing` again for each tap of the kernel.
    """
    return min((6, 7, 5, 8, 4, 9), key=lambda some: -rows % some) if rows > 9 else rows


def _shifted(images: Any, rows: int, columns: int) -> Any:
    """Return every other pixel of a line from its first, second, third and fourth on.

    Returns:
        `[n, 2 * rows + 2, 4, columns]`.
    """
    lines = images[:, : 2 * rows + 2, :, 0]
    return tf.stack([lines[:, :, k : k + 2 * columns - 1 : 2] for k in range(4)], axis=2)


def _flowing(pixels: Any, kernel: Any, bias: Any, share: Any) -> Any:
    """Return what flows back through the ReLU at each place of a block.

    A sum is taken again rather than kept: it costs less than to read it.

    Args:
        pixels: those of the block, as `_shifted` returns them, `[2 * rows + 2, 4, columns]`.
        kernel: of the convolution.
        bias: likewise.
        share: what flows back to each window, `[rows, columns, filters]`.

    Returns:
        `[2 * rows, 2, columns, filters]`: by line, and by column of a window.
    """
    rows, columns, filters = share.shape
    sums = bias
    for row, column in _TAPS:
        met = pixels[row : row + 2 * rows, column : column + 2, :, tf.newaxis]
        sums = sums + met * kernel[row, column, 0]
    spread = tf.broadcast_to(share[:, tf.newaxis, tf.newaxis], (rows, 2, 2, columns, filters))
    # No gradient at 0, as Keras.
    return tf.where(sums > 0, tf.reshape(spread, (2 * rows, 2, columns, filters)), 0.0)


def _sums(images: Any, kernel: Any, bias: Any, place: tuple[int, int]) -> Any:
    """Return what the ReLU gets at one place of each window: `[n, rows, columns, filters]`."""
    rows, columns = _pooled(images)
    total = bias
    for row, column in _TAPS:
        top, left = place[0] + row, place[1] + column
        pixels = images[:, top : top + 2 * rows - 1 : 2, left : left + 2 * columns - 1 : 2]
        total = total + pixels * kernel[row, column, 0]
    return total


def _pooled(images: Any) -> tuple[int, int]:
    """Return rows and columns of what leaves the block."""
    height, width = images.shape[1:3]
    return (height - _KERNEL + 1) // 2, (width - _KERNEL + 1) // 2
