"""Trains as a run does, for as long as it is told: to warm up, and to be timed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter

from harness.config import RunConfig
from harness.data import Data
from harness.engine import Engine
from harness.epoch import train_epoch
from harness.schedule import schedule
from harness.stationary import steady_from
from harness.timing import Span

WARM_UP_S = 60.0
"""Longest warm-up; a network whose pace is not stationary by then is timed, but flagged."""

_PIECE_S = 2.0
"""Seconds of training after which the pace is looked at."""


class Training:
    """Trains epoch after epoch, as a run does, for as long as it is told.

    Args:
        config: of the contender.
        engine: compiled for it, with its first weights.
        data: to train on.

    Attributes:
        epoch: the last one that was begun, counted from 1.
    """

    def __init__(self, config: RunConfig, engine: Engine, data: Data) -> None:
        self._config, self._engine, self._data = config, engine, data
        steps = data.n_train // engine.global_batch
        self._plan = schedule(config, global_batch=engine.global_batch, steps_per_epoch=steps)
        self.epoch = 0

    def train(
        self, seconds: float, on_images: Callable[[int, int], None] | None = None
    ) -> list[Span]:
        """Train on for so long, one graph call at least; return the calls.

        Args:
            seconds: after which no further call begins.
            on_images: called after each with the epoch and the images trained in it.
        """
        until = perf_counter() + seconds
        spans: list[Span] = []
        while not spans or perf_counter() < until:
            self.epoch += 1
            told = functools.partial(on_images, self.epoch) if on_images else None
            result = train_epoch(
                self.epoch, self._config, self._plan, self._engine, self._data, on_images=told,
                go_on=lambda: perf_counter() < until,
            )  # fmt: skip
            spans += result.spans
        return spans

    def warm_up(self, limit_s: float) -> tuple[list[Span], bool]:
        """Train until the pace is stationary or the time is over; return the calls, and which."""
        until = perf_counter() + limit_s
        spans: list[Span] = []
        while True:
            spans += self.train(_PIECE_S)
            if steady_from([span.step_s for span in spans]) is not None:
                return spans, True
            if perf_counter() > until:
                return spans, False
