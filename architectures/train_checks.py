"""Checks of the test kit that train a network: gradients, precisions, compiler, two replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from architectures.heads import attach_heads
from architectures.probe import CLASSES, built, images, shake
from architectures.registry import Backbone, ImageShape
from harness.errors import PluginError, UsageError

STEPS = 10
"""Steps in which one batch must be learned a little."""

PRECISIONS = ("mixed_bfloat16", "mixed_float16")

# Compiled, operations are fused and sums reordered, which a gradient feels more than a feature;
# seen: up to 2e-3 of the largest gradient of a weight, in deep nets with normalisation.
GRADIENT_TOLERANCE = 1e-2


def check_gradients(backbone: Backbone, image_shape: ImageShape) -> None:
    """A gradient reaches every trainable weight."""
    model = attach_heads(built(backbone, image_shape), CLASSES)
    shake(model)
    some = images(8, image_shape)
    with tf.GradientTape() as tape:
        outputs = model(some, training=False)
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


def check_learns(backbone: Backbone, image_shape: ImageShape) -> None:
    """Ten steps of Adam on one batch lower the loss."""
    model = _with_heads(backbone, image_shape)
    some, labels, boxes = _batch(8, image_shape)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)

    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = _loss(model, some, labels, boxes, training=True)
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(grads, model.trainable_variables)
        return loss

    compiled_step = tf.function(step)
    losses = [float(compiled_step()) for _ in range(STEPS + 1)]
    if not np.isfinite(losses).all() or not losses[-1] < losses[0]:
        raise PluginError(
            f"{backbone.name}: {STEPS} steps of Adam (1e-3) on one batch of 8 images must lower "
            f"the loss, but it went from {losses[0]:.4g} to {losses[-1]:.4g}. Check "
            "initializers, normalisation and the size of the features."
        )


def check_mixed_precision(backbone: Backbone, image_shape: ImageShape) -> None:
    """It runs in bfloat16 and float16: finite features and gradients of that precision."""
    before = keras.config.dtype_policy()
    try:
        for precision in PRECISIONS:
            keras.config.set_dtype_policy(precision)
            _check_precision(backbone, image_shape, precision)
    finally:
        keras.config.set_dtype_policy(before)


def check_xla(backbone: Backbone, image_shape: ImageShape) -> None:
    """XLA compiles its gradient step, and computes the same."""
    model = _with_heads(backbone, image_shape)
    batch = _batch(4, image_shape)
    plain = tf.function(lambda: _gradients(model, *batch))()
    try:
        compiled = tf.function(lambda: _gradients(model, *batch), jit_compile=True)()
    except Exception as error:
        raise PluginError(
            f"{backbone.name}: XLA must compile it, but it raised {type(error).__name__}: "
            f"{_first_line(error)} Use operations with static shapes."
        ) from error
    _compare(backbone, model, plain, compiled, "compiled by XLA")


def check_replicas(backbone: Backbone, image_shape: ImageShape) -> None:
    """Two replicas of half a batch each have the gradients of the whole batch on one."""
    strategy = _two_replicas()
    with strategy.scope():
        model = _with_heads(backbone, image_shape)
    some, labels, boxes = _batch(4, image_shape)

    def half() -> list[Any]:
        # Chosen by number: a distributed input would be tested as well, and is not at issue.
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        mine = [tf.reshape(a, (2, 2, *a.shape[1:]))[replica] for a in (some, labels, boxes)]
        return _gradients(model, *mine)

    try:
        halves = tf.function(lambda: strategy.run(half))()
        reduced = [strategy.reduce("MEAN", gradient, axis=None) for gradient in halves]
    except Exception as error:
        raise PluginError(
            f"{backbone.name}: it must run in two replicas, but it raised "
            f"{type(error).__name__}: {_first_line(error)} Create variables in build, and do not "
            "assign to them by plain Python in call."
        ) from error
    whole = tf.function(lambda: _gradients(model, some, labels, boxes))()
    _compare(backbone, model, whole, reduced, "in two replicas")


def prepare() -> None:
    """Make two logical CPU devices for `check_replicas`; call it before TensorFlow is used.

    Raises:
        UsageError: TensorFlow has already run something in this process.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) >= 2:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    except RuntimeError as error:
        raise UsageError(
            "`contract.prepare()` must run before TensorFlow's first operation in a process, but "
            "some have run. Call it at the top of conftest.py."
        ) from error


