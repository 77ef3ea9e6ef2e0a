"""The samplers by name: Optuna's own, made anew for each question."""

from __future__ import annotations

import warnings
from typing import Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

SamplerName = Literal["tpe", "random"]


def make_sampler(name: SamplerName, seed: int, *, by_group: bool) -> BaseSampler:
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
