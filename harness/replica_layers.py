"""What layers that look across a batch, or draw at random, do under several replicas.

Replicas share a global batch, and together they must do what one device does with all of it:

- Batch normalisation takes the statistics of the global batch: sums over all replicas, in
  float32 under mixed precision too. The path of a net with batch normalisation is therefore that
  of one device, up to rounding; its moving averages are the same on every replica.
- Layers that draw at random (dropout, noise) draw otherwise in each replica. Keras 3 gives all
  replicas the same seed, so the first image of each part would lose the same features. Here
  replica r adds r * `SEED_STEP` to the seed of the layer; replicas are numbered through all
  workers. The count of draws beside it stays the same on all of them. Runs repeat by seed, but
  another number of replicas draws other masks: such nets take the same path in distribution only.
- One replica is left as it is, bit by bit.

A layer is recognised by what it holds: a `keras.random.SeedGenerator`, as every random layer of
Keras does. A plug-in that calls `keras.random` without one, or `tf.random`, is beyond reach.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import UsageError
from harness.tf_keras import keras, tf

SEED_STEP = 1_327_217_885
"""The golden section of 2^31, within which Keras takes seeds: its multiples keep far apart, so
that no replica meets the seed of another layer by counting up."""


def share_batches(model: keras.Model) -> None:
    """Let the layers of a model work on a batch that several replicas share; before any trace."""
    for layer in _layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        for seeds in seed_generators(layer):
            seeds.next = functools.partial(_next_of_replica, seeds.next)


def check_jit(model: keras.Model, *, name: str, jit: bool, replicas: int) -> None:
    """Raise `UsageError` if XLA cannot compile the gradients of a model over several replicas.

    Args:
        model: the network.
        name: its backbone, for the words.
        jit: whether XLA is asked for.
        replicas: replicas in step.
    """
    if not jit or replicas == 1:
        return
    for layer in _layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise UsageError(
                f"XLA cannot compile sums over replicas, but batch normalisation over {replicas} "
                f"replicas needs them, and {name} has it ({layer.name}). Use --jit off."
            )


def looks_across(model: keras.Model) -> bool:
    """Tell whether one device must see the whole batch at once for the result to be its own.

    So it is with batch normalisation, with draws at random and with losses that layers add by
    themselves, which may be means over the batch.
    """
    return any(
        (isinstance(layer, keras.layers.BatchNormalization) and layer.trainable)
        or seed_generators(layer)
        or layer.activity_regularizer is not None
        for layer in _layers(model)
    )


def random_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers that can draw at random: those that hold a seed generator."""
    return (layer for layer in _layers(model) if seed_generators(layer))


def seed_generators(layer: keras.layers.Layer) -> list[Any]:
    """Return the seed generators that belong to a layer itself."""
    return list(layer._seed_generators)  # noqa: SLF001 - Keras has no other list of them


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield every layer once, however deep: also parts of layers and of subclassed models."""
    # Keras's `layers` stops at the outermost.
    yield from {id(layer): layer for layer in model._flatten_layers()}.values()  # noqa: SLF001


def _next_of_replica(draw: Callable[..., Any], *how: Any, **more: Any) -> Any:
    """Return the seed of the next draw, int64 `[2]` (seed, count), for the replica that asks."""
    seed = draw(*how, **more)
    context = tf.distribute.get_replica_context()
    if context is None:  # the model is being built
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([replica * SEED_STEP, tf.zeros_like(replica)])
