"""How long a sweep will take, from the measured pace of its networks. Plain arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.pace import Paces

USUAL_SHARE = {"none": 1.0, "median": 0.75, "percentile": 0.82, "hyperband": 0.65}
"""Share of the epochs that pruners leave: the middle of what `sweeps.pruners` tells of real
curves; of hyperband the mean over simulated ones."""

UNPRUNED = 8
"""Trials that run in full: 5 must have finished, and 3 more have begun, before one is stopped."""

AROUND_S = 30.0
"""What a command takes beside its trainings, on two shared cores: to load MLflow and the data,
to draw pictures, to write the report."""

KEEP_S = 0.3
"""Writing predictions and record of a run, and what MLflow is told of it in the meantime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs of one kind that are left to do.

    Attributes:
        epochs, images: of each, so many images in each epoch.
        predicted: images evaluated after each epoch.
        tested: images evaluated once more at the end.
    """

    count: int
    epochs: int
    images: int
    predicted: int
    tested: int

    def each_s(self, paces: Paces) -> float:
        """Return the seconds of one that is not stopped early, its network compiled already."""
        train = self.epochs * self.images * paces.mean("train_s")
        predict = (self.epochs * self.predicted + self.tested) * paces.mean("predict_s")
        return paces.mean("load_s") + paces.mean("reset_s") + train + predict + KEEP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The wall-clock of what is left, in seconds.

    Attributes:
        trial_s: of one trial in full.
        trials_s: of all trials, none stopped early.
        pruned_s: of all trials, with as many stopped as the pruner usually does.
        final_s: of one final.
        finals_s: of all finals, and of what repeats the best trial.
        start_s: until the first step of all.
    """

    trial_s: float
    trials_s: float
    pruned_s: float
    final_s: float
    finals_s: float
    start_s: float

    @property
    def most_s(self) -> float:
        """Return the wall-clock if no trial is stopped early."""
        return self.start_s + self.trials_s + self.finals_s

    @property
    def usual_s(self) -> float:
        """Return the wall-clock if as many trials are stopped as usual."""
        return self.start_s + self.pruned_s + self.finals_s


def forecast(
    paces: Paces, *, trials: Runs, finals: Runs, done: int, workers: int, pruner: str,
    reruns: Runs | None = None,
) -> Forecast:  # fmt: skip
    """Return how long it will take.

    Args:
        paces: measured while as many processes were busy as there will be workers.
        trials: what is left to do of them.
        finals: likewise.
        done: trials that have ended before.
        workers: how many train at once.
        pruner: decides which share of the epochs is usually trained.
        reruns: what is left to do of what repeats the best trial.
    """
    compile_s = paces.mean("compile_s")
    # A trial of another network compiles it anew, and a final the network of the best.
    anew_s = compile_s if paces.asked > 1 else 0.0
    trial_s, final_s = trials.each_s(paces) + anew_s, finals.each_s(paces)
    in_full = min(trials.count, max(0, UNPRUNED - done))
    pruned = in_full + USUAL_SHARE.get(pruner, 1.0) * (trials.count - in_full)
    rounds = math.ceil(trials.count / workers)
    again_s = math.ceil(finals.count / workers) * final_s + (anew_s if finals.count else 0.0)
    if reruns is not None:
        again_s += math.ceil(reruns.count / workers) * reruns.each_s(paces)
    return Forecast(
        trial_s=trial_s,
        trials_s=rounds * trial_s,
        pruned_s=min(rounds, max(1.0, pruned / workers)) * trial_s if trials.count else 0.0,
        final_s=final_s,
        finals_s=again_s,
        start_s=AROUND_S + paces.start_s + compile_s,
    )
