"""The pruners by name, with the figures that say when they stop a trial."""

from __future__ import annotations

import math
from typing import Literal

from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner

from sweeps.hyperband import Halving, bracket_of, rungs

PrunerName = Literal["percentile", "median", "hyperband", "dominance", "none"]

STARTUP_TRIALS = 5
"""Trials that must have finished before the first is stopped early (Optuna's own default).

Replayed as told below, 3 missed the best more often, and 10 took a tenth more epochs.
"""

PERCENTILE = 67.0
"""The percentile pruner keeps this best share, in percent, at each epoch.

From `benchmarks/bench_pruners.py`: four sweeps of 30 and 40 whole curves of `patch-s` (three on
digits, one on MNIST), each replayed in 200 orders of three quarters of them. Epochs taken, loss of
score against no pruning, and gain over as many whole trials as these epochs would have paid for:

    keeps    epochs      loss            gain
    33 %     63-78 %     0.004-0.025     -0.015 to +0.011
    50 %     69-82 %     0.000-0.017     -0.009 to +0.013
    67 %     77-86 %     0.000-0.004     +0.002 to +0.009
    75 %     80-88 %     0.000-0.001     +0.004 to +0.008

On simulated smooth curves 33 % was good; real ones are noisy, and among the trials that a good
sampler proposes the best is often in the lower half after a third of its epochs.
"""


def warmup_epochs(epochs: int) -> int:
    """Return how many epochs no trial of that length is stopped.

    A third of the trial, but at least two: until a network has left chance level its curve says
    nothing of its end. On `digits` half of the finished trials of 20 epochs did so (validation
    accuracy of 0.2 or more) after epoch 9, the first after epoch 5. Without a warm-up `percentile`
    takes a quarter fewer epochs of digits, but lost 0.018 of score in one sweep of four.
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
