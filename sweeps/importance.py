"""How much of the objective's variance each searched field explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from sweeps.axes import Value
from sweeps.space import SearchSpace

MIN_TRIALS = 10
"""A forest grown on fewer trials says nothing."""


Results = Sequence[tuple[Mapping[str, Value], float]]
"""Params and objective of each finished trial."""


def why_unknown(space: SearchSpace, results: Results) -> str | None:
    """Return why nobody can tell what matters; None if `importances` can.

    Args:
        space: what was searched.
        results: of its finished trials.
    """
    names = space.shared()
    if len(names) < 2:
        how_many = "only one is" if names else "there is none"
        return f"shares need two fields that every trial draws, and {how_many} searched"
    if len(results) < MIN_TRIALS:
        return f"they need {MIN_TRIALS} finished trials, and there are {len(results)}"
    if len({value for _, value in results}) < 2:
        return "all finished trials reached the same"
    if sum(len({params[name] for params, _ in results}) > 1 for name in names) < 2:
        return "shares need two fields that took several values in all trials"
    return None


def importances(space: SearchSpace, results: Results) -> dict[str, float]:
    """Return the share of variance that each field explains alone or with others.

    Functional ANOVA on a random forest (Hutter, Hoos and Leyton-Brown 2014), fixed seed.

    Args:
        space: what was searched.
        results: of its finished trials.

    Returns:
        Field to share in [0, 1], largest first, of the fields that every trial draws; empty if
        `why_unknown` says why.
    """
    if why_unknown(space, results) is not None:
        return {}
    names = space.shared()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each new study
    study = optuna.create_study(direction="maximize")
    for params, value in results:
        distributions = space.distributions(params)
        trial = create_trial(
            state=TrialState.COMPLETE,
            params={name: params[name] for name in names},
            distributions={name: distributions[name] for name in names},
            value=value,
        )
        study.add_trial(trial)
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()}
