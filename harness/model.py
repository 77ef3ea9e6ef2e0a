"""Builds the network of a run: a backbone from the registry with the shared heads on top."""

from __future__ import annotations

import keras

from architectures import registry
from architectures.heads import attach_heads
from harness.record import Layer, ModelFacts


def build_model(
    backbone: str, *, image_shape: tuple[int, int, int], classes: int, seed: int
) -> keras.Model:
    """Build backbone and heads with weights that depend on `seed` alone.

    Args:
        backbone: a name in `architectures.registry`.
        image_shape: height, width and channels of an image.
        classes: number of classes.
        seed: seeds Keras, NumPy and Python for the initializers.

    Returns:
        A model from float32 images `[n, height, width, channels]` in [0, 1] to
        (`classification` `[n, classes]`, `bounding_box` `[n, 4]`).

    Raises:
        UsageError: unknown backbone.
        PluginError: the backbone cannot be imported or built for this image shape.
    """
    keras.utils.set_random_seed(seed)
    return attach_heads(registry.get(backbone)(image_shape), classes)


def facts(model: keras.Model) -> ModelFacts:
    """Return size and layers of a model made by `build_model`."""
    heads = sum(model.get_layer(name).count_params() for name in model.output_names)
    total = model.count_params()
    return ModelFacts(
        parameters=total,
        backbone_parameters=total - heads,
        layers=tuple(_layer(layer) for layer in _flat(model)),
    )


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers in order, nested functional and sequential models opened."""
    layers: list[keras.layers.Layer] = []
    for layer in model.layers:
        # The parts of a subclassed model have no outputs of their own to show.
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            layers.extend(_flat(layer))
        else:
            layers.append(layer)
    return layers


def _layer(layer: keras.layers.Layer) -> Layer:
    first, *_ = keras.tree.flatten(layer.output)
    return Layer(
        name=layer.name,
        kind=type(layer).__name__,
        output_shape=tuple(first.shape[1:]),
        parameters=layer.count_params(),
    )
