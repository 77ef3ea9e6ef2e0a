"""How much of an image a network looks at.

Convolutions and poolings without padding leave over what no whole window covers. Layer after layer
that adds up: of 75 rows and columns `notebook-cnn` sees 70. Yet its layers work on all of them, an
eighth of their arithmetic for values that nothing reads. On the seen part of an image they give
the same features: every value that is read is the same sum of the same products.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.tf_keras import keras

_KINDS = keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D

_EACH_ALONE = (
    keras.activations.linear, keras.activations.relu, keras.activations.gelu,
    keras.activations.silu,
)  # fmt: skip
"""Activations that look at each value alone, as others may not."""


def window_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that a model begins with while each looks at windows without padding.

    Each of them is all that reads the one before it.
    """
    operations = getattr(model, "operations", ())
    found: list[keras.layers.Layer] = []
    if not operations or len(model.inputs) != 1:
        return found
    layer = operations[0]
    while all(layer.output is not output for output in model.outputs):
        readers = _readers(layer)
        if len(readers) != 1 or not _looks_at_windows(readers[0]):
            break
        (layer,) = readers
        found.append(layer)
    return found


def _looks_at_windows(layer: keras.Operation) -> bool:
    return (
        type(layer) in _KINDS
        and len(layer._inbound_nodes) == 1  # noqa: SLF001 - it is nowhere else
        and layer.padding == "valid"
        and layer.data_format == "channels_last"
        and layer.activity_regularizer is None
        and getattr(layer, "activation", keras.activations.linear) in _EACH_ALONE
        and None not in layer.output.shape[1:]
    )


def _readers(layer: keras.layers.Layer) -> list[keras.Operation]:
    """Return what reads a layer's output, in order."""
    return [node.operation for node in layer._outbound_nodes]  # noqa: SLF001 - Keras has no other


def seen(layers: Sequence[keras.layers.Layer]) -> tuple[int, int] | None:
    """Return the rows and columns, from the first, that the last of some layers sees.

    Args:
        layers: as `window_layers` returns them.

    Returns:
        None if the layers work on no more than that.
    """
    if not layers:
        return None
    needed = layers[-1].output.shape[1:3]
    saves = False
    for layer in reversed(layers):
        saves |= layer.output.shape[1:3] != needed
        needed = tuple(map(_reached, needed, *_windows(layer)))
    return needed if saves else None


def _windows(layer: keras.layers.Layer) -> tuple[Sequence[int], ...]:
    """Return size, step and spacing of a layer's windows, each by row and column."""
    if isinstance(layer, keras.layers.Conv2D):
        return layer.kernel_size, layer.strides, layer.dilation_rate
    return layer.pool_size, layer.strides, (1, 1)


def _reached(windows: int, size: int, step: int, spacing: int) -> int:
    return (windows - 1) * step + (size - 1) * spacing + 1
