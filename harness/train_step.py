"""What a training step and a prediction are, as graph functions over all replicas.

Several steps go into one graph call, with the learning rate of each step and the loss weights as
inputs: one trace serves every trial of a backbone. Each replica's loss is divided by the global
batch; the optimizer then sums gradients over replicas by itself, and reducing them by hand would
double them.

Nothing is converted by AutoGraph, which takes longer than tracing: loops and branches are those of
TensorFlow.

XLA compiles loss and gradients only. With the update inside, two replicas fail, because a
compiled function may not touch the variables of another device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness import graph_boxes
from harness.config import BoxLoss
from harness.loss_scale import LossScale, overflows
from harness.model import Blueprint
from harness.strategy import Layout
from harness.tf_keras import keras, tf

TRAIN_METRICS = (
    "train_loss",
    "train_cross_entropy",
    "train_box_mse",
    "train_accuracy",
    "train_mean_iou",
)
"""What a training step sums over its examples, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """What an engine is built and compiled for; runs with equal keys share one.

    Attributes:
        replica_batch: images per replica and step.
        fused: whether a first block that can be is trained as one, see `harness.first_block`.
    """

    blueprint: Blueprint
    replica_batch: int
    steps_per_call: int
    jit: bool = False
    box_loss: BoxLoss = "mse"
    fused: bool = False


class Parts(Protocol):
    """What the graph functions are made of; an `Engine` holds it all.

    Attributes:
        key: what it is built for.
        layout: the open strategy.
        model, optimizer: built under it.
        forward: from images to the model's outputs, as they are trained.
        loss_scale: of float16; None elsewhere.
        global_batch: images per step over all replicas.
        parts: the shards of a replica's batch, see `harness.shards`.
    """

    key: EngineKey
    layout: Layout
    model: keras.Model
    forward: Callable[[Any], Any]
    optimizer: keras.optimizers.Optimizer
    loss_scale: LossScale | None
    global_batch: int
    parts: tuple[slice, ...]


def train_function(engine: Parts) -> Any:
    """Return the graph call: up to `steps_per_call` steps, sums of `TRAIN_METRICS` float64."""
    layout, optimizer = engine.layout, engine.optimizer
    scale = engine.loss_scale
    take_step = _scaled_step(engine, scale) if scale else _plain_step(engine)

    def train_call(
        images: Any, labels: Any, boxes: Any, steps: Any, weights: Any, rates: Any
    ) -> Any:
        # Exact in float64, so that the sums do not depend on the number of steps in a call.
        total = _each(layout, lambda _: tf.zeros(len(TRAIN_METRICS), tf.float64), labels)

        def body(step: Any, total: Any) -> Any:
            # Outside of the replicas: there it would be one assignment for each of them.
            optimizer.learning_rate.assign(rates[step])
            # Cut out here: to a TPU goes what is named as an input, and all of it, at each step.
            batch = [_each(layout, lambda x: x[step], x) for x in (images, labels, boxes)]
            sums = take_step(*batch, weights)
            return step + 1, _each(layout, lambda t, s: t + tf.cast(s, t.dtype), total, sums)

        _, total = tf.while_loop(lambda step, _: step < steps, body, (0, total))
        return layout.strategy.reduce("SUM", total, axis=None)

    return tf.function(train_call, autograph=False)


def _plain_step(engine: Parts) -> Any:
    """Return the function that takes a step in all replicas and returns the sums of each."""
    replica_step = step_function(engine)
    return lambda *args: engine.layout.strategy.run(replica_step, args=args)


def _scaled_step(engine: Parts, loss_scale: LossScale) -> Any:
    """Return what `_plain_step` does, with a scaled loss: all replicas update, or none does."""
    strategy, model = engine.layout.strategy, engine.model
    gradients = gradient_function(engine)

    def replica_gradients(images: Any, labels: Any, boxes: Any, weights: Any, scale: Any) -> Any:
        sums, grads = gradients(images, labels, boxes, weights, scale)
        return sums, grads, overflows(grads)

    def replica_update(grads: Any, scale: Any) -> None:
        unscaled = [g if g is None else tf.convert_to_tensor(g) / scale for g in grads]
        engine.optimizer.apply(unscaled, model.trainable_variables)

    def take_step(*args: Any) -> Any:
        scale = loss_scale.value
        sums, grads, bad = strategy.run(replica_gradients, args=(*args, scale))
        finite = tf.equal(strategy.reduce("SUM", bad, axis=None), 0)

        def update() -> Any:
            strategy.run(replica_update, args=(grads, scale))
            return finite

        # Outside of the replicas: an update sums gradients over them, which no branch inside may.
        tf.cond(finite, update, lambda: finite)
        loss_scale.note(finite)
        return sums

    return take_step


