"""The test kit finds what it is there to find: one faulty backbone for each check."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm_process

from architectures import contract
from architectures.registry import Backbone, ImageShape
from harness.errors import PluginError

# Keras 3.15 saves its variables by an `__array__` call that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SHAPE = (8, 8, 1)
layers, ops = keras.layers, keras.ops


def backbone(function: Callable[[ImageShape], keras.Model], min_image_px: int = 1) -> Backbone:
    return Backbone(name="net", function=function, location="a:b", min_image_px=min_image_px)


def following(make: Callable[[Any], Any]) -> Backbone:
    """A backbone that flattens the image and goes on with `make`."""

    def build(image_shape: ImageShape) -> keras.Model:
        inputs = keras.Input(image_shape)
        return keras.Model(inputs, make(layers.Flatten()(inputs)))

    return backbone(build)


class Silent(layers.Layer):
    """A layer with a weight that nothing depends on."""

    def build(self, shape: Any) -> None:
        self.unused = self.add_weight(shape=(3,), initializer="ones", name="unused")

    def call(self, x: Any) -> Any:
        return x


class Unregistered(layers.Layer):
    """A layer that Keras cannot find when it loads a model."""

    def call(self, x: Any) -> Any:
        return x * 2


@keras.saving.register_keras_serializable("test_contract")
class Forgetful(layers.Layer):
    """A layer whose factor is neither a weight nor in its configuration."""

    factors = itertools.count(1)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = next(self.factors)

    def call(self, x: Any) -> Any:
        return x * self.factor


class Growing(layers.Layer):
    """A layer that blows its input up in training, ten times more each step."""

    def build(self, _shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False)

    def call(self, x: Any, *, training: bool = False) -> Any:
        if training:
            self.scale.assign(self.scale * 10)
        return x * self.scale


class OutsideTheGraph(layers.Layer):
    """A layer that asks NumPy, which no compiler can follow."""

    def call(self, x: Any) -> Any:
        ones = tf.numpy_function(np.ones_like, [x], x.dtype)
        ones.set_shape(x.shape)
        return x * tf.stop_gradient(ones)


def for_8_pixels_only(image_shape: ImageShape) -> keras.Model:
    inputs = keras.Input(image_shape)
    return keras.Model(inputs, layers.Dense(5)(layers.Reshape((64,))(inputs)))


def deaf_to_width(image_shape: ImageShape, *, width: float = 1.0) -> keras.Model:
    return GOOD(image_shape)


def own_generator(x: Any) -> Any:
    noise = np.random.default_rng().normal(size=(x.shape[1], 5)).astype(np.float32)
    return layers.Dense(5, kernel_initializer=lambda shape, dtype: ops.convert_to_tensor(noise))(x)


def fixed_seed(x: Any) -> Any:
    return layers.Dense(5, kernel_initializer=keras.initializers.GlorotUniform(seed=1))(x)


def zero_branch(x: Any) -> Any:
    """ReZero (Bachlechner et al. 2020): the branch is multiplied by a weight that is born 0."""
    x = layers.Dense(5)(x)
    branch = layers.Dense(5, activation="tanh")(x)
    return layers.Add()([x, layers.Dense(5, kernel_initializer="zeros")(branch)])


GOOD = following(lambda x: layers.Dense(5, activation="tanh")(x))


@pytest.mark.parametrize("check", contract.CHECKS)
@pytest.mark.parametrize("good", [GOOD, following(zero_branch)], ids=["dense", "rezero"])
def test_good_ones_pass(good: Backbone, check: contract.Check) -> None:
    check(good, SHAPE)


@pytest.mark.parametrize(
    ("check", "faulty", "words"),
    [
        (contract.check_features, backbone(lambda shape: None), "must return a keras.Model"),
        (contract.check_features, following(lambda x: ops.log(x - 2)), "must be finite, got NaN"),
        (
            contract.check_features,
            following(lambda x: ops.reshape(layers.Dense(6)(x), (-1, 3))),
            r"3 images must give floats of shape \(3, 3\), got float32 \(6, 3\)",
        ),
        (contract.check_features, following(lambda x: ops.cast(x, "int32")), "got int32"),
        (contract.check_seed, following(own_generator), "two builds with one seed differ"),
        (contract.check_seed, following(fixed_seed), "another seed must give other weights"),
        (contract.check_gradients, following(Silent()), "unused got none"),
        (
            contract.check_gradients,
            following(lambda x: ops.maximum(layers.Dense(5)(x), 1e6)),
            "kernel got only zeros",
        ),
        (contract.check_save_and_load, following(Unregistered()), "register_keras_serializable"),
        (
            contract.check_save_and_load,
            following(lambda x: Forgetful()(layers.Dense(5)(x))),
            "must predict what the saved one did, but classification differs",
        ),
        (
            contract.check_batch_sizes,
            following(lambda x: x - ops.mean(x, axis=0, keepdims=True)),
            "must not depend on the batch",
        ),
        (
            contract.check_smallest_image,
            backbone(
                lambda shape: keras.Sequential(
                    [keras.Input(shape), layers.Conv2D(2, 5), layers.Flatten()]
                ),
                min_image_px=4,
            ),
            "smallest images, 4 x 4, but: .* Raise min_image_px",
        ),
        (
            contract.check_image_sizes,
            backbone(for_8_pixels_only),
            r"must build for images of shape \(29, 18, 1\) too, but: .* Derive every size",
        ),
        (
            contract.check_options,
            backbone(deaf_to_width),
            "width=0.5 and width=1.0 build the same network",
        ),
        (
            contract.check_learns,
            following(lambda x: Growing()(layers.Dense(5)(x))),
            "10 steps of Adam .* must lower the loss, but it went from",
        ),
        (
            contract.check_mixed_precision,
            following(lambda x: layers.Dense(5, dtype="float32")(x)),
            "features under mixed_bfloat16 must be bfloat16, got float32",
        ),
        (
            contract.check_mixed_precision,
            # (1000 y)^2 is too large for float16, not for bfloat16.
            following(lambda x: ops.sqrt(ops.square(1e3 * layers.Dense(5)(x)) + 1) / 1e3),
            "gradients under mixed_float16 must be finite",
        ),
        (
            contract.check_xla,
            following(lambda x: OutsideTheGraph()(layers.Dense(5)(x))),
            "XLA must compile it, but it raised InvalidArgumentError",
        ),
        (
            contract.check_replicas,
            following(lambda x: (y := layers.Dense(5)(x)) - ops.mean(y, axis=0, keepdims=True)),
            "gradients in two replicas must be the same, but that of",
        ),
    ],
)
def test_a_faulty_one_is_found(check: contract.Check, faulty: Backbone, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        check(faulty, SHAPE)


def test_running_all_checks_goes_on_after_a_fault() -> None:
    def odd(image_shape: ImageShape) -> keras.Model:
        if image_shape[0] != image_shape[1]:
            raise ZeroDivisionError("odd")
        return GOOD(image_shape)

    results = list(contract.run(backbone(odd), SHAPE))
    assert [f"check_{r.name}" for r in results] == [c.__name__ for c in contract.CHECKS]
    assert [r.name for r in results if r.fault] == ["image_sizes"]
    assert all(r.seconds and r.requirement.endswith(".") for r in results)


def test_what_does_not_build_is_said_once() -> None:
    def broken(image_shape: ImageShape) -> keras.Model:
        raise ZeroDivisionError("odd")

    first, *others = contract.run(backbone(broken), SHAPE)
    assert "raised ZeroDivisionError: odd" in str(first.fault)
    assert len(others) == len(contract.CHECKS) - 1
    assert {(r.fault, r.seconds) for r in others} == {(None, None)}


def test_replicas_need_two_devices() -> None:
    script = """
from architectures import contract
from architectures.registry import Backbone
from harness.errors import UsageError
import keras
def build(shape):
    x = keras.Input(shape)
    return keras.Model(x, keras.layers.Flatten()(x))
net = Backbone(name="net", function=build, location="a:b")
for attempt in (lambda: contract.check_replicas(net, (8, 8, 1)), contract.prepare):
    try:
        attempt()
    except UsageError as error:
        print(error)
"""
    done = warm_process.run(code=script)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "needs two logical CPU devices, found one. Call contract.prepare()" in first
    assert "must run before TensorFlow's first operation" in second


def test_every_check_says_what_must_hold() -> None:
    for check in contract.CHECKS:
        assert check.__doc__ is not None
        assert check.__doc__.endswith(".")
