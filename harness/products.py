"""Multiply-adds of one TensorFlow operation, from its static shapes.

The convention is that of papers and of the usual counters (He et al. 2016, "Deep Residual Learning
for Image Recognition", table 1, "FLOPs (multiply-adds)"; fvcore's `FlopCountAnalysis`): only
convolutions and matrix products are counted, one product with its sum as one; biases, activations,
normalisation, pooling, resizing and element-wise work are not. Products with the zeros of padding
count like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Any


class Uncountable(Exception):
    """The multiply-adds of an operation cannot be read from the graph; the text says why."""


def multiply_adds(op: Any) -> int:
    """Return the multiply-adds of a `tf.Operation` that calls no function.

    Raises:
        Uncountable: a shape is unknown, or it is a kind of product without a rule here.
    """
    rule = _RULES.get(op.type)
    if rule is not None:
        return rule(op)
    if _UNKNOWN_PRODUCT.search(op.type):
        raise Uncountable(f"the products in a {op.type} operation cannot be counted")
    if _HIDDEN.search(op.type):
        raise Uncountable(f"a {op.type} operation hides its work from TensorFlow")
    return 0


def _convolution(op: Any) -> int:
    """Each output value sums kernel height x width x the input channels of its group.

    Strides, padding and dilation only change the number of output values. The kernel is
    `[height, width, input channels / groups, output channels]`, or longer with more dimensions.
    """
    return prod(_shape(op.outputs[0])) * prod(_shape(op.inputs[1])[:-1])


def _transposed_convolution(op: Any) -> int:
    """Each input value is spread over kernel height x width x output channels.

    The kernel is `[height, width, output channels, input channels]`; what falls outside the
    output is counted too, as padding is the other way round (and as fvcore does).
    """
    return prod(_shape(op.inputs[2])) * prod(_shape(op.inputs[1])[:-1])


def _depthwise(op: Any) -> int:
    """Each output value sums kernel height x width of one channel."""
    output = op.outputs[0]
    # A dilated one is taken apart into images side by side, filled up to equal size: what they
    # are put together to is what was asked for.
    for follower in output.consumers():
        if follower.type == "BatchToSpaceND":
            output = follower.outputs[0]
    return prod(_shape(output)) * prod(_shape(op.inputs[1])[:2])


def _matrix_product(op: Any) -> int:
    """Each output value is a sum over the columns of the first matrix (its rows if transposed)."""
    rows, columns = _shape(op.inputs[0])[-2:]
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return prod(_shape(op.outputs[0])) * (rows if transposed else columns)


def _einsum(op: Any) -> int:
    """One product for each combination of the labels that two tensors share or that come out.

    Without a sum over shared labels it is no matrix product but element-wise work or a transposed
    view. A label of one tensor alone that does not come out is summed before any product.
    """
    inputs, output = op.get_attr("equation").decode().replace(" ", "").split("->")
    terms = inputs.split(",")
    if len(terms) != 2:
        return 0  # TensorFlow splits longer equations into pairs
    lengths: dict[str, int] = {}
    labels = []
    for term, tensor in zip(terms, op.inputs, strict=True):
        shape = _shape(tensor)
        names = _einsum_labels(term, len(shape))
        labels.append(set(names))
        for name, length in zip(names, shape, strict=True):
            lengths[name] = max(length, lengths.get(name, 1))  # those of "..." may broadcast
    shared = labels[0] & labels[1]
    out = {name for name in labels[0] | labels[1] if name in output or name.isdigit()}
    return prod(lengths[name] for name in shared | out) if shared - out else 0


def _einsum_labels(term: str, rank: int) -> list[str]:
    """Return a name for each axis; those of "..." are numbered from the last."""
    before, dots, after = term.partition("...")
    if not dots:
        return list(term)
    hidden = rank - len(before) - len(after)
    return [*before, *(str(axis) for axis in reversed(range(hidden))), *after]


def _shape(tensor: Any) -> list[int]:
    lengths = tensor.shape.as_list() if tensor.shape.rank is not None else [None]
    if None in lengths:
        raise Uncountable("the shape of a product's tensor is only known when it runs")
    return list(lengths)


_RULES: dict[str, Callable[[Any], int]] = {
    "Conv": _convolution,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _matrix_product,
    "BatchMatMul": _matrix_product,
    "BatchMatMulV2": _matrix_product,
    "BatchMatMulV3": _matrix_product,
    "Einsum": _einsum,
}

_UNKNOWN_PRODUCT = re.compile(
    r"Conv(?!ert)|Mat[Mm]ul|Einsum|Dot|RNN|GRU|LSTM|Attention|FFT|Cholesky|Solve|Svd|Qr$|Eig"
    r"|Determinant|Matrix(Inverse|Exponential|Logarithm|SquareRoot)"
)
"""Words in the names of other operations (`dir(tf.raw_ops)`) that multiply matrices."""

_HIDDEN = re.compile(r"PyFunc|XlaCallModule|RemoteCall|CustomCall")
"""Operations whose work is Python's, or compiled elsewhere (JAX)."""
