"""Stops a trial of several objectives early: one that even its best possible end would not save.

Optuna itself cannot judge such trials. A trial goes on as long as it could still reach the front:
its bound is what it has now, improved in each objective by the largest gain that any earlier
trial showed from this epoch to its end. If an earlier trial dominates that bound, it is stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.goal import Goal, dominates
from sweeps.pruners import STARTUP_TRIALS, warmup_epochs
from sweeps.sampler import Guide, TrialRow


class DominanceJudge:
    """Decides after each epoch of one trial whether it goes on.

    Args:
        guide: the trials it is compared with.
        epochs: how many epochs the trial lasts.
        objectives: what is searched for; one that is known at the end only bounds nothing, so a
            trial that has such an objective is never stopped.
    """

    def __init__(self, guide: Guide, *, epochs: int, objectives: Sequence[Goal]) -> None:
        self._epochs, self._objectives = epochs, tuple(objectives)
        self._finished = [row for row in guide.seen if row.status == "finished" and row.values]

    def goes_on(self, epoch: int, values: Sequence[float | None]) -> bool:
        """Return whether the trial continues, given the objectives after a 1-based `epoch`."""
        # Stopping at the last epoch saves nothing and would hide a complete result.
        if len(self._finished) < STARTUP_TRIALS or not (
            warmup_epochs(self._epochs) < epoch < self._epochs
        ):
            return True
        bound = [self._bound(index, epoch, value) for index, value in enumerate(values)]
        known = [value for value in bound if value is not None]
        if len(known) < len(bound):
            return True
        return not any(dominates(row.values, known, self._objectives) for row in self._finished)

    def _bound(self, index: int, epoch: int, value: float | None) -> float | None:
        """Return the best that an objective may still come to, None if nothing is known."""
        if value is None or not math.isfinite(value):
            return None
        gains = [
            gain for row in self._finished if (gain := self._gain(row, index, epoch)) is not None
        ]
        sign = self._objectives[index].sign
        return value + sign * max(0.0, *gains) if gains else None

    def _gain(self, row: TrialRow, index: int, epoch: int) -> float | None:
        """Return how much better a finished trial became after an epoch."""
        at_epoch = dict(row.curves[index]).get(epoch) if index < len(row.curves) else None
        if at_epoch is None:
            return None
        return self._objectives[index].sign * (row.values[index] - at_epoch)
