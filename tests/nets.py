"""Tiny backbones for tests, named as `nets:tiny` and so on, and scenes to feed them."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from architectures.conv_parts import FusedBatchNorm
from harness.model import Blueprint, build
from harness.scenes import Scenes, compose

SHAPE = (75, 75, 1)


def plan(backbone: str = "nets:tiny", **changes: Any) -> Blueprint:
    """Return what these tests build: ten classes on 75x75 pixels, unless changed."""
    values: dict[str, Any] = {"backbone": backbone, "image_shape": SHAPE, "classes": 10}
    return Blueprint(**values | changes)


def model(backbone: str, seed: int) -> keras.Model:
    return build(plan(backbone), seed=seed).model


def gradients(forward: Any, images: Any, variables: Any) -> list[Any]:
    """Return outputs, and gradients of a curved function of them: each weighs otherwise."""
    with tf.GradientTape() as tape:
        outputs = forward(images)[0]
        loss = tf.reduce_sum(tf.sin(3 * outputs))
    return [outputs.numpy(), *(np.array(g) for g in tape.gradient(loss, variables))]


def tiny(image_shape: tuple[int, int, int], *middle: keras.layers.Layer) -> keras.Model:
    """Pool to 15x15, one convolution, whatever comes in the middle, 12 features."""
    inputs = keras.Input(image_shape)
    x = keras.layers.AveragePooling2D(5)(inputs)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x)
    for layer in middle:
        x = layer(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(12, activation="relu", name="features")(x))


def dropping(image_shape: tuple[int, int, int]) -> keras.Model:
    return tiny(image_shape, keras.layers.Dropout(0.5))


def normalised(image_shape: tuple[int, int, int]) -> keras.Model:
    return tiny(image_shape, keras.layers.BatchNormalization())


def fused(image_shape: tuple[int, int, int]) -> keras.Model:
    return tiny(image_shape, FusedBatchNorm())


def decaying(image_shape: tuple[int, int, int]) -> keras.Model:
    decay = keras.regularizers.L2(0.1)
    return tiny(image_shape, keras.layers.Conv2D(3, 1, kernel_regularizer=decay))


def nested(image_shape: tuple[int, int, int]) -> keras.Model:
    """Hold a functional model, a sequential one and one that is a class of its own."""
    inner = keras.Input((7, 7, 4))
    functional = keras.Model(inner, keras.layers.Conv2D(4, 1, name="inside")(inner))
    sequential = keras.Sequential([keras.layers.Conv2D(4, 1, name="in_row")])
    return tiny(image_shape, functional, sequential, Subclassed(name="own"))


class Subclassed(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = keras.layers.Dense(4)

    def call(self, x: Any) -> Any:
        return self.scale(x)


def growing(image_shape: tuple[int, int, int]) -> keras.Model:
    """Return ten times larger features after each step, until they overflow."""
    return tiny(image_shape, Growing())


def restless(image_shape: tuple[int, int, int]) -> keras.Model:
    return tiny(image_shape, Restless())


class Restless(keras.layers.Layer):
    """Draws at random whatever its rate."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = 0.5
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x: Any, *, training: bool = False) -> Any:
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds) if training else x


def centred(image_shape: tuple[int, int, int]) -> keras.Model:
    """Subtract what a part of the batch has in common: a fault as soon as there are two parts."""
    return tiny(image_shape, Centred())


class Centred(keras.layers.Layer):
    def call(self, x: Any, *, training: bool = False) -> Any:
        return x - keras.ops.mean(x, axis=0, keepdims=True) if training else x


class Growing(keras.layers.Layer):
    def build(self, _shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False)

    def call(self, x: Any, *, training: bool = False) -> Any:
        if training:
            self.scale.assign(self.scale * 10)
        return x * self.scale


def touchy(image_shape: tuple[int, int, int]) -> keras.Model:
    """Have an infinite gradient if one of the images is black."""
    inputs = keras.Input(image_shape)
    x = keras.layers.AveragePooling2D(5)(inputs)
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv")(Touchy()(x))
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(12, activation="relu", name="features")(x))


class Touchy(keras.layers.Layer):
    def build(self, _shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x: Any) -> Any:
        black = tf.reduce_any(tf.reduce_max(x, axis=(1, 2, 3)) <= 0)
        return _steep(x * self.scale, tf.where(black, np.inf, 1.0))


@tf.custom_gradient
def _steep(x: Any, slope: Any) -> Any:
    return tf.identity(x), lambda upstream: (upstream * tf.cast(slope, x.dtype), None)


def foreign(image_shape: tuple[int, int, int]) -> keras.Model:
    """Call Python in the middle, which XLA cannot compile."""
    return tiny(image_shape, Foreign())


class Foreign(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        zeros = tf.numpy_function(np.zeros_like, [x], x.dtype)
        return x + tf.stop_gradient(tf.ensure_shape(zeros, x.shape))

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def single(image_shape: tuple[int, int, int]) -> keras.Model:
    """Compute in float32 whatever the precision, but only in training."""
    return tiny(image_shape, Single())


class Single(keras.layers.Layer):
    def call(self, x: Any, *, training: bool = False) -> Any:
        return x + tf.constant(1.0) if training else x


def always_single(image_shape: tuple[int, int, int]) -> keras.Model:
    return tiny(image_shape, AlwaysSingle())


class AlwaysSingle(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x + tf.constant(1.0)


def broken(image_shape: tuple[int, int, int]) -> keras.Model:
    raise ValueError(f"no such network for {image_shape}")


def scenes(n: int, seed: int = 0) -> Scenes:
    """Return n scenes of noise patches at random places."""
    rng = np.random.default_rng(seed)
    digits = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
    return compose(np.arange(n), digits, rng.integers(0, 10, n), rng.integers(0, 48, (n, 2)))


def cut(some: Scenes, *bounds: int) -> list[Scenes]:
    """Cut scenes into chunks between these bounds."""
    return [
        Scenes(
            ids=some.ids[a:b], images=some.images[a:b], labels=some.labels[a:b],
            boxes=some.boxes[a:b],
        )
        for a, b in itertools.pairwise(bounds)
    ]  # fmt: skip


def not_a_network(image_shape: tuple[int, int, int]) -> Scenes:
    return scenes(1)
