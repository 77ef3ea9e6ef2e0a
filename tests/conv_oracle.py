"""Convolutions and norms in plain NumPy, and what docstring tables claim of a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Row = tuple[str, int, int]

# Float32 sums of some hundred products against float64 ones.
TOLERANCE = 1e-4


def windows(x: Array, kernel: int, stride: int) -> Array:
    """Return what a kernel sees at each place under TensorFlow's "same" padding.

    From `[n, h, w, c]` to `[n, ceil(h / stride), ceil(w / stride), kernel, kernel, c]`. Of an odd
    number of padded rows the larger part lies below.
    """
    sizes = [-(-side // stride) for side in x.shape[1:3]]
    pads = [
        max((size - 1) * stride + kernel - side, 0)
        for size, side in zip(sizes, x.shape[1:3], strict=True)
    ]
    padded = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)])
    seen = np.empty((len(x), *sizes, kernel, kernel, x.shape[3]))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * stride, j * stride
            seen[:, i, j] = padded[:, top : top + kernel, left : left + kernel]
    return seen


def conv(x: Array, weights: Array, stride: int = 1) -> Array:
    """Convolve with `[kernel, kernel, channels in, channels out]`."""
    return np.einsum("nijabc,abco->nijo", windows(x, weights.shape[0], stride), weights)


def depthwise(x: Array, weights: Array, stride: int = 1) -> Array:
    """Convolve each channel alone, with `[kernel, kernel, channels, 1]`."""
    return np.einsum("nijabc,abc->nijc", windows(x, weights.shape[0], stride), weights[..., 0])


def batch_norm(x: Array, weights: list[Array]) -> Array:
    """Apply gamma, beta and the running mean and variance."""
    gamma, beta, mean, variance = weights
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def block(
    shape: tuple[int, int, int], build: Callable[[Any], Any], seed: int = 0
) -> tuple[dict[str, list[Array]], Array, Array]:
    """Run a block on noise with noise for weights.

    Returns:
        Its weights by the names of its layers, the input and the output.
    """
    inputs = keras.Input(shape)
    model = keras.Model(inputs, build(inputs))
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        # Above 0, since some are variances.
        weight.assign(rng.uniform(0.1, 1, weight.shape) * (-1 if _may_be_negative(weight) else 1))
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    weights = {
        layer.name: [keras.ops.convert_to_numpy(w).astype(float) for w in layer.weights]
        for layer in model.layers
    }
    output = keras.ops.convert_to_numpy(model(x, training=False)).astype(float)
    return weights, x.astype(float), output


def _may_be_negative(weight: Any) -> bool:
    return weight.name in ("beta", "moving_mean", "bias")


def documented(function: Callable[..., object]) -> list[Row]:
    """Return (output, parameters, multiply-adds) of each row of a docstring's table."""
    rows = re.findall(r"^ *\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", function.__doc__ or "", re.M)
    number = [
        [int(cell.replace(",", "") or 0) for cell in map(str.strip, r[2:])] for r in rows[2:]
    ]
    return [(r[1].strip(), *n) for r, n in zip(rows[2:], number, strict=True)]


def counted(model: keras.Model) -> list[Row]:
    """Return the same of a model, its layers taken together by the start of their names."""
    parts = groupby(model.layers[1:], lambda layer: re.match(r"[a-z]+(_\d+)?", layer.name)[0])
    return [_row(list(layers)) for _, layers in parts]


def _row(layers: list[Any]) -> Row:
    shape = "x".join(str(side) for side in layers[-1].output.shape[1:])
    return shape, sum(layer.count_params() for layer in layers), sum(map(_multiply_adds, layers))


def _multiply_adds(layer: Any) -> int:
    """Return one for each weight of a kernel, at each place that it is applied to."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    return int(np.prod(kernel.shape) * np.prod(layer.output.shape[1:-1], dtype=int))