def _each(layout: Layout, function: Callable[..., Any], *values: Any) -> Any:
    """Apply a function to the parts of distributed values, replica by replica on its device."""
    parts = [tf.nest.flatten(value, expand_composites=True) for value in values]
    results = []
    for place, *part in zip(layout.feeds, *parts, strict=True):
        with tf.device(place):
            results.append(function(*part))
    return tf.nest.pack_sequence_as(values[0], results, expand_composites=True)


def step_function(engine: Parts) -> Any:
    """Return the function that takes one step with one replica's batch, to metric sums."""
    model, optimizer = engine.model, engine.optimizer
    gradients = gradient_function(engine)

    def replica_step(images: Any, labels: Any, boxes: Any, weights: Any) -> Any:
        sums, grads = gradients(images, labels, boxes, weights)
        optimizer.apply(grads, model.trainable_variables)
        return sums

    return replica_step


def gradient_function(engine: Parts) -> Any:
    """Return the function from one replica's batch to metric sums and gradients.

    Given a scale, the gradients are those of the loss times it; the sums stay as they are.
    """
    key = engine.key
    shape = (key.replica_batch, *key.blueprint.scene_shape)
    of_part = _part_gradients(engine)

    def gradients(images: Any, labels: Any, boxes: Any, weights: Any, scale: Any = None) -> Any:
        batch = tf.ensure_shape(images, shape), labels, boxes
        if len(engine.parts) == 1:
            return of_part(*batch, weights, scale)
        # Nothing ties one to another: TensorFlow works on as many at once as it has threads.
        found = [of_part(*(x[part] for x in batch), weights, scale) for part in engine.parts]
        sums, grads = zip(*found, strict=True)
        return tf.add_n(sums), [_total(same) for same in zip(*grads, strict=True)]

    return gradients


def _total(gradients: Sequence[Any]) -> Any:
    """Return the sum over shards of a variable's gradients, in order; None if it has none."""
    if gradients[0] is None:
        return None
    return tf.add_n([tf.convert_to_tensor(gradient) for gradient in gradients])


def _part_gradients(engine: Parts) -> Any:
    """Return what `gradient_function` does, for one shard."""
    model, key = engine.model, engine.key
    # What layers add by themselves, such as weight decay, counts once, not in each share.
    shares = engine.layout.replicas * len(engine.parts)

    def gradients(images: Any, labels: Any, boxes: Any, weights: Any, scale: Any) -> Any:
        with tf.GradientTape() as tape:
            probabilities, predicted = engine.forward(_pixels(images))
            entropy = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            box_loss = graph_boxes.box_loss(key.box_loss, boxes, predicted)
            losses = weights[0] * entropy + weights[1] * box_loss
            added = tf.add_n(model.losses) / shares if model.losses else 0.0
            loss = tf.reduce_sum(losses) / engine.global_batch + added
            if scale is not None:
                loss *= scale
        grads = tape.gradient(loss, model.trainable_variables)
        correct = tf.cast(tf.equal(tf.argmax(probabilities, 1, tf.int32), labels), tf.float32)
        error = graph_boxes.squared_error(boxes, predicted)
        columns = (losses, entropy, error, correct, graph_boxes.iou(boxes, predicted))
        return tf.stack([tf.reduce_sum(column) for column in columns]), grads

    return tf.function(gradients, jit_compile=True, autograph=False) if key.jit else gradients


def predict_function(engine: Parts, parts: Sequence[slice] | None = None) -> Any:
    """Return the graph call from one global batch to probabilities and boxes in its order.

    Args:
        engine: what predicts.
        parts: the shards of a replica's batch, if it is not the batch of training.
    """
    strategy, model = engine.layout.strategy, engine.model
    shards = engine.parts if parts is None else parts

    def forward(images: Any) -> Any:
        found = [model(_pixels(images[part]), training=False) for part in shards]
        if len(found) == 1:
            return tuple(found[0])
        return tuple(tf.concat(same, axis=0) for same in zip(*found, strict=True))

    def predict_call(images: Any) -> Any:
        return [strategy.gather(part, axis=0) for part in strategy.run(forward, args=(images,))]

    return tf.function(predict_call, autograph=False)


def _pixels(images: Any) -> Any:
    """Turn uint8 `[n, h, w]` or `[n, h, w, c]` into float32 `[n, h, w, c]` in [0, 1]."""
    values = tf.cast(images, tf.float32) / 255.0
    return values[..., tf.newaxis] if len(images.shape) == 3 else values
