"""The shared heads: shapes, formulas, precision, and bodies that are no backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from architectures.builtin import HEADS
from architectures.heads import BOUNDING_BOX, CLASSIFICATION, attach_heads, get_head
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


def mapped(rows: int = 3, columns: int = 5, channels: int = 4) -> keras.Model:
    """A body that ends in a map: the image itself."""
    inputs = keras.Input((rows, columns, channels))
    return keras.Model(inputs, keras.layers.Identity()(inputs), name="mapped")


def shaken(head: str, body: keras.Model | None = None) -> keras.Model:
    """Return a body with a head, all weights drawn at random."""
    model = attach_heads(body or mapped(), 10, head)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def values(model: keras.Model, layer: str) -> tuple[Any, Any]:
    found = model.get_layer(layer)
    return found.kernel.numpy().astype(np.float64), found.bias.numpy().astype(np.float64)


def softmax(x: Any) -> Any:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def some_maps(n: int = 2) -> Any:
    return np.random.default_rng(3).normal(size=(n, 3, 5, 4)).astype(np.float32)


def test_soft_argmax_by_its_formula() -> None:
    model, maps = shaken("soft-argmax"), some_maps()
    (kernel, bias), (w_class, b_class), (w_box, b_box) = (
        values(model, name) for name in ("head_attention", CLASSIFICATION, "head_size")
    )
    for found_p, found_box, one in zip(*model(maps), maps, strict=True):
        logits = {
            (i, j): one[i, j] @ kernel[0, 0, :, 0] + bias[0] for i in range(3) for j in range(5)
        }
        total = sum(np.exp(value) for value in logits.values())
        centre, looked_at = np.zeros(2), np.zeros(4)
        for (i, j), value in logits.items():
            share = np.exp(value) / total
            centre += share * np.array([(j + 0.5) / 5, (i + 0.5) / 3])
            looked_at += share * one[i, j]
        dx, dy, width, height = looked_at @ w_box + b_box
        x, y = centre[0] + dx, centre[1] + dy
        expected = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        # float32 sums of fifteen terms of size 1.
        np.testing.assert_allclose(found_box, expected, atol=1e-5)
        np.testing.assert_allclose(found_p, softmax(looked_at @ w_class + b_class), atol=1e-5)


def test_soft_argmax_follows_what_it_looks_at_by_one_cell() -> None:
    model = shaken("soft-argmax", mapped(7, 7))
    maps = np.zeros((2, 7, 7, 4), np.float32)
    spot = np.sign(values(model, "head_attention")[0][0, 0, :, 0]) * 40  # all attention goes here
    maps[0, 2, 3], maps[1, 2, 4] = spot, spot
    probabilities, boxes = (np.asarray(output) for output in model(maps))
    np.testing.assert_allclose(boxes[1] - boxes[0], [1 / 7, 0, 1 / 7, 0], atol=1e-5)
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=1e-5)


def test_soft_argmax_starts_from_a_box_of_half_the_image_around_its_middle() -> None:
    model = attach_heads(mapped(), 10, "soft-argmax")
    _, boxes = model(np.zeros((1, 3, 5, 4), np.float32))
    np.testing.assert_allclose(boxes[0], [0.25, 0.25, 0.75, 0.75], atol=1e-6)


def test_pooled_is_dense_of_the_mean() -> None:
    model, maps = shaken("pooled"), some_maps()
    means = maps.astype(np.float64).mean(axis=(1, 2))
    w_class, b_class = values(model, CLASSIFICATION)
    w_box, b_box = values(model, BOUNDING_BOX)
    probabilities, boxes = model(maps)
    np.testing.assert_allclose(probabilities, softmax(means @ w_class + b_class), atol=1e-5)
    np.testing.assert_allclose(boxes, means @ w_box + b_box, atol=1e-5)


# On a map of 3 x 5 x 4: dense 60 x 14 + 14, pooled 4 x 14 + 14, soft-argmax 4 + 1 for the
# attention and 4 x 14 + 14.
@pytest.mark.parametrize(
    ("head", "parameters"), [("dense", 854), ("pooled", 70), ("soft-argmax", 75)]
)
def test_parameters_of_each_head_by_hand(head: str, parameters: int) -> None:
    assert attach_heads(mapped(), 10, head).count_params() == parameters


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_keeps_its_promise(head: str, tmp_path: Any, precision: str) -> None:
    model = attach_heads(mapped(), 10, head)
    assert model.output_names == [CLASSIFICATION, BOUNDING_BOX]
    maps = some_maps(3)
    outputs = [np.asarray(output) for output in model(maps)]
    assert [(o.shape, o.dtype) for o in outputs] == [((3, 10), np.float32), ((3, 4), np.float32)]
    np.testing.assert_allclose(outputs[0].sum(axis=1), 1, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    for saved, loaded in zip(outputs, copy(maps), strict=True):
        np.testing.assert_array_equal(saved, loaded)


@pytest.mark.parametrize("head", ["pooled", "soft-argmax"])
def test_a_head_that_needs_a_map_says_so(head: str) -> None:
    with pytest.raises(UsageError, match=f"'{head}' needs a backbone that ends in a feature map"):
        attach_heads(flat(), 10, head)


def own_head(features: Any, classes: int) -> tuple[Any, Any]:
    features = keras.layers.Flatten()(features)
    probabilities = keras.layers.Dense(classes, activation="softmax", name="mine")(features)
    return probabilities, keras.layers.Dense(4, activation="sigmoid")(features)


def raising(features: Any, classes: int) -> Any:
    raise ValueError("no such head")


def one_output(features: Any, classes: int) -> Any:
    return keras.layers.Dense(classes)(features)


def three_numbers(features: Any, classes: int) -> Any:
    return keras.layers.Dense(classes)(features), keras.layers.Dense(3)(features)


def test_a_head_of_ones_own_is_found_by_its_place() -> None:
    assert get_head("test_heads:own_head") is own_head
    model = attach_heads(flat(), 10, "test_heads:own_head")
    assert model.output_names == [CLASSIFICATION, BOUNDING_BOX]
    probabilities, boxes = (np.asarray(output) for output in model(images(3)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert ((boxes > 0) & (boxes < 1)).all()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("test_heads:raising", r"must return \(probabilities, box\) .* ValueError: no such head"),
        ("test_heads:one_output", r"must return \(probabilities, box\)"),
        (
            "test_heads:three_numbers",
            r"a box \(None, 4\), got shapes \(None, 10\) and \(None, 3\)",
        ),
        ("test_heads:nothing", "cannot be imported from test_heads:nothing"),
        ("test_heads:SHAPE", "must be a function, but test_heads:SHAPE is tuple"),
    ],
)
def test_a_faulty_head_is_refused(head: str, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        attach_heads(flat(), 10, head)


def test_an_unknown_head_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'soft-argmax'"):
        attach_heads(flat(), 10, "softargmax")
