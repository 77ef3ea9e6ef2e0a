"""Checks of the test kit that build a network and run it forward."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np

from architectures.heads import attach_heads, features_of
from architectures.probe import CLASSES, SEED, built, close, images, predict, same_weights
from architectures.registry import Backbone, ImageShape, Option
from harness.errors import PluginError, UsageError

TWO_VALUES: dict[str, tuple[Option, Option]] = {"width": (0.5, 1.0), "depth": (1, 2)}
"""What `check_options` sets an option to; the options left out cost a download."""


def check_features(backbone: Backbone, image_shape: ImageShape) -> None:
    """Images go in, finite floating-point features or a feature map come out."""
    model = built(backbone, image_shape)
    expected = (3, *features_of(model).shape[1:])
    features = predict(model, images(3, image_shape))
    if features.shape != expected or not np.issubdtype(features.dtype, np.floating):
        raise PluginError(
            f"{backbone.name}: 3 images must give floats of shape {expected}, got "
            f"{features.dtype} {features.shape}. Do not reshape across the batch axis."
        )
    if not np.isfinite(features).all():
        raise PluginError(
            f"{backbone.name}: features must be finite, got NaN or infinity for images in "
            "[0, 1]. Check initializers and divisions."
        )


def check_seed(backbone: Backbone, image_shape: ImageShape) -> None:
    """The same seed builds the same weights, another seed builds others."""
    first, again, other = (built(backbone, image_shape, seed) for seed in (SEED, SEED, SEED + 1))
    if not same_weights(first, again):
        raise PluginError(
            f"{backbone.name}: keras.utils.set_random_seed must fix the weights, but two builds "
            "with one seed differ. Draw them with keras.initializers, not with a generator of "
            "your own."
        )
    if first.count_params() and same_weights(first, other):
        raise PluginError(
            f"{backbone.name}: another seed must give other weights, but they are the same. "
            "Do not pass fixed seeds to the initializers."
        )


def check_save_and_load(backbone: Backbone, image_shape: ImageShape) -> None:
    """The model survives `.keras` saving: the copy predicts the same."""
    model = attach_heads(built(backbone, image_shape), CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            copy = keras.saving.load_model(path)
        except Exception as error:
            raise PluginError(
                f"{backbone.name}: the model must survive saving and loading, but it raised "
                f"{type(error).__name__}: {error}. Give each layer of your own a get_config and "
                "decorate it with keras.saving.register_keras_serializable."
            ) from error
    some = images(3, image_shape)
    for name, saved, loaded in zip(model.output_names, model(some), copy(some), strict=True):
        if not close(saved, loaded):
            raise PluginError(
                f"{backbone.name}: a loaded model must predict what the saved one did, but "
                f"{name} differs. Create every weight in a layer's build."
            )


def check_batch_sizes(backbone: Backbone, image_shape: ImageShape) -> None:
    """What is said of an image does not depend on the images beside it."""
    model = built(backbone, image_shape)
    some = images(5, image_shape)
    together = predict(model, some)
    for size in (1, 2):
        parts = [predict(model, some[at : at + size]) for at in range(0, len(some), size)]
        if not close(together, np.concatenate(parts)):
            raise PluginError(
                f"{backbone.name}: features must not depend on the batch, but they differ "
                f"between batches of {size} and 5. Do not mix the batch axis, and let layers such "
                "as BatchNormalization follow `training`."
            )


def check_smallest_image(backbone: Backbone, image_shape: ImageShape) -> None:
    """It builds at `min_image_px`, and one pixel less is refused with a clear error."""
    px, channels = backbone.min_image_px, image_shape[2]
    try:
        features_of(backbone((px, px, channels)))
    except PluginError as error:
        raise PluginError(
            f"{backbone.name}: it must build for its smallest images, {px} x {px}, but: {error} "
            "Raise min_image_px."
        ) from error
    try:
        backbone((px - 1, px - 1, channels))
    except UsageError:
        return
    raise PluginError(f"{backbone.name}: images below {px} x {px} must be refused.")


def check_image_sizes(backbone: Backbone, image_shape: ImageShape) -> None:
    """It runs on images of other sizes, not square, with one channel and with three."""
    height, width, _ = image_shape
    for shape in ((height + 21, width + 10, 1), (height + 10, width + 21, 3)):
        try:
            features = predict(built(backbone, shape), images(2, shape))
        except PluginError as error:
            raise PluginError(
                f"{backbone.name}: it must build for images of shape {shape} too, but: {error} "
                "Derive every size from the image shape."
            ) from error
        if not np.isfinite(features).all():
            raise PluginError(
                f"{backbone.name}: features must be finite for images of shape {shape} too, got "
                "NaN or infinity."
            )


def check_options(backbone: Backbone, image_shape: ImageShape) -> None:
    """Each option it takes changes the network, and still gives features."""
    for option in backbone.options:
        if option not in TWO_VALUES:
            continue
        one, other = (_size(backbone, image_shape, {option: v}) for v in TWO_VALUES[option])
        if one == other:
            first, second = TWO_VALUES[option]
            raise PluginError(
                f"{backbone.name}: it takes `{option}`, but {option}={first} and "
                f"{option}={second} build the same network. Use the value, or do not take it."
            )


def _size(
    backbone: Backbone, image_shape: ImageShape, options: dict[str, Option]
) -> tuple[int, list[tuple[int | None, ...]]]:
    """Return what tells networks apart: the number of parameters and the shapes of layers."""
    model = backbone(image_shape, **options)
    features_of(model)
    return model.count_params(), _layers(model)


def _layers(model: keras.Model) -> list[tuple[int | None, ...]]:
    return [
        tuple(output.shape)
        for layer in model.layers
        for output in keras.tree.flatten(layer.output)
    ]
