"""Takes chance out of a network: the rates of layers that draw at random become 0.

Replicas draw other masks than one device (see `harness.replica_layers`), so a net with dropout
has no path that two layouts share. What can be compared is the same net without its draws.
"""

from __future__ import annotations

from harness.replica_layers import random_layers, seed_generators
from harness.tf_keras import keras

RATES = (
    "rate", "stddev", "dropout", "recurrent_dropout", "drop_rate", "drop_prob", "drop_path_rate",
)  # fmt: skip
"""Attributes by which layers of Keras, and plug-ins that follow its habits, say how much."""


def silence(model: keras.Model) -> tuple[str, ...]:
    """Set the rates of a model's random layers to 0, before any trace; return their names."""
    silenced = []
    for layer in random_layers(model):
        rates = [name for name in RATES if isinstance(getattr(layer, name, None), (int, float))]
        for name in rates:
            setattr(layer, name, 0.0)
        if rates:
            silenced.append(layer.name)
    return tuple(silenced)


def shift_draws(model: keras.Model) -> None:
    """Move every seed of a model on, so that what draws at all draws something else."""
    for layer in random_layers(model):
        for seeds in seed_generators(layer):
            seeds.state.assign(seeds.state + 1)
