"""What the checks of the test kit share: seeded builds, noise for images, comparisons."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from architectures.heads import features_of
from architectures.registry import Backbone, ImageShape

CLASSES = 10
SEED = 7

# One network, one machine, one set of weights: only the order of float32 sums differs between
# batch sizes, which moves features of size 1 by about 1e-6.
RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-5


def built(backbone: Backbone, image_shape: ImageShape, seed: int = SEED) -> keras.Model:
    """Return the backbone's model, seeded and checked to end in features."""
    keras.utils.set_random_seed(seed)
    model = backbone(image_shape)
    features_of(model)
    return model


def images(count: int, image_shape: ImageShape) -> NDArray[np.float32]:
    """Return noise in [0, 1]; float32 `[count, height, width, channels]`."""
    return np.random.default_rng(SEED).random((count, *image_shape), np.float32)


def predict(model: keras.Model, of: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the features of images."""
    return np.asarray(keras.ops.convert_to_numpy(model(of, training=False)))


def shake(model: keras.Model) -> None:
    """Add noise to the weights: branches born as 0 (ReZero) pass no gradient otherwise."""
    generator = np.random.default_rng(SEED)
    for weight in model.trainable_weights:
        weight.assign_add(generator.normal(0, 0.02, weight.shape).astype(weight.dtype))


def same_weights(one: keras.Model, other: keras.Model) -> bool:
    """Tell whether two models have the same weights, bit by bit."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def close(one: object, other: object) -> bool:
    """Tell whether values agree up to the order of their sums."""
    a, b = (keras.ops.convert_to_numpy(values) for values in (one, other))
    return np.allclose(a, b, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)
