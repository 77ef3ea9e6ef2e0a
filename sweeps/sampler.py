"""What is tried next, and what is stopped early: pure functions around Optuna's own classes.

A sampler that keeps its state over a whole sweep gives another table for each order in which the
trials happen to end. Here each question is put to a small study in memory, made of exactly the
trials that the rule of `guide` names, so the answer depends on the seed, the trial's number and
those trials alone: not on how many workers there are, which is faster, or who was killed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from harness.config import MAX_SEED
from sweeps.axes import Value
from sweeps.backoff import Backoff
from sweeps.evolution import Tried, evolved_point
from sweeps.grid import grid_point
from sweeps.objectives import Direction
from sweeps.pruners import PrunerName, bracket, make_pruner
from sweeps.samplers import SamplerName, make_sampler
from sweeps.sobol import sobol_point
from sweeps.space import Params, SearchSpace

Curve = tuple[tuple[int, float], ...]
TrialStatus = Literal["running", "finished", "pruned", "failed"]


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
    """Return the params of trial `number`; equal arguments give equal params."""
    match sampler:
        case "grid":
            return grid_point(space, seed=seed, number=number)
        case "qmc":
            return sobol_point(space, seed=seed, number=number)
        case "cmaes":
            tried = [
                Tried(params=row.params, badness=_badness(row, directions[0]))
                for row in guide.seen
            ]
            return evolved_point(space, seed=_seed(seed, number), tried=tried)
        case "tpe" | "random" | "gp":
            by_group = space.shared() != space.names()
            chosen = make_sampler(sampler, _seed(seed, number), by_group=by_group)
            return _asked(chosen, space, _told(sampler, guide), directions)


def _told(sampler: SamplerName, guide: Guide) -> Guide:
    """Return what a sampler of Optuna's is told.

    `gp` takes no notice of pruned trials: it would propose the same hopeless place again, prune it
    and be no wiser. It is told their last value as if they had finished with it.
    """
    if sampler != "gp":
        return guide
    return replace(guide, seen=tuple(replace(row, status="finished") for row in guide.seen))


def _asked(
    sampler: BaseSampler, space: SearchSpace, guide: Guide, directions: Sequence[Direction]
) -> Params:
    """Return what a fresh sampler of Optuna's proposes."""
    study = _study(directions, sampler=sampler)
    _add(study, guide.seen, space)
    # Seen as running, they keep the sampler from proposing the same place again (constant liar).
    for params in guide.unseen:
        study.add_trial(_frozen(TrialState.RUNNING, params, space))
    trial, drawn = study.ask(), Params()
    for axis in space.drawn(drawn):
        drawn[axis.name] = _suggested(trial, axis.name, axis.distribution())
    return drawn


def _badness(row: TrialRow, direction: Direction) -> tuple[float, ...]:
    """Return what sorts trials as Optuna does: finished, then pruned ones, the late ones first."""
    sign = -1.0 if direction == "maximize" else 1.0
    value = math.inf if row.value is None else sign * row.value
    return (0.0, 0.0, value) if row.status == "finished" else (1.0, -row.epochs, value)


class Judge:
    """Decides after each epoch of one trial whether it goes on.

    Args:
        pruner: the rule.
        guide: the trials it is compared with.
        number: of the trial.
        epochs: how many epochs the trial lasts.
        space: what is searched.
        direction: of the objective.
    """

    def __init__(
        self,
        pruner: PrunerName,
        guide: Guide,
        *,
        number: int,
        epochs: int,
        space: SearchSpace,
        direction: Direction,
    ) -> None:
        self._epochs = epochs
        own = bracket(pruner, number, epochs)
        study = _study([direction], pruner=make_pruner(pruner, epochs, own))
        rivals = (row for row in guide.seen if bracket(pruner, row.number, epochs) == own)
        _add(study, rivals, space)
        self._trial = study.ask()

    def goes_on(self, epoch: int, values: Sequence[float | None]) -> bool:
        """Return whether the trial continues, given the objectives after a 1-based `epoch`."""
        value = values[0]
        if value is None or not math.isfinite(value):
            return True  # no ground to compare; the run itself says why it failed
        self._trial.report(value, epoch)
        # Stopping at the last epoch saves nothing and would hide a complete result.
        return epoch >= self._epochs or not self._trial.should_prune()


def curve_of(points: Iterable[tuple[int, float | None]]) -> tuple[tuple[int, float], ...]:
    """Return the points with a finite value, in order of epochs."""
    return tuple(sorted((e, v) for e, v in points if v is not None and math.isfinite(v)))


def _seed(seed: int, number: int) -> int:
    text = hashlib.sha256(f"trial {number} of sweep seed {seed}".encode()).digest()
    return int.from_bytes(text[:4], "big") & MAX_SEED


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
