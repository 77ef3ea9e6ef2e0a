"""Multiply-adds against arithmetic by hand, TensorFlow's own profiler and published numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers, ops

from architectures import registry
from architectures.heads import attach_heads
from harness.flops import Counted, count

IMAGE = (12, 10, 6)


def network(*steps: Callable[[Any], Any], shape: tuple[int, ...] = IMAGE) -> keras.Model:
    inputs = keras.Input(shape)
    x = inputs
    for step in steps:
        x = step(x)
    return keras.Model(inputs, x)


def macs(*steps: Callable[[Any], Any], shape: tuple[int, ...] = IMAGE) -> int | None:
    found = count(network(*steps, shape=shape), shape)
    assert found.reason is None
    return found.multiply_adds


def by_name(model: keras.Model) -> dict[str, int | None]:
    return {operation.name: value for operation, value in count(model).operations.items()}


CONV = layers.Conv2D
BY_HAND = {
    # Output places x kernel x input channels x output channels.
    "conv": (CONV(8, 3), 10 * 8 * 9 * 6 * 8),
    "conv, not square, no bias": (CONV(8, (5, 1), use_bias=False), 8 * 10 * 5 * 6 * 8),
    "conv, padded": (CONV(8, 3, padding="same"), 12 * 10 * 9 * 6 * 8),
    "conv, strides": (CONV(8, 3, strides=2, padding="same"), 6 * 5 * 9 * 6 * 8),
    # A kernel of 3 with gaps of 1 covers 5 places: 12 - 4 and 10 - 4 remain.
    "conv, dilation": (CONV(8, 3, dilation_rate=2), 8 * 6 * 9 * 6 * 8),
    # Each of the 8 output channels sees 6 / 2 channels.
    "conv, groups": (CONV(8, 3, groups=2), 10 * 8 * 9 * 3 * 8),
    "conv, groups, strides": (CONV(6, 2, groups=6, strides=2), 6 * 5 * 4 * 1 * 6),
    # Each of the 6 channels has 2 kernels of its own.
    "depthwise": (layers.DepthwiseConv2D(3, depth_multiplier=2), 10 * 8 * 9 * 6 * 2),
    "depthwise, strides": (layers.DepthwiseConv2D(3, 2, padding="same"), 6 * 5 * 9 * 6),
    "depthwise, dilation": (layers.DepthwiseConv2D(3, dilation_rate=2), 8 * 6 * 9 * 6),
    "depthwise, long dilation": (layers.DepthwiseConv2D(3, dilation_rate=3), 6 * 4 * 9 * 6),
    # Depthwise, then 1x1 from 6 to 8 channels.
    "separable": (layers.SeparableConv2D(8, 3), 10 * 8 * (9 * 6 + 6 * 8)),
    # Each of the 12 x 10 input places is spread over 3x3 places of 8 channels.
    "transposed": (layers.Conv2DTranspose(8, 3, strides=2), 12 * 10 * 9 * 6 * 8),
    "dense on a map": (layers.Dense(8), 12 * 10 * 6 * 8),
    "einsum dense": (layers.EinsumDense("abcd,cde->abe", (12, 8)), 12 * (10 * 6) * 8),
    # Neither multiplies matrices.
    "pooling": (layers.AveragePooling2D(2), 0),
    "normalisation": (layers.BatchNormalization(), 0),
}


@pytest.mark.parametrize(("layer", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_a_layer_by_hand(layer: keras.layers.Layer, expected: int) -> None:
    assert macs(layer) == expected


def test_volumes_and_sequences_by_hand() -> None:
    # 4 x 5 x 6 places of 2 channels -> 3 x 4 x 5 places of 7, kernel 2x2x2.
    assert macs(layers.Conv3D(7, 2), shape=(4, 5, 6, 2)) == 3 * 4 * 5 * 8 * 2 * 7
    assert macs(layers.Conv3DTranspose(7, 2), shape=(4, 5, 6, 2)) == 4 * 5 * 6 * 8 * 2 * 7
    assert macs(layers.Conv1D(7, 3), shape=(9, 2)) == 7 * 3 * 2 * 7
    assert macs(layers.Dense(5), shape=(7,)) == 7 * 5


def test_attention_by_hand() -> None:
    def attend(x: Any) -> Any:
        return layers.MultiHeadAttention(num_heads=2, key_dim=4, name="attention")(x, x)

    # 20 tokens of width 6, 2 heads of 4: three maps in, scores, weighted sum, one map out.
    maps_in, scores, mixed, map_out = 3 * 20 * 6 * 8, 2 * 20 * 20 * 4, 2 * 20 * 20 * 4, 20 * 8 * 6
    model = network(attend, shape=(20, 6))
    found = by_name(model)
    assert found["attention"] == maps_in + scores + mixed + map_out
    assert count(model).multiply_adds == found["attention"]


class Own(keras.layers.Layer):
    """A product that no layer of Keras makes, inside a function of its own."""

    def __init__(self, function: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


EINSUMS = {
    "product": ("bhwc,bhvc->bhwv", 12 * 10 * 10 * 6),
    "product, axes unnamed": ("...wc,...vc->...wv", 12 * 10 * 10 * 6),
    "sum of all": ("bhwc,bhwc->b", 12 * 10 * 6),
    "element by element": ("bhwc,bhwc->bhwc", 0),
    # w and v are each summed before the one product of 12 x 6 numbers.
    "summed first": ("bhwc,bhvc->bh", 12 * 6),
    "outer": ("bhwc,bhwd->bhwcd", 0),
}


@pytest.mark.parametrize(("equation", "expected"), EINSUMS.values(), ids=EINSUMS)
def test_einsum_by_hand(equation: str, expected: int) -> None:
    assert macs(Own(lambda x: tf.raw_ops.Einsum(inputs=[x, x], equation=equation))) == expected


def test_products_of_layers_of_ones_own_by_hand() -> None:
    def scores(x: Any) -> Any:
        return ops.matmul(x, ops.transpose(x, (0, 1, 3, 2)))

    by_hand = 12 * 10 * 10 * 6
    assert macs(Own(scores)) == by_hand
    assert macs(scores) == by_hand, "not a layer at all"
    assert macs(Own(tf.function(scores))) == by_hand
    assert macs(Own(tf.function(scores, jit_compile=True))) == by_hand

    def converted(x: Any) -> Any:
        if x[0, 0, 0, 0] > 0:  # only autograph understands an `if` on a tensor
            x = -x
        return scores(x)

    assert macs(Own(lambda x: tf.function(converted)(x))) == by_hand


def test_transposed_products_by_hand() -> None:
    assert macs(Own(lambda x: tf.matmul(x, x, transpose_a=True))) == 12 * 6 * 6 * 10
    flat = layers.Reshape((60,)), Own(lambda x: tf.matmul(x, x, transpose_a=True))
    assert macs(*flat, shape=(10, 6)) == 60 * 60 * 1


def test_what_no_output_needs_is_not_counted() -> None:
    def wasteful(x: Any) -> Any:
        tf.matmul(x, x, transpose_b=True)
        return x

    assert macs(Own(wasteful)) == 0


def test_nested_models_are_counted_layer_by_layer() -> None:
    inside = network(CONV(4, 1, name="inside"), shape=(10, 8, 8))
    row = keras.Sequential([CONV(3, 1, name="in_row")])
    found = by_name(network(CONV(8, 3, name="outside"), inside, row))
    assert found["outside"] == 10 * 8 * 9 * 6 * 8
    assert found["inside"] == 10 * 8 * 8 * 4
    assert found["in_row"] == 10 * 8 * 4 * 3


def test_a_layer_used_twice_is_counted_twice_under_its_own_name() -> None:
    # TensorFlow numbers the second call on, into the name of the layer that follows.
    shared, other = CONV(6, 1, name="conv"), CONV(2, 1, name="conv_1")
    found = by_name(network(shared, shared, other))
    once = 12 * 10 * 6 * 6
    assert found["conv"] == 2 * once
    assert found["conv_1"] == 12 * 10 * 6 * 2


def test_parts_of_a_layer_count_as_the_layer() -> None:
    wrapped = layers.TimeDistributed(layers.Dense(3, name="within"), name="wrapper")
    model = network(wrapped, shape=(12, 10, 6))
    assert by_name(model) == {model.layers[0].name: 0, "wrapper": 12 * 10 * 6 * 3}


def test_notebook_cnn_by_hand() -> None:
    model = attach_heads(registry.get("notebook-cnn")((75, 75, 1)), 10)
    by_hand = {
        "conv_1": 73 * 73 * 9 * 1 * 16,  # 767,376
        "conv_2": 34 * 34 * 9 * 16 * 32,  # 5,326,848
        "conv_3": 15 * 15 * 9 * 32 * 64,  # 4,147,200
        "features": 7 * 7 * 64 * 128,  # 401,408
        "classification": 128 * 10,
        "bounding_box": 128 * 4,
    }
    found = count(model)
    named = {operation.name: value for operation, value in found.operations.items()}
    assert {name: value for name, value in named.items() if value} == by_hand
    assert found.multiply_adds == sum(by_hand.values()) == 10_644_624
    assert found.of(model.get_layer("conv_1")) == 767_376


def test_mobilenet_has_its_published_number() -> None:
    # Howard et al. 2017, "MobileNets", table 4: 569 million mult-adds at 224x224.
    model = keras.applications.MobileNet(weights=None)
    assert count(model).multiply_adds == pytest.approx(569e6, rel=1e-3)


def test_tensorflows_profiler_agrees() -> None:
    model = network(
        CONV(8, 3), CONV(8, 3, strides=2, padding="same", dilation_rate=1),
        layers.SeparableConv2D(16, 3), layers.Flatten(), layers.Dense(9),
    )  # fmt: skip
    concrete = tf.function(model).get_concrete_function(tf.TensorSpec((1, *IMAGE)))
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    profile = tf.compat.v1.profiler.profile(concrete.graph, options=options, cmd="op")
    counted: dict[str, int] = {}

    def collect(node: Any) -> None:
        counted[node.name] = node.float_ops
        for child in node.children:
            collect(child)

    collect(profile)
    products = {"Conv2D", "DepthwiseConv2dNative", "MatMul"}
    assert products <= set(counted)
    macs = count(model).multiply_adds
    assert macs is not None
    assert 2 * macs == sum(counted[kind] for kind in products)


def refused(*steps: Callable[[Any], Any], shape: tuple[int, ...] = IMAGE) -> Counted:
    found = count(network(*steps, shape=shape), shape)
    assert found.multiply_adds is None
    return found


def test_products_in_a_loop_are_absent_with_a_reason() -> None:
    found = refused(layers.Dense(5, name="map"), layers.GRU(3, name="turns"), shape=(7, 4))
    assert found.reason is not None
    assert found.reason == "in 'turns' products are repeated in a loop of unknown length (While)"
    named = {operation.name: value for operation, value in found.operations.items()}
    assert named["map"] == 7 * 4 * 5, "the other layers keep theirs"
    assert named["turns"] is None


def test_a_loop_without_products_does_no_harm() -> None:
    def doubled(x: Any) -> Any:
        return tf.map_fn(lambda image: image * 2, x)

    assert macs(Own(doubled), CONV(8, 3)) == 10 * 8 * 9 * 6 * 8


def test_branches_count_if_they_cost_the_same() -> None:
    def choose(other: Callable[[Any], Any]) -> keras.layers.Layer:
        def either(x: Any) -> Any:
            square = tf.matmul(x, x, transpose_b=True)
            product = lambda: tf.matmul(x, x, transpose_b=True)  # noqa: E731
            return tf.cond(tf.reduce_sum(square) > 0, product, lambda: other(x))

        return Own(either, name="either")

    once = 12 * 10 * 10 * 6
    assert macs(choose(lambda x: tf.matmul(-x, x, transpose_b=True))) == 2 * once
    reason = refused(choose(lambda x: tf.zeros((1, 12, 10, 10)))).reason
    assert reason == "in 'either' the image decides which products are made"


REFUSED = {
    "work in Python": (
        lambda x: tf.ensure_shape(tf.numpy_function(lambda a: a, [x], tf.float32), x.shape),
        r"in 'own' a PyFunc operation hides its work from TensorFlow",
    ),
    "a product without a rule": (
        lambda x: tf.linalg.inv(tf.matmul(x, x, transpose_a=True)),
        r"in 'own' the products in a MatrixInverse operation cannot be counted",
    ),
    "an unknown shape": (
        lambda x: tf.matmul(tf.boolean_mask(x[0, 0], x[0, 0, :, 0] > 0), x[0, 0, :6]),
        r"in 'own' the shape of a product's tensor is only known when it runs",
    ),
}


@pytest.mark.parametrize(("function", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_counted_says_why(function: Callable[[Any], Any], reason: str) -> None:
    assert refused(Own(function, name="own", dtype="float32")).reason == reason


def test_a_model_that_cannot_be_traced_says_why() -> None:
    def picky(x: Any) -> Any:
        if x.shape[0] == 1:
            raise RuntimeError("two images at least.\nAnd more words.")
        return x

    found = refused(Own(picky))
    assert found.reason == "the network cannot be traced: RuntimeError: two images at least"
    assert found.operations == {}


def test_the_model_is_left_as_it_was() -> None:
    layer = Own(lambda x: x)
    mine = layer.call
    layer.call = lambda x: mine(x)
    own = layer.call
    model = network(layer, CONV(2, 1))
    before = [dict(vars(one)) for one in model.layers]
    count(model)
    assert layer.call is own
    assert [dict(vars(one)) for one in model.layers] == before


def test_mixed_precision_and_two_replicas_change_nothing() -> None:
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    with tf.distribute.MirroredStrategy(devices).scope():
        policy = keras.DTypePolicy("mixed_float16")
        steps = CONV(8, 3, dtype=policy), layers.BatchNormalization(dtype=policy)
        assert macs(*steps) == 10 * 8 * 9 * 6 * 8
