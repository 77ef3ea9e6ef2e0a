"""A compiled forward pass for batches of one size, to be timed; as `Engine.predict` does it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.engine import Engine
from harness.errors import UsageError
from harness.shards import cut
from harness.train_step import predict_function


class Inference:
    """Predicts global batches of one size, with the weights that an engine has at the time.

    `Engine.predict` knows the training batch only: a single image would cost it a whole batch.

    Args:
        engine: whose network predicts.
        batch: images of a call, over all replicas.

    Raises:
        UsageError: the replicas cannot share the batch.
    """

    def __init__(self, engine: Engine, batch: int) -> None:
        layout = engine.layout
        if batch % layout.replicas:
            raise UsageError(
                f"a batch of {batch} cannot be shared evenly by {layout.replicas} replicas"
            )
        self.batch = batch
        self._engine = engine
        blueprint = engine.key.blueprint
        parts = cut(
            engine.model, backbone=blueprint.backbone, head=blueprint.head,
            images=batch // layout.replicas, shards=layout.shards,
        )  # fmt: skip
        self._call = predict_function(engine, parts)

    def __call__(self, images: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
        """Return probabilities `[batch, classes]` and boxes `[batch, 4]`, once they are here.

        Args:
            images: uint8 `[batch, height, width]`, on this machine.
        """
        return tuple(part.numpy() for part in self._call(self._engine.spread(images)))
