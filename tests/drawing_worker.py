"""One worker of two whose net drops features, for `harness.certify_processes`."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from probes import observed

from harness.agreement import TrainPath
from harness.replica_layers import share_batches
from harness.strategy import open_layout

WIDTH = 64


def tell(_request: str, to: str) -> None:
    """Write what this worker keeps of ones, twice."""
    strategy = open_layout(strategy="multiworker", devices="", threads=0).strategy
    with strategy.scope():
        inputs = keras.Input((WIDTH,))
        net = keras.Model(inputs, keras.layers.Dropout(0.5, seed=11)(inputs))
    share_batches(net)
    step = tf.function(lambda: strategy.run(lambda: net(tf.ones((1, WIDTH)), training=True)))
    outputs = np.concatenate([np.asarray(step()), np.asarray(step())]).astype(np.float64)
    none = np.zeros(0)
    path = TrainPath(losses=none, gradient=none, averages=none, outputs=outputs)
    observed(path=path).save(Path(to))
    # The chief takes the others with it: stay until the process is ended.
    sys.stdin.read()
