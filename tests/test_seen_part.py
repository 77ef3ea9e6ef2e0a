"""How much of an image a network looks at: the pixels that its outputs hang on, and no others."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import gradients

from architectures import registry
from harness.seen_part import seen, window_layers
from harness.training_forward import training_forward

L = keras.layers


def net(*layers: keras.layers.Layer, shape: tuple[int, int, int] = (23, 26, 1)) -> keras.Model:
    """Return a network of some layers in a row, whose features are flattened at the end."""
    inputs = keras.Input(shape)
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, [L.Flatten()(x)])


def drawn(seed: int) -> keras.Model:
    """Return a network of one to four random layers of windows; every window counts in full."""
    rng = np.random.default_rng(seed)
    shape = (*(int(n) for n in rng.integers(100, 120, 2)), int(rng.integers(1, 3)))
    layers: list[keras.layers.Layer] = []
    for _ in range(rng.integers(1, 5)):
        size = tuple(int(n) for n in rng.integers(1, 5, 2))
        step = int(rng.integers(1, 3))
        if rng.random() < 0.5:
            layers.append(L.AveragePooling2D(size, strides=step))
            continue
        spacing = int(rng.integers(1, 4)) if step == 1 else 1
        layers.append(
            L.Conv2D(
                2,
                size,
                strides=step,
                dilation_rate=spacing,
                kernel_initializer=keras.initializers.RandomUniform(0.1, 0.3),
            )
        )
    return net(*layers, shape=shape)


def reached(model: keras.Model) -> tuple[int, int]:
    """Return the rows and columns up to the last that an output of a model really hangs on."""
    images = tf.constant(np.random.default_rng(2).random((1, *model.input_shape[1:]), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(model(images)[0])
    rows, columns = np.nonzero(np.abs(tape.gradient(total, images)[0]).sum(axis=-1))
    return int(rows.max()) + 1, int(columns.max()) + 1


@pytest.mark.parametrize("seed", range(40))
def test_what_is_seen_is_what_the_outputs_hang_on(seed: int) -> None:
    model = drawn(seed)
    layers = window_layers(model)
    assert len(layers) == len(model.layers) - 2  # all but the input and `Flatten`
    found = seen(layers)
    rows, columns = reached(model) if found is None else found
    assert (rows, columns) == reached(model)

    # On so much, each layer gives what the next one needs, and None means: so it does anyway.
    x = keras.Input((rows, columns, model.input_shape[-1]))
    sizes = [x.shape[1:3]]
    for layer in layers:
        x = layer(x)
        sizes.append(x.shape[1:3])
    assert x.shape == layers[-1].output.shape
    before = [layer.output.shape[1:3] for layer in layers]
    assert (sizes[1:] == before) is (found is None)


@pytest.mark.parametrize("seed", range(40))
def test_outputs_and_gradients_are_those_of_the_whole(seed: int) -> None:
    model = drawn(seed)
    images = np.random.default_rng(1).random((3, *model.input_shape[1:]), np.float32)
    plain = functools.partial(model, training=True)
    cut = training_forward(model, fused=False)
    assert isinstance(cut, functools.partial) is (seen(window_layers(model)) is None)
    for one, other in zip(
        gradients(cut, images, model.trainable_variables),
        gradients(plain, images, model.trainable_variables),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max(initial=1))


def test_the_rest_of_an_image_changes_nothing() -> None:
    model = registry.get("notebook-cnn")((75, 75, 1))
    assert seen(window_layers(model)) == (70, 70)
    images = np.random.default_rng(1).random((2, 75, 75, 1), np.float32)
    other = images.copy()
    other[:, 70:] = np.nan
    other[:, :, 70:] = np.nan
    assert model(images).numpy().tobytes() == model(other).numpy().tobytes()
    other[:, 69, 69] = np.nan
    assert np.isnan(model(other)).any()


def from_mean(x: Any) -> Any:
    return x - keras.ops.mean(x)


class Wider(L.AveragePooling2D):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return from_mean(super().call(inputs))


OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "padded pooling": (L.AveragePooling2D, {"pool_size": 2, "padding": "same"}),
    "regularised pooling": (L.AveragePooling2D, {"pool_size": 2, "activity_regularizer": "l2"}),
    "padded": (L.Conv2D, {"filters": 3, "kernel_size": 3, "padding": "same"}),
    "regularised": (L.Conv2D, {"filters": 3, "kernel_size": 3, "activity_regularizer": "l2"}),
    "softmax": (L.Conv2D, {"filters": 3, "kernel_size": 3, "activation": "softmax"}),
    "from the mean": (L.Conv2D, {"filters": 3, "kernel_size": 3, "activation": from_mean}),
    "normalised": (L.BatchNormalization, {}),
    "dropping": (L.Dropout, {"rate": 0.5}),
    "subclass": (Wider, {"pool_size": 2}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers_get_all_of_what_is_before_them(name: str) -> None:
    kind, settings = OTHERS[name]
    first = L.Conv2D(3, 3)
    model = net(first, kind(**settings), L.AveragePooling2D(3))
    assert window_layers(model) == [first]
    assert isinstance(training_forward(model, fused=False), functools.partial)


def test_pooling_by_the_largest_is_one_of_them() -> None:
    layers = [L.Conv2D(3, 3, activation="relu"), L.MaxPooling2D((2, 5))]
    assert seen(window_layers(net(*layers))) == (22, 22)


def test_what_something_else_reads_too_is_needed_whole() -> None:
    inputs = keras.Input((75, 75, 1))
    first, second = L.Conv2D(2, 3), L.AveragePooling2D(2)
    x = first(inputs)
    y = second(x)
    for outputs in (
        [y, x],
        [L.Flatten()(y), L.GlobalMaxPooling2D()(x)],
        [L.Flatten()(y), L.GlobalMaxPooling2D()(inputs)],
    ):
        model = keras.Model(inputs, outputs)
        assert seen(window_layers(model)) is None


def test_a_layer_that_is_used_twice_is_needed_whole() -> None:
    inputs = keras.Input((20, 20, 2))
    twice, last = L.Conv2D(2, 3), L.AveragePooling2D(5)
    model = keras.Model(inputs, [last(twice(twice(inputs)))])
    assert window_layers(model) == []


def test_models_of_another_kind_have_none() -> None:
    windows = [L.Conv2D(2, 4), L.AveragePooling2D(2)]
    one, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    for model in (
        net(),
        keras.Sequential(windows),
        keras.Sequential([keras.Input((8, 8, 1)), *windows]),
        keras.Model([one, other], windows[1](windows[0](one)) + keras.ops.mean(other)),
    ):
        assert window_layers(model) == []
        assert isinstance(training_forward(model, fused=True), functools.partial)


def test_sizes_that_are_not_known_leave_nothing_out() -> None:
    inputs = keras.Input((None, None, 1))
    x = L.AveragePooling2D(2)(L.Conv2D(2, 2)(inputs))
    assert window_layers(keras.Model(inputs, L.GlobalMaxPooling2D()(x))) == []


@pytest.mark.parametrize(
    ("name", "wanted"), [("notebook-cnn", (70, 70)), ("readme-cnn", (74, 74))]
)
def test_what_the_networks_of_the_house_see(name: str, wanted: tuple[int, int]) -> None:
    assert seen(window_layers(registry.get(name)((75, 75, 1)))) == wanted
