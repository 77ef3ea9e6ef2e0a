r"""The learning rate of each step: scaled with the global batch, warmed up, and let down to 0.

With the learning rate e, the global batch B and the reference batch R,

    scaled rate = e k,      k = 1 (none),  B / R (linear)  or  sqrt(B / R) (sqrt)
    rate of step t = e + (e k - e) t / W       for t < W,     W steps of warm-up
                   = e k d((t - W) / (T - W))  from then on,  T steps of the run
    d(p) = 1 (none),  1 - p (linear)  or  (1 + cos(pi p)) / 2 (cosine)

The factor k depends on the global batch alone, not on how many replicas share it: a strategy
changes speed, not results. Steps t = 0, 1, ... are counted from the start of the run, which has
all its epochs even if `--patience` ends it sooner.

Sources: linear scaling and gradual warm-up, Goyal et al. 2017 (Accurate, Large Minibatch SGD:
Training ImageNet in 1 Hour, sections 2.1 and 2.2); the square root, Krizhevsky 2014 (One weird
trick for parallelizing convolutional neural networks, section 5), used with an optimizer of Adam's
kind by You et al. 2020 (Large Batch Optimization for Deep Learning: Training BERT in 76 minutes);
the cosine, Loshchilov & Hutter 2017 (SGDR, without restarts); the straight line, Defazio et al.
2023 (When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.config import Decay, RunConfig
from harness.errors import UsageError

LINEAR_WARMUP_EPOCHS = 1.0
"""Epochs of warm-up under linear scaling if none are named; Goyal et al. took 5 of 90."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What the learning rate does over a run.

    Attributes:
        start: rate of the first step, if there is a warm-up.
        scaled: rate once the warm-up is over.
        warmup_steps: steps until then, not necessarily whole; 0 for none.
        decay: how it falls from then on.
        steps: of the whole run, where it would be 0.
    """

    start: float
    scaled: float
    warmup_steps: float
    decay: Decay
    steps: int

    def rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0 over the run; after it, where it ended."""
        if step < self.warmup_steps:
            return self.start + (self.scaled - self.start) * step / self.warmup_steps
        match self.decay:
            case "none":
                return self.scaled
            case "linear":
                return self.scaled * (1 - self._progress(step))
            case "cosine":
                return self.scaled * (1 + math.cos(math.pi * self._progress(step))) / 2

    def rates(self, first: int, count: int) -> tuple[float, ...]:
        """Return the rates of `count` steps from the step `first` on."""
        return tuple(self.rate(step) for step in range(first, first + count))

    def _progress(self, step: int) -> float:
        """Return which share of the steps after the warm-up lies behind a step, in [0, 1].

        It stays 1 for whoever trains on after the run, as timing does.
        """
        if step >= self.steps:
            return 1.0
        return (step - self.warmup_steps) / (self.steps - self.warmup_steps)


def schedule(config: RunConfig, *, global_batch: int, steps_per_epoch: int) -> Schedule:
    """Return the learning rates of a run.

    Raises:
        UsageError: the warm-up is longer than the run.
    """
    check_warmup(config)
    return Schedule(
        start=config.learning_rate,
        scaled=config.learning_rate * _factor(config, global_batch),
        warmup_steps=warmup_epochs(config) * steps_per_epoch,
        decay=config.learning_rate_decay,
        steps=config.epochs * steps_per_epoch,
    )


def check_warmup(config: RunConfig) -> None:
    """Raise `UsageError` if the warm-up is longer than the run."""
    warmup = warmup_epochs(config)
    if warmup > config.epochs:
        raise UsageError(
            f"`warmup_epochs` must be at most the {config.epochs} epochs of the run, got "
            f"{warmup:g}: the scaled learning rate would never be reached. Use --warmup-epochs "
            f"{config.epochs} or less, or more --epochs."
        )


def warmup_epochs(config: RunConfig) -> float:
    """Return the epochs of warm-up: as asked, else those that suit the kind of scaling."""
    if config.warmup_epochs is not None:
        return config.warmup_epochs
    return LINEAR_WARMUP_EPOCHS if config.learning_rate_scaling == "linear" else 0.0


def _factor(config: RunConfig, global_batch: int) -> float:
    ratio = global_batch / config.reference_batch_size
    match config.learning_rate_scaling:
        case "none":
            return 1.0
        case "linear":
            return ratio
        case "sqrt":
            return math.sqrt(ratio)
