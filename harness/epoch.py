"""One pass over the training examples, the same for runs and for whoever times them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.data import Data
from harness.engine import Engine, EpochResult, Objective
from harness.scenes import Scenes
from harness.schedule import Schedule

Make = Callable[[int, NDArray[np.int64]], Scenes]
"""What turns an epoch and the ids of examples into scenes, as `Data.train_scenes` does."""


def train_epoch(
    epoch: int,
    config: RunConfig,
    plan: Schedule,
    engine: Engine,
    data: Data,
    *,
    on_images: Callable[[int], None] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    make: Make | None = None,
) -> EpochResult:
    """Train on each example once.

    Args:
        epoch: counted from 1.
        config: loss weights and the seed of the order.
        plan: the learning rate of each step of the run.
        engine: compiled for the configuration.
        data: what to train on.
        on_images: called after each graph call with the number of images trained so far.
        go_on: asked, in another thread, before each graph call but the first; False ends the
            pass there.
        make: what makes the scenes, in another thread, instead of the data themselves.
    """
    objective = Objective(
        learning_rate=config.learning_rate,
        class_weight=config.class_weight,
        box_weight=config.box_weight,
    )
    steps = data.n_train // engine.global_batch
    return engine.train(
        chunks(data, engine, epoch=epoch, seed=config.seed, go_on=go_on, make=make),
        objective=objective,
        rates=plan.rates((epoch - 1) * steps, steps),
        on_images=on_images,
    )


def chunks(
    data: Data, engine: Engine, *, epoch: int, seed: int, go_on: Callable[[], bool] = lambda: True,
    make: Make | None = None,
) -> Iterator[Scenes]:  # fmt: skip
    """Yield this process's scenes of one epoch in training order, cut into graph calls.

    Args:
        data: what to train on.
        engine: says how many make a graph call.
        epoch: counted from 1.
        seed: of the order.
        go_on: asked before each part but the first; False ends the epoch there.
        make: what makes the scenes instead of the data themselves.
    """
    order = data.train_order(epoch, seed)[: images_per_epoch(data, engine.global_batch)]
    order = engine.share(order)
    size = engine.local_batch * engine.key.steps_per_call
    for start in range(0, len(order), size):
        if start and not go_on():
            return
        yield (make or data.train_scenes)(epoch, order[start : start + size])


def images_per_epoch(data: Data, global_batch: int) -> int:
    """Return how many examples an epoch trains on: whole batches only, others each epoch."""
    return data.n_train // global_batch * global_batch
