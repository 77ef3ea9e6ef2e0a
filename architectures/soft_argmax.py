"""Layers of the spatial head: attention over a feature map, and boxes from centre and size."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bench")
class SoftArgmax(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Mean of features and of places under a spatial softmax.

    Inputs: features float `[n, rows, columns, channels]` and logits float `[n, rows, columns, 1]`.
    Outputs: the features' mean, float `[n, channels]`, and the place, float `[n, 2]`: x and y as
    fractions of the map's width and height, where the cell in row i and column j lies at
    `((j + 1/2) / columns, (i + 1/2) / rows)`.
    """

    def call(self, inputs: list[Any]) -> list[Any]:
        """Return (mean features, place)."""
        features, logits = inputs
        _, rows, columns, channels = features.shape
        attention = ops.softmax(ops.reshape(logits, (-1, 1, rows * columns)), axis=-1)
        flat = ops.reshape(features, (-1, rows * columns, channels))
        mean = ops.squeeze(ops.matmul(attention, flat), axis=1)
        place = ops.matmul(attention, ops.cast(_places(rows, columns), self.compute_dtype))
        return [mean, ops.squeeze(place, axis=1)]


@keras.saving.register_keras_serializable(package="bench")
class CentredBox(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Corners of a box from its place and four numbers.

    Inputs: place float `[n, 2]`, x and y; float `[n, 4]`, the offset of the centre from the place
    in x and y, width and height. Output: `[x_min, y_min, x_max, y_max]`, float `[n, 4]`.
    """

    def call(self, inputs: list[Any]) -> Any:
        """Return the corners."""
        place, raw = inputs
        centre, half = place + raw[:, :2], raw[:, 2:] / 2
        return ops.concatenate([centre - half, centre + half], axis=1)


def _places(rows: int, columns: int) -> Any:
    """Return x and y of each cell's middle, row by row; `[rows * columns, 2]`."""
    x = (ops.arange(columns, dtype="float32") + 0.5) / columns
    y = (ops.arange(rows, dtype="float32") + 0.5) / rows
    return ops.stack([ops.tile(x, rows), ops.repeat(y, columns)], axis=1)
