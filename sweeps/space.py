"""What is searched: ranges over fields of `RunConfig`."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from harness.config import Knob, RunConfig, knobs
from harness.errors import UsageError, unknown_name

Number = int | float
Params = dict[str, Number]

NOT_SEARCHED = {
    "seed": "the luckiest seed is no better configuration",
    "data_seed": "trials that look at different validation scenes cannot be ranked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values of one field that a sweep may try, both ends included.

    Attributes:
        name: a field of `RunConfig` that holds a float or an int.
        low, high: the ends, in the field's unit; `low < high`.
        log: draw uniformly in the logarithm; needs `low > 0`.
        step: distance between the values tried; None is any float, and every int. Not with `log`.

    Raises:
        UsageError: the field is unknown or no number, or an end does not fit.
    """

    name: str
    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    def __post_init__(self) -> None:
        kind = self._knob().kind
        for end in (self.low, self.high):
            if kind is int and not isinstance(end, int):
                raise UsageError(f"`{self.name}` must be searched in whole numbers, got {end!r}.")
            self._knob().check(self.name, end)
        if not self.low < self.high:
            raise UsageError(
                f"A range needs low < high, got {self.low:g}..{self.high:g} for `{self.name}`."
            )
        if self.log and not self.low > 0:
            raise UsageError(
                f"A logarithmic range needs low > 0, got {self.low:g}..{self.high:g} "
                f"for `{self.name}`. Raise the low end, or search it linearly."
            )
        self._check_step(kind)

    def distribution(self) -> BaseDistribution:
        """Return the range in Optuna's words."""
        if self._knob().kind is int:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def _knob(self) -> Knob:
        all_knobs = knobs()
        if self.name not in all_knobs:
            raise unknown_name("configuration field", self.name, all_knobs)
        if self.name in NOT_SEARCHED:
            raise UsageError(f"`{self.name}` is never searched: {NOT_SEARCHED[self.name]}.")
        knob = all_knobs[self.name]
        if knob.kind not in (int, float):
            raise UsageError(
                f"Only fields that hold a number can be searched, "
                f"but `{self.name}` holds a {knob.kind.__name__}."
            )
        return knob

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
class SearchSpace:
    """The ranges of a sweep, in the order in which their values are drawn.

    Raises:
        UsageError: there is no range, or one field has two.
    """

    ranges: tuple[Range, ...]

    def __post_init__(self) -> None:
        if not self.ranges:
            raise UsageError("A search space needs at least one range.")
        names = self.names()
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise UsageError(f"`{min(doubled)}` must have one range, but has two.")

    def names(self) -> tuple[str, ...]:
        """Return the searched fields."""
        return tuple(item.name for item in self.ranges)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space in Optuna's words."""
        return {item.name: item.distribution() for item in self.ranges}

    def apply(self, config: RunConfig, params: Mapping[str, Number]) -> RunConfig:
        """Return `config` with the searched fields set to `params`."""
        changes: dict[str, Any] = {name: params[name] for name in self.names()}
        return dataclasses.replace(config, **changes)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return plain JSON values: for each field its ends, scale and step."""
        return {
            item.name: {
                "low": item.low, "high": item.high, "log": item.log, "step": item.step,
            }
            for item in self.ranges
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
        """Build a space from `to_json` values.

        Raises:
            UsageError: a range does not fit; the text names its field.
        """
        try:
            return cls(ranges=tuple(Range(name=name, **ends) for name, ends in values.items()))
        except (TypeError, AttributeError) as error:
            raise UsageError(f"This is no search space: {error}.") from error


DEFAULT_SPACE = SearchSpace(
    ranges=(
        Range(name="learning_rate", low=1e-4, high=1e-2, log=True),
        Range(name="class_weight", low=0.1, high=10.0, log=True),
        # The squared error of boxes starts near 0.05, the cross-entropy near ln 10 = 2.3:
        # only weights up to 100 can give boxes the larger part of the loss.
        Range(name="box_weight", low=0.1, high=100.0, log=True),
    )
)
"""Learning rate and the two loss weights."""


def parse_range(text: str) -> Range:
    """Read a range as it is typed: `learning_rate=1e-4..1e-2:log` or `batch_size=16..64:16`.

    Raises:
        UsageError: the text is malformed, or the range it gives does not fit the field.
    """
    found = _TYPED.fullmatch(text.strip())
    if not found:
        raise UsageError(
            f"A range must read FIELD=LOW..HIGH, with :log or :STEP after it if wanted, "
            f"got {text!r}. Example: learning_rate=1e-4..1e-2:log."
        )
    name, low, high, scale = found.groups()
    name = name.replace("-", "_")
    step = None if scale in (None, "log") else _number(scale, text)
    return Range(
        name=name, low=_number(low, text), high=_number(high, text), log=scale == "log", step=step
    )


_TYPED = re.compile(r"([A-Za-z_][\w-]*)=([^:]+?)\.\.([^:]+?)(?::([^:]+))?")


def _number(typed: str, text: str) -> Number:
    with contextlib.suppress(ValueError):
        return int(typed)
    try:
        return float(typed)
    except ValueError as error:
        raise UsageError(f"{typed!r} in {text!r} must be a number.") from error
