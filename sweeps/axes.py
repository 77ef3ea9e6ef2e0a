"""One field of `RunConfig` as a sweep searches it: a range of numbers, or a choice of values."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from harness.config import SCENE_FACTORS, Knob, knobs
from harness.errors import UsageError, unknown_name

Number = int | float
Value = str | int | float

_DEVICES = "a worker opens its devices once, and they change the speed, not the score"
_SCENES = "trials that look at other scenes cannot be ranked"

NOT_SEARCHED = {
    "seed": "the luckiest seed is no better configuration",
    "data_seed": "trials that look at different validation scenes cannot be ranked",
    "dataset": "trials that look at different images cannot be ranked",
    "skip_bad": "trials that look at different images cannot be ranked",
    **dict.fromkeys(("scene", *SCENE_FACTORS, "color"), _SCENES),
    "cache": "it changes the speed of reading photos, not the score",
    "train_examples": "the most would win; --trial-examples sets one number for all trials",
    "epochs": "the most would win; --trial-epochs sets one number for all trials",
    "evaluate_test": "trials never open the test split",
    "strategy": _DEVICES,
    "devices": _DEVICES,
    "threads": _DEVICES,
}
"""Fields that would make trials incomparable, with the reason."""


def searched_knob(name: str) -> Knob:
    """Return the knob of a field that may be searched.

    Raises:
        UsageError: there is no such field, or it is never searched.
    """
    all_knobs = knobs()
    if name not in all_knobs:
        raise unknown_name("configuration field", name, all_knobs)
    if name in NOT_SEARCHED:
        raise UsageError(f"`{name}` is never searched: {NOT_SEARCHED[name]}.")
    return all_knobs[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values of one field that a sweep may try, both ends included.

    Attributes:
        name: a field of `RunConfig` that holds a float or an int.
        low, high: the ends, in the field's unit; `low < high`.
        log: draw uniformly in the logarithm; needs `low > 0`.
        step: distance between the values tried; None is any float, and every int. Not with `log`.
        only_for: backbones under which the field is searched; empty for all of them.

    Raises:
        UsageError: the field is unknown or no number, or an end does not fit.
    """

    name: str
    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    only_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        knob = searched_knob(self.name)
        if knob.kind not in (int, float):
            raise UsageError(
                f"Only fields that hold a number can have a range, but `{self.name}` holds a "
                f"{knob.kind.__name__}. Name its values: --search {self.name}=A,B."
            )
        for end in (self.low, self.high):
            if knob.kind is int and not isinstance(end, int):
                raise UsageError(f"`{self.name}` must be searched in whole numbers, got {end!r}.")
            _check_value(knob, self.name, end)
        if not self.low < self.high:
            raise UsageError(
                f"A range needs low < high, got {self.low:g}..{self.high:g} for `{self.name}`."
            )
        if self.log and not self.low > 0:
            raise UsageError(
                f"A logarithmic range needs low > 0, got {self.low:g}..{self.high:g} "
                f"for `{self.name}`. Raise the low end, or search it linearly."
            )
        self._check_step(knob.kind)

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Return the ends, the low one first."""
        return (self.low, self.high)

    def distribution(self) -> BaseDistribution:
        """Return the range in Optuna's words."""
        if searched_knob(self.name).kind is int:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def _check_step(self, kind: type) -> None:
        if self.step is None:
            return
        if self.log:
            raise UsageError(f"`{self.name}` has a step, so its range cannot be logarithmic.")
        if kind is int and not isinstance(self.step, int):
            raise UsageError(f"The step of `{self.name}` must be whole, got {self.step!r}.")
        if not (self.step > 0 and math.isfinite(self.step)):
            raise UsageError(f"The step of `{self.name}` must be above 0, got {self.step!r}.")
        turns = (self.high - self.low) / self.step
        # The tolerance forgives binary fractions: 0.1..0.4 in steps of 0.1 is 3.0000000000000004.
        if round(turns) < 1 or abs(turns - round(turns)) > 1e-9:
            raise UsageError(
                f"Steps of {self.step:g} must lead from {self.low:g} to {self.high:g} exactly, "
                f"but for `{self.name}` they do not."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A few values of one field that a sweep may try.

    Attributes:
        name: a field of `RunConfig`.
        values: at least two, all different; their order means nothing.
        only_for: backbones under which the field is searched; empty for all of them.

    Raises:
        UsageError: the field is unknown, a value does not fit, or they are no choice.
    """

    name: str
    values: tuple[Value, ...]
    only_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        knob = searched_knob(self.name)
        for value in self.values:
            _check_value(knob, self.name, value)
        for value in self.values:
            if self.values.count(value) > 1:
                raise UsageError(
                    f"Each value to try of `{self.name}` must be named once, but {value} comes "
                    f"{self.values.count(value)} times."
                )
        if len(self.values) < 2:
            raise UsageError(
                f"A search of `{self.name}` needs at least two values, got "
                f"{len(self.values)}. Fix it with --{self.name.replace('_', '-')} instead."
            )

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Return every value; the lowest first if they are numbers."""
        numbers = [value for value in self.values if not isinstance(value, str)]
        return tuple(sorted(numbers)) if len(numbers) == len(self.values) else self.values

    def distribution(self) -> BaseDistribution:
        """Return the choice in Optuna's words.

        Optuna knows no order of categories: what depth 3 reached says nothing to it of depth 2.
        Whole numbers at equal distances are therefore handed over as integers with that step,
        which are the same values, and neighbours then learn from each other. Others, such as
        16, 32, 64, have no distribution there that yields only them.
        """
        whole = sorted(value for value in self.values if isinstance(value, int))
        if searched_knob(self.name).kind is int:
            steps = {b - a for a, b in itertools.pairwise(whole)}
            if len(steps) == 1:
                return IntDistribution(whole[0], whole[-1], step=steps.pop())
        return CategoricalDistribution(self.values)


Axis = Range | Choice
"""What a sweep may do with one field."""


def _check_value(knob: Knob, name: str, value: Value) -> None:
    if value is None or value == "":  # some knobs take that for: not set
        raise UsageError(f"A value to try of `{name}` must not be empty.")
    knob.check(name, value)
