"""What is searched: an axis for each of some fields of `RunConfig`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from harness.config import RunConfig
from harness.errors import UsageError
from sweeps.axes import Axis, Choice, Range, Value

Params = dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """The axes of a sweep, in the order in which their values are drawn.

    Raises:
        UsageError: there is no axis, or one field has two.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not self.axes:
            raise UsageError("A search space needs at least one field.")
        names = self.names()
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise UsageError(f"`{min(doubled)}` must be searched in one way, but two are given.")

    def names(self) -> tuple[str, ...]:
        """Return the searched fields."""
        return tuple(axis.name for axis in self.axes)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space in Optuna's words."""
        return {axis.name: axis.distribution() for axis in self.axes}

    def apply(self, config: RunConfig, params: Mapping[str, Value]) -> RunConfig:
        """Return `config` with the searched fields set to `params`."""
        changes: dict[str, Any] = {name: params[name] for name in self.names()}
        return dataclasses.replace(config, **changes)

    def probes(self) -> Iterator[Params]:
        """Yield params that together hold each end of a range and each value of a choice.

        First all fields at their lowest, then one field at a time elsewhere: what fits these
        fits most of the space, and can be checked before anything is trained.
        """
        lowest = {axis.name: axis.extremes[0] for axis in self.axes}
        yield lowest
        for axis in self.axes:
            for value in axis.extremes[1:]:
                yield lowest | {axis.name: value}

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return plain JSON values: for each field its ends, scale and step, or its values."""
        return {axis.name: _axis_to_json(axis) for axis in self.axes}

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
        """Build a space from `to_json` values.

        Raises:
            UsageError: an axis does not fit; the text names its field.
        """
        try:
            return cls(axes=tuple(_axis_from_json(name, of) for name, of in values.items()))
        except (TypeError, AttributeError) as error:
            raise UsageError(f"This is no search space: {error}.") from error


def _axis_to_json(axis: Axis) -> dict[str, Any]:
    match axis:
        case Range():
            return {"low": axis.low, "high": axis.high, "log": axis.log, "step": axis.step}
        case Choice():
            return {"values": list(axis.values)}


def _axis_from_json(name: str, of: Mapping[str, Any]) -> Axis:
    """Return the axis of a field; a TypeError says that `of` is none."""
    if "values" not in of:
        return Range(name=name, **of)
    if not isinstance(of["values"], list):
        raise TypeError(f"the values of {name!r} are no list")
    return Choice(name=name, **{**of, "values": tuple(of["values"])})


DEFAULT_SPACE = SearchSpace(
    axes=(
        Range(name="learning_rate", low=1e-4, high=1e-2, log=True),
        Range(name="class_weight", low=0.1, high=10.0, log=True),
        # The squared error of boxes starts near 0.05, the cross-entropy near ln 10 = 2.3:
        # only weights up to 100 can give boxes the larger part of the loss.
        Range(name="box_weight", low=0.1, high=100.0, log=True),
    )
)
"""Learning rate and the two loss weights."""
