"""What every backbone must satisfy: a published test kit, for those of other packages too.

    import pytest
    from architectures import contract, registry

    @pytest.mark.parametrize("check", contract.CHECKS)
    def test_contract(check):
        check(registry.get("fancy"), (75, 75, 1))

Each check returns nothing, or raises `PluginError` that says what must hold, what came and how
to mend it. They set Keras's global seed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from architectures.heads import attach_heads, features_of
from architectures.registry import Backbone, ImageShape
from harness.errors import PluginError, UsageError

CLASSES = 10
SEED = 7

# One network, one machine, one set of weights: only the order of float32 sums differs between
# batch sizes, which moves features of size 1 by about 1e-6.
RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-5


def check_features(backbone: Backbone, image_shape: ImageShape) -> None:
    """Images go in, finite floating-point features `[n, width]` come out."""
    model = _built(backbone, image_shape)
    width = features_of(model).shape[1]
    features = _predict(model, _images(3, image_shape))
    if features.shape != (3, width) or not np.issubdtype(features.dtype, np.floating):
        raise PluginError(
            f"{backbone.name}: 3 images must give floats of shape (3, {width}), got "
            f"{features.dtype} {features.shape}. Do not reshape across the batch axis."
        )
    if not np.isfinite(features).all():
        raise PluginError(
            f"{backbone.name}: features must be finite, got NaN or infinity for images in "
            "[0, 1]. Check initializers and divisions."
        )


def check_seed(backbone: Backbone, image_shape: ImageShape) -> None:
    """The same seed builds the same weights, another seed builds others."""
    first, again, other = (_built(backbone, image_shape, seed) for seed in (SEED, SEED, SEED + 1))
    if not _same_weights(first, again):
        raise PluginError(
            f"{backbone.name}: keras.utils.set_random_seed must fix the weights, but two builds "
            "with one seed differ. Draw them with keras.initializers, not with a generator of "
            "your own."
        )
    if first.count_params() and _same_weights(first, other):
        raise PluginError(
            f"{backbone.name}: another seed must give other weights, but they are the same. "
            "Do not pass fixed seeds to the initializers."
        )


def check_gradients(backbone: Backbone, image_shape: ImageShape) -> None:
    """A gradient reaches every trainable weight."""
    model = attach_heads(_built(backbone, image_shape), CLASSES)
    _shake(model)
    images = _images(8, image_shape)
    with tf.GradientTape() as tape:
        outputs = model(images, training=False)
        # Squares, as the sum of a softmax is 1 whatever the weights.
        loss = sum(tf.reduce_sum(tf.square(output)) for output in outputs)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        dense = None if gradient is None else tf.convert_to_tensor(gradient).numpy()
        if dense is None or not np.isfinite(dense).all() or not dense.any():
            came = "none" if dense is None else "only zeros" if not dense.any() else "NaN"
            raise PluginError(
                f"{backbone.name}: a gradient must reach every trainable weight, but "
                f"{weight.path} got {came}. Connect it to the output, or make it not trainable."
            )


def check_save_and_load(backbone: Backbone, image_shape: ImageShape) -> None:
    """The model survives `.keras` saving: the copy predicts the same."""
    model = attach_heads(_built(backbone, image_shape), CLASSES)
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
    images = _images(3, image_shape)
    for name, saved, loaded in zip(model.output_names, model(images), copy(images), strict=True):
        if not _close(saved, loaded):
            raise PluginError(
                f"{backbone.name}: a loaded model must predict what the saved one did, but "
                f"{name} differs. Create every weight in a layer's build."
            )


def check_batch_sizes(backbone: Backbone, image_shape: ImageShape) -> None:
    """What is said of an image does not depend on the images beside it."""
    model = _built(backbone, image_shape)
    images = _images(5, image_shape)
    together = _predict(model, images)
    for size in (1, 2):
        parts = [_predict(model, images[at : at + size]) for at in range(0, len(images), size)]
        if not _close(together, np.concatenate(parts)):
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


Check = Callable[[Backbone, ImageShape], None]

CHECKS: tuple[Check, ...] = (
    check_features,
    check_seed,
    check_gradients,
    check_save_and_load,
    check_batch_sizes,
    check_smallest_image,
)
"""Every check, the cheap ones first. The first line of its docstring says what must hold."""


def _built(backbone: Backbone, image_shape: ImageShape, seed: int = SEED) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = backbone(image_shape)
    features_of(model)
    return model


def _images(count: int, image_shape: ImageShape) -> NDArray[np.float32]:
    """Return noise in [0, 1]; float32 `[count, height, width, channels]`."""
    return np.random.default_rng(SEED).random((count, *image_shape), np.float32)


def _predict(model: keras.Model, images: NDArray[np.float32]) -> NDArray[np.floating]:
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))


def _shake(model: keras.Model) -> None:
    """Add noise to the weights: branches born as 0 (ReZero) pass no gradient otherwise."""
    generator = np.random.default_rng(SEED)
    for weight in model.trainable_weights:
        weight.assign_add(generator.normal(0, 0.02, weight.shape).astype(weight.dtype))


def _same_weights(one: keras.Model, other: keras.Model) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def _close(one: object, other: object) -> bool:
    a, b = (keras.ops.convert_to_numpy(values) for values in (one, other))
    return np.allclose(a, b, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)
