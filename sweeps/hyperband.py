"""Hyperband: rungs at which only the best part of the trials goes on, in several brackets.

Brackets differ in how early their first rung is (L. Li et al. 2018, "Hyperband"); the rule of a
rung is that of L. Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning". Optuna
has both, but keeps what a trial reached in its attributes and draws its bracket by chance from the
study's name; here both follow from trial numbers and curves alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

REDUCTION = 2
"""One trial in so many goes on beyond a rung. With 3, trials of 18 epochs would have one rung."""


class Halving(BasePruner):
    """Stops a trial at a rung unless it is among the best there.

    Args:
        rungs: the 1-based epochs that are rungs, in rising order.
    """

    def __init__(self, rungs: tuple[int, ...]) -> None:
        self._rungs = rungs

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial stops now; all trials of the study are of its bracket."""
        if trial.last_step not in self._rungs:
            return False
        curves = [other.intermediate_values for other in study.get_trials(deepcopy=False)]
        values = [curve[trial.last_step] for curve in curves if trial.last_step in curve]
        # Before there are enough for a part of them to go on, only the best so far does.
        going_on = max(1, len(values) // REDUCTION)
        highest_first = study.direction == StudyDirection.MAXIMIZE
        limit = sorted(values, reverse=highest_first)[going_on - 1]
        value = trial.intermediate_values[trial.last_step]
        return value < limit if highest_first else value > limit


def rungs(first: int, epochs: int, bracket: int) -> tuple[int, ...]:
    """Return the rungs of a bracket: `first`, or for later brackets a multiple, then multiples.

    Args:
        first: earliest epoch at which any trial is stopped.
        epochs: of a trial; at the last one nothing is saved by stopping.
        bracket: 0-based.
    """
    return tuple(_rungs(first * REDUCTION**bracket, epochs))


def bracket_of(number: int, first: int, epochs: int) -> int:
    """Return the bracket of trial `number`, which all workers and later commands agree on.

    Brackets take turns, in blocks as long as their shares of the trials (Li et al. 2018, the
    shares as in Optuna): the earlier its first rung, the more trials a bracket has.
    """
    brackets = len(rungs(first, epochs + 1, 0)) or 1
    shares = [math.ceil(brackets * REDUCTION**s / (s + 1)) for s in reversed(range(brackets))]
    place = number % sum(shares)
    for bracket, share in enumerate(shares):
        if place < share:
            return bracket
        place -= share
    raise AssertionError("unreachable: a place lies below the sum of the shares")


def _rungs(epoch: int, end: int) -> Iterator[int]:
    while epoch < end:
        yield epoch
        epoch *= REDUCTION
