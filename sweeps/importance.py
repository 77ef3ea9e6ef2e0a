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


def importances(
    space: SearchSpace, results: Sequence[tuple[Mapping[str, Value], float]]
) -> dict[str, float]:
    """Return the share of variance that each field explains alone or with others.

    Functional ANOVA on a random forest (Hutter, Hoos and Leyton-Brown 2014), fixed seed.

    Args:
        space: what was searched.
        results: params and objective of each finished trial.

    Returns:
        Field to share in [0, 1], largest first, of the fields that every trial draws; empty if
        there are fewer than `MIN_TRIALS` results or all objectives are equal.
    """
    values = {value for _, value in results}
    names = space.shared()
    if len(results) < MIN_TRIALS or len(values) < 2 or len(names) < 2:
        return {}
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
