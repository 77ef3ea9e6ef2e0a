"""The pruners by name, with the figures that say when they stop a trial."""

from __future__ import annotations

import math
from typing import Literal

from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner

from sweeps.hyperband import Halving, bracket_of, rungs

PrunerName = Literal["percentile", "median", "hyperband", "dominance", "none"]

STARTUP_TRIALS = 5
"""Trials that must have finished before the first is stopped early (Optuna's own default)."""

PERCENTILE = 33.0
"""The percentile pruner keeps this best share, in percent, at each epoch."""


def warmup_epochs(epochs: int) -> int:
    """Return how many epochs no trial of that length is stopped.

    A third of the trial, but at least two: until a network has left chance level its curve says
    nothing of its end. On `digits` half of the finished trials of 20 epochs did so (validation
    accuracy of 0.2 or more) after epoch 9, the first after epoch 5.
    """
    return max(2, math.ceil(epochs / 3))


def bracket(name: PrunerName, number: int, epochs: int) -> int:
    """Return which trials a trial is compared with: those of an equal bracket."""
    return bracket_of(number, _first_judged(epochs), epochs) if name == "hyperband" else 0


def make_pruner(name: PrunerName, epochs: int, bracket: int = 0) -> BasePruner:
    """Return a fresh pruner for trials of so many epochs.

    Args:
        name: of the pruner.
        epochs: of a trial.
        bracket: of the trial, as the function of that name says.
    """
    first = _first_judged(epochs)
    match name:
        case "percentile":
            return PercentilePruner(
                PERCENTILE, n_startup_trials=STARTUP_TRIALS, n_warmup_steps=first
            )
        case "median":
            return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=first)
        case "hyperband":
            return Halving(rungs(first, epochs, bracket))
        case "dominance" | "none":  # the first has a judge of its own
            return NopPruner()


def _first_judged(epochs: int) -> int:
    return warmup_epochs(epochs) + 1