def _two_replicas() -> Any:
    if len(tf.config.list_logical_devices("CPU")) < 2:
        raise UsageError(
            "`check_replicas` needs two logical CPU devices, found one. Call contract.prepare() "
            "before TensorFlow's first operation, such as at the top of conftest.py."
        )
    # Not by collective operations, whose numbers clash with another strategy of this process.
    return tf.distribute.MirroredStrategy(
        ["cpu:0", "cpu:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def _with_heads(backbone: Backbone, image_shape: ImageShape) -> keras.Model:
    model = attach_heads(built(backbone, image_shape), CLASSES)
    shake(model)
    return model


def _batch(count: int, image_shape: ImageShape) -> tuple[Any, Any, Any]:
    """Return images, labels and boxes as tensors."""
    labels = np.arange(count) % CLASSES
    low = np.linspace(0, 0.5, 2 * count, dtype=np.float32).reshape(count, 2)
    boxes = np.concatenate([low, low + 0.4], axis=1)
    return tuple(tf.constant(a) for a in (images(count, image_shape), labels, boxes))


def _loss(model: keras.Model, some: Any, labels: Any, boxes: Any, *, training: bool) -> Any:
    probabilities, predicted = model(some, training=training)
    entropy = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    return tf.reduce_mean(entropy) + tf.reduce_mean((predicted - boxes) ** 2)


def _gradients(model: keras.Model, some: Any, labels: Any, boxes: Any) -> list[Any]:
    """Return the gradients at inference, where no draw and no other image plays a part."""
    with tf.GradientTape() as tape:
        loss = _loss(model, some, labels, boxes, training=False)
    return [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)]


def _check_precision(backbone: Backbone, image_shape: ImageShape, precision: str) -> None:
    body = built(backbone, image_shape)
    computed = precision.removeprefix("mixed_")
    if body.output.dtype != computed:
        raise PluginError(
            f"{backbone.name}: features under {precision} must be {computed}, got "
            f"{body.output.dtype}. Do not fix the dtype of layers, and do not cast."
        )
    model = attach_heads(body, CLASSES)
    shake(model)
    try:
        gradients = _gradients(model, *_batch(4, image_shape))
    except Exception as error:
        raise PluginError(
            f"{backbone.name}: it must train under {precision}, but it raised "
            f"{type(error).__name__}: {_first_line(error)} Let constants follow the dtype of what "
            "they meet."
        ) from error
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        if not np.isfinite(np.asarray(gradient, np.float32)).all():
            raise PluginError(
                f"{backbone.name}: gradients under {precision} must be finite, but that of "
                f"{weight.path} is not. Keep sums and exponentials small, or in float32."
            )


def _compare(
    backbone: Backbone, model: keras.Model, plain: Sequence[Any], other: Sequence[Any], how: str
) -> None:
    """Raise unless both lists of gradients agree, each weight by its largest gradient."""
    for weight, one, two in zip(model.trainable_variables, plain, other, strict=True):
        a, b = np.asarray(one), np.asarray(two)
        if not _agree(a, b):
            raise PluginError(
                f"{backbone.name}: gradients {how} must be the same, but that of {weight.path} "
                f"differs by {np.abs(a - b).max():.2g} where it is {np.abs(a).max():.2g}. Let no "
                "operation depend on the batch or on the device."
            )


def _agree(a: NDArray[np.floating], b: NDArray[np.floating]) -> bool:
    return bool(
        np.abs(a - b).max(initial=0) <= GRADIENT_TOLERANCE * np.abs(a).max(initial=0) + 1e-6
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
