"""The samplers by name: which spaces suit them, and Optuna's own, made anew for each question."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from sweeps.evolution import check_evolution
from sweeps.grid import check_grid, grid_size
from sweeps.space import SearchSpace

OptunaSampler = Literal["tpe", "random", "gp"]
SamplerName = Literal[OptunaSampler, "qmc", "cmaes", "grid"]


def check_space(name: SamplerName, space: SearchSpace) -> None:
    """Raise `UsageError` if the sampler cannot search the space; the text names the field."""
    if name == "grid":
        check_grid(space)
    elif name == "cmaes":
        check_evolution(space)


def most_trials(name: SamplerName, space: SearchSpace) -> int | None:
    """Return how many trials the sampler can propose; None for any number."""
    return grid_size(space) if name == "grid" else None


def make_sampler(name: OptunaSampler, seed: int, *, by_group: bool) -> BaseSampler:
    """Return a fresh sampler.

    Args:
        name: of the sampler.
        seed: of all that it draws.
        by_group: whether only some trials have certain fields.
    """
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
        case "gp":
            # It warns that `greenlet` would make it faster; measured, it did not.
            logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
            # Fields that only some trials have are drawn at random, of which it would warn, too.
            return GPSampler(seed=seed, warn_independent_sampling=False)
