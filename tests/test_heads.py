"""The shared heads: shapes, formulas, precision, and bodies that are no backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from architectures.heads import BOUNDING_BOX, CLASSIFICATION, attach_heads
from harness.errors import PluginError, UsageError

SHAPE = (4, 6, 1)


def flat() -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, keras.layers.Flatten()(inputs), name="flat")


def images(n: int) -> Any:
    return np.random.default_rng(0).random((n, *SHAPE), np.float32)


def test_outputs_are_softmax_and_linear_of_the_features() -> None:
    model = attach_heads(flat(), 10)
    assert model.output_names == [CLASSIFICATION, BOUNDING_BOX]
    features = images(3).reshape(3, 24).astype(np.float64)
    for name in model.output_names:
        kernel = model.get_layer(name).kernel
        kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
        model.get_layer(name).bias.assign(np.arange(kernel.shape[1]) / 10)
    logits, box = (
        features @ model.get_layer(name).kernel.numpy() + model.get_layer(name).bias.numpy()
        for name in model.output_names
    )
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    softmax = exponentials / exponentials.sum(1, keepdims=True)
    found = [np.asarray(output) for output in model(images(3))]
    # float32 sums of 24 terms of size 1.
    np.testing.assert_allclose(found[0], softmax, atol=1e-5)
    np.testing.assert_allclose(found[1], box, atol=1e-5)


def test_parameters_by_hand() -> None:
    # 24 features: 24 x 10 + 10 = 250 and 24 x 4 + 4 = 100.
    assert attach_heads(flat(), 10).count_params() == 350
    # 24 x 3 + 3 = 75.
    assert attach_heads(flat(), 3).count_params() == 175


def test_layers_of_the_body_are_shared_and_listed_one_by_one() -> None:
    body = flat()
    model = attach_heads(body, 10)
    assert model.layers[:2] == body.layers
    assert len(model.layers) == 4


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def test_outputs_stay_float32_under_mixed_precision(precision: str) -> None:
    body = flat()
    assert body.output.dtype == precision.removeprefix("mixed_")
    for output in attach_heads(body, 10)(images(2)):
        assert np.asarray(output).dtype == np.float32


class Subclassed(keras.Model):
    def call(self, x: Any) -> Any:
        return x


def two_outputs() -> keras.Model:
    inputs = keras.Input(SHAPE)
    features = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, [features, features])


def ends_in(make: Any) -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, make(inputs))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda: None, "must return a keras.Model, got NoneType"),
        (lambda: keras.layers.Dense(3), "must return a keras.Model, got Dense"),
        (Subclassed, r"functional with one input and one output, got 0 and 0"),
        (lambda: keras.Sequential([keras.layers.Flatten()]), "got 0 and 0. Build it as"),
        (two_outputs, "got 1 and 2"),
        (
            lambda: ends_in(keras.layers.Reshape((8, 3))),
            r"or in a map \(None, rows, columns, channels\), got \(None, 8, 3\). End it with",
        ),
        (lambda: ends_in(lambda x: keras.ops.sum(x, axis=(1, 2, 3))), r"got \(None,\)"),
    ],
)
def test_what_is_no_backbone_is_refused(body: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        attach_heads(body(), 10)


def test_a_sequential_model_with_an_input_will_do() -> None:
    body = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
    assert attach_heads(body, 10).count_params() == 350


@pytest.mark.parametrize("classes", [1, 0, -1])
def test_fewer_than_two_classes_are_none(classes: int) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        attach_heads(flat(), classes)
