"""What is tried next, and what is stopped early: pure functions around Optuna's own classes.

A sampler that keeps its state over a whole sweep gives another table for each order in which the
trials happen to end. Here each question is put to a small study in memory, made of exactly the
trials that the rule of `guide` names, so the answer depends on the seed, the trial's number and
those trials alone: not on how many workers there are, which is faster, or who was killed.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from harness.config import MAX_SEED
from sweeps.axes import Value
from sweeps.backoff import Backoff
from sweeps.objectives import Direction
from sweeps.space import Params, SearchSpace

SamplerName = Literal["tpe", "random"]
PrunerName = Literal["median", "percentile", "dominance", "none"]
Curve = tuple[tuple[int, float], ...]
TrialStatus = Literal["running", "finished", "pruned", "failed"]

STARTUP_TRIALS = 5
"""Trials that must have finished before the first is stopped early (Optuna's own default)."""

PERCENTILE = 33.0
"""The percentile pruner keeps this best share, in percent, at each epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One line of a sweep's table.

    Attributes:
        number: 0-based; the n-th proposal of the sampler.
        params: the searched fields and their values.
        value: the first objective at the end, or at the last epoch of a pruned trial.
        more: the values of the further objectives, if there is a `value`.
        curve: the first objective after each epoch, as (1-based epoch, value).
        more_curves: the curves of the further objectives; empty where there is none on the way.
        reason: why the trial failed or was pruned.
        backoff: what became of its batch if that ran out of memory.
        attempts: how many workers have died of this trial; how it went, not what came out.
        retries: how often it was done again after a failure that may have been a passing one.
    """

    number: int
    status: TrialStatus
    params: Mapping[str, Value]
    value: float | None = None
    more: tuple[float, ...] = ()
    curve: Curve = ()
    more_curves: tuple[Curve, ...] = ()
    reason: str | None = None
    backoff: Backoff | None = None
    attempts: int = field(default=0, compare=False)
    retries: int = field(default=0, compare=False)

    @property
    def settings(self) -> Mapping[str, Value]:
        """Return the fields that make the trial's configuration: what was drawn, or backed off to.

        Samplers see `params`: they ask for a batch, and are told what came of asking for it.
        """
        return {**self.params, **(self.backoff.changes() if self.backoff else {})}

    @property
    def values(self) -> tuple[float, ...]:
        """Return the value of each objective; empty if there is none."""
        return () if self.value is None else (self.value, *self.more)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Return the curve of each objective."""
        return (self.curve, *self.more_curves)

    @property
    def epochs(self) -> int:
        """Return the last epoch that was measured; 0 if none was."""
        return self.curve[-1][0] if self.curve else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """All that a proposal may depend on.

    Attributes:
        seen: the trials whose results count; all of them have ended.
        unseen: params of the later trials before this one, whose results do not count yet.
    """

    seen: tuple[TrialRow, ...]
    unseen: tuple[Mapping[str, Value], ...]


def guide(rows: Sequence[TrialRow], number: int, lookahead: int) -> Guide | None:
    """Return what trial `number` depends on, or None while one of those trials still runs.

    Results count up to trial `number - lookahead`, so `lookahead` trials can run at once.
    Failed trials guide nobody.
    """
    horizon = max(0, number - lookahead + 1)
    seen = rows[:horizon]
    if len(seen) < horizon or any(row.status == "running" for row in seen):
        return None
    return Guide(
        seen=tuple(row for row in seen if row.status in ("finished", "pruned")),
        unseen=tuple(row.params for row in rows[horizon:number]),
    )


def propose(
    sampler: SamplerName,
    space: SearchSpace,
    *,
    seed: int,
    number: int,
    guide: Guide,
    directions: Sequence[Direction],
) -> Params:
    """Return the params of trial `number`; equal arguments give equal params.

    Args:
        sampler: how they are drawn.
        space: what is searched.
        seed: of the sweep.
        number: of the trial, from 0.
        guide: what the proposal depends on.
        directions: of the objectives.
    """
    by_group = space.shared() != space.names()
    study = _study(directions, sampler=_sampler(sampler, _seed(seed, number), by_group=by_group))
    _add(study, guide.seen, space)
    # Seen as running, they keep the sampler from proposing the same place again (constant liar).
    for params in guide.unseen:
        study.add_trial(_frozen(TrialState.RUNNING, params, space))
    trial, drawn = study.ask(), Params()
    for axis in space.drawn(drawn):
        drawn[axis.name] = _suggested(trial, axis.name, axis.distribution())
    return drawn


class Judge:
    """Decides after each epoch of one trial whether it goes on.

    Args:
        pruner: the rule.
        guide: the trials it is compared with.
        epochs: how many epochs the trial lasts.
        space: what is searched.
        direction: of the objective.
    """

    def __init__(
        self,
        pruner: PrunerName,
        guide: Guide,
        *,
        epochs: int,
        space: SearchSpace,
        direction: Direction,
    ) -> None:
        self._epochs = epochs
        study = _study([direction], pruner=_pruner(pruner, epochs))
        _add(study, guide.seen, space)
        self._trial = study.ask()

    def goes_on(self, epoch: int, values: Sequence[float | None]) -> bool:
        """Return whether the trial continues, given the objectives after a 1-based `epoch`."""
        value = values[0]
        if value is None or not math.isfinite(value):
            return True  # no ground to compare; the run itself says why it failed
        self._trial.report(value, epoch)
        # Stopping at the last epoch saves nothing and would hide a complete result.
        return epoch >= self._epochs or not self._trial.should_prune()


def warmup_epochs(epochs: int) -> int:
    """Return how many epochs no trial of that length is stopped.

    A third of the trial, but at least two: until a network has left chance level its curve says
    nothing of its end. On `digits` half of the finished trials of 20 epochs did so (validation
    accuracy of 0.2 or more) after epoch 9, the first after epoch 5.
    """
    return max(2, math.ceil(epochs / 3))


def curve_of(points: Iterable[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    """Return the points with a finite value, in order of epochs."""
    return tuple(sorted((e, v) for e, v in points if v is not None and math.isfinite(v)))


def _seed(seed: int, number: int) -> int:
    text = hashlib.sha256(f"trial {number} of sweep seed {seed}".encode()).digest()
    return int.from_bytes(text[:4], "big") & MAX_SEED


def _sampler(name: SamplerName, seed: int, *, by_group: bool) -> BaseSampler:
    match name:
        case "tpe" if by_group:
            # Fields that only some trials have are modelled together, by those trials; else each
            # of them would be drawn as if it had nothing to do with the others.
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
        case "tpe":
            return TPESampler(seed=seed)
        case "random":
            return RandomSampler(seed=seed)


def _pruner(name: PrunerName, epochs: int) -> BasePruner:
    # Optuna judges from step `n_warmup_steps` on; ours count from 1.
    first_judged = warmup_epochs(epochs) + 1
    match name:
        case "median":
            return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=first_judged)
        case "percentile":
            return PercentilePruner(
                PERCENTILE, n_startup_trials=STARTUP_TRIALS, n_warmup_steps=first_judged
            )
        case "dominance" | "none":  # the first has a judge of its own
            return NopPruner()


def _study(directions: Sequence[Direction], **parts: Any) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each new study
    return optuna.create_study(directions=list(directions), **parts)


def _suggested(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Value:
    """Return what the study's sampler draws for one field."""
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            value: Value = trial.suggest_categorical(name, choices)  # type: ignore[assignment]
            return value
    raise TypeError(f"`{name}` has no distribution of ours: {distribution}")


def _add(study: optuna.Study, rows: Iterable[TrialRow], space: SearchSpace) -> None:
    states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    if len(study.directions) > 1:
        # Optuna knows no pruned trial of several objectives. One that was dominated even under
        # its optimistic bound counts as what it reached: it is dominated as that too.
        states["pruned"] = TrialState.COMPLETE
    for row in rows:
        if len(row.values) == len(study.directions):
            study.add_trial(
                _frozen(
                    states[row.status], row.params, space,
                    values=row.values, intermediate_values=dict(row.curve),
                )
            )  # fmt: skip


def _frozen(
    state: TrialState,
    params: Mapping[str, Value],
    space: SearchSpace,
    **result: Any,
) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        state=state, params=dict(params), distributions=space.distributions(params), **result
    )
