"""How fast training scenes are made, without a network that waits for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

from harness.config import RunConfig
from harness.data import Data


def scenes_made(config: RunConfig, data: Data) -> Iterator[int]:
    """Make scenes as training takes them, epoch after epoch; yield how many came at once.

    Args:
        config: batch and steps of a graph call, for which scenes are made in one piece.
        data: what to make them of.
    """
    batch = min(config.batch, data.n_train)
    size = batch * min(config.steps_per_call, data.n_train // batch)
    for epoch in itertools.count(1):
        order = data.train_order(epoch, config.seed)[: data.n_train // batch * batch]
        for start in range(0, len(order), size):
            yield len(data.train_scenes(epoch, order[start : start + size]).ids)


def rounds(
    makers: Sequence[Iterator[int]], *, repeats: int, seconds: float,
    on_turn: Callable[[int, int], None] = lambda _round, _place: None,
) -> list[list[float]]:  # fmt: skip
    """Time several makers of scenes in turns; return the scenes/s of each, round by round.

    The first piece of each is not timed: banks and tables are made for it.

    Args:
        makers: of `scenes_made`.
        repeats: rounds.
        seconds: that each is timed in a round, at least.
        on_turn: is told round and place, from 0, before each turn.
    """
    for maker in makers:
        next(maker)
    rates: list[list[float]] = [[] for _ in makers]
    for number in range(repeats):
        for place, maker in enumerate(makers):
            on_turn(number, place)
            made, start = 0, perf_counter()
            while (elapsed := perf_counter() - start) < seconds or not made:
                made += next(maker)
            rates[place].append(made / elapsed)
    return rates
