"""`Goal`: what a search is after: where to read it, how it reads, and which trials are best by it.

With several there is no best trial but a front: the trials that no other one dominates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.record import METRICS, QUALITY, EpochPoint, RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One objective of a search.

    Attributes:
        name: of the measure, such as "score"; one of `METRICS`.
    """

    name: str = "score"

    @property
    def measure(self) -> str:
        """Return its name in the record of a trial."""
        return f"validation_{self.name}" if self.name in QUALITY else self.name

    @property
    def tested(self) -> str | None:
        """Return its name on the test split; None for a cost, which has no split."""
        return f"test_{self.name}" if self.name in QUALITY else None

    @property
    def title(self) -> str:
        """Return how it reads, such as "validation score" or "images/s"."""
        return f"{'validation ' if self.name in QUALITY else ''}{METRICS[self.name].title}"

    @property
    def sign(self) -> int:
        """Return 1 if more is better, else -1."""
        return 1 if METRICS[self.name].better == "higher" else -1

    @property
    def digits(self) -> int:
        """Return the decimals that it is shown with."""
        return METRICS[self.name].digits

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the ends of the interval that it lies in."""
        return (0, 1 if self.sign > 0 and self.name in QUALITY else math.inf)

    def at_end(self, record: RunRecord) -> float | None:
        """Return its value in a record, None if it is absent."""
        return record.value(self.measure)

    def after_epoch(self, point: EpochPoint) -> float | None:
        """Return its value after an epoch, None where only the end tells."""
        if self.name == "images_per_s":
            return point.images / point.train_s if point.train_s > 0 else None
        return point.metrics.get(self.measure)


SCORE = (Goal(),)
"""What a sweep is after that does not say."""


def dominates(a: Sequence[float], b: Sequence[float], goals: Sequence[Goal]) -> bool:
    """Return whether `a` is nowhere worse than `b` and somewhere better."""
    gains = [goal.sign * (x - y) for x, y, goal in zip(a, b, goals, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def front(values: Mapping[int, Sequence[float]], goals: Sequence[Goal]) -> tuple[int, ...]:
    """Return the trials that none of the others dominates, best in the first goal first.

    Args:
        values: number of a trial -> its value of each goal. Of equals the earliest stays.
        goals: say which way is better.
    """
    kept: list[int] = []
    for number in ranked(values, goals):
        rivals = [values[other] for other in kept]
        equal = any(tuple(rival) == tuple(values[number]) for rival in rivals)
        if not equal and not any(dominates(rival, values[number], goals) for rival in rivals):
            kept.append(number)
    return tuple(kept)


def ranked(values: Mapping[int, Sequence[float]], goals: Sequence[Goal]) -> list[int]:
    """Return the trials, best in the first goal first, ties by the further goals, then earliest.

    None is dominated by a later one.
    """
    return sorted(
        values,
        key=lambda n: (*(-goal.sign * v for goal, v in zip(goals, values[n], strict=True)), n),
    )
