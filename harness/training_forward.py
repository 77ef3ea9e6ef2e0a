"""The forward pass of training: the layers of a network, without what costs time for nothing.

What no layer reads is left out (`harness.seen_part`), and a first block that can be is one
operation (`harness.first_block`). What is trained so is the same network: its layers, weights,
size and predictions are those of Keras, and so is everything else that asks for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from harness.first_block import as_one, first_block
from harness.seen_part import seen, window_layers
from harness.tf_keras import keras


def training_forward(model: keras.Model, *, fused: bool) -> Callable[[Any], Any]:
    """Return the forward pass of training: from images to the model's outputs, in their order.

    Args:
        model: from float32 `[n, height, width, channels]`.
        fused: whether its first block shall be one, if it has such a block.
    """
    layers = window_layers(model)
    part = seen(layers)
    block = first_block(layers) if fused else None
    if block is None and part is None:
        return functools.partial(model, training=True)
    steps = [as_one(block), *layers[2:]] if block else layers
    rest = keras.Model(layers[-1].output, model.outputs)
    rows, columns = part or layers[0].input.shape[1:3]

    def forward(images: Any) -> Any:
        values = images[:, :rows, :columns]
        for step in steps:
            values = step(values)
        return rest(values, training=True)

    return forward
