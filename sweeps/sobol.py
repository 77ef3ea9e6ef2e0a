"""The points of a scrambled Sobol sequence: a random search that leaves no gaps.

Optuna's own sampler counts its points in the study and draws the first trial apart from them; here
trial `i` is the i-th point, whatever ran before.
"""

from __future__ import annotations

from sweeps.axis_values import value_at
from sweeps.space import Params, SearchSpace


def sobol_point(space: SearchSpace, *, seed: int, number: int) -> Params:
    """Return the params of trial `number`: a function of the seed and the number alone.

    Any first 2**k trials have one in each of 2**k parts of equal length of each field's range (I.
    M. Sobol 1967; the scrambling is that of J. Matousek 1998). Each field has a side of the cube,
    also those that only some backbones have.
    """
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(space.axes), scramble=True, rng=seed)
    if number:  # SciPy cannot skip nothing
        sequence.fast_forward(number)
    places = dict(zip(space.names(), map(float, sequence.random(1)[0]), strict=True))
    params = Params()
    for axis in space.drawn(params):
        params[axis.name] = value_at(axis, places[axis.name])
    return params
