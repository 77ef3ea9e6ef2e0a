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

    Where backbones are searched, an axis may be meant `only_for` some of them: under the others
    its field is left as it is and has no part in the trial's params.

    Raises:
        UsageError: there is no axis, one field has two, or an axis is meant for backbones that no
            axis before it searches.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not self.axes:
            raise UsageError("A search space needs at least one field.")
        names = self.names()
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise UsageError(f"`{min(doubled)}` must be searched in one way, but two are given.")
        searched: tuple[Value, ...] = ()
        for axis in self.axes:
            if not set(axis.only_for) <= set(searched):
                raise UsageError(
                    f"`{axis.name}` is meant for backbones {', '.join(axis.only_for)}: they must "
                    "be searched too, by an axis before it."
                )
            if isinstance(axis, Choice) and axis.name == "backbone":
                searched = axis.values

    def names(self) -> tuple[str, ...]:
        """Return the searched fields."""
        return tuple(axis.name for axis in self.axes)

    def shared(self) -> tuple[str, ...]:
        """Return the fields that every trial draws."""
        return tuple(axis.name for axis in self.axes if not axis.only_for)

    def drawn(self, params: Mapping[str, Value]) -> Iterator[Axis]:
        """Yield the axes that a trial draws, whose params may still be growing meanwhile."""
        for axis in self.axes:
            if not axis.only_for or params.get("backbone") in axis.only_for:
                yield axis

    def distributions(self, params: Mapping[str, Value]) -> dict[str, BaseDistribution]:
        """Return the axes of a trial with these params in Optuna's words."""
        return {axis.name: axis.distribution() for axis in self.drawn(params)}

    def apply(self, config: RunConfig, params: Mapping[str, Value]) -> RunConfig:
        """Return `config` with the fields that a trial draws set to its `params`."""
        changes: dict[str, Any] = {axis.name: params[axis.name] for axis in self.drawn(params)}
        return dataclasses.replace(config, **changes)

    def probes(self) -> Iterator[Params]:
        """Yield params that together hold each end of a range and each value of a choice.

        First all fields at their lowest, then one field at a time elsewhere: what fits these
        fits most of the space, and can be checked before anything is trained.
        """
        lowest = {axis.name: axis.extremes[0] for axis in self.axes}
        yield self._only_drawn(lowest)
        for axis in self.axes:
            # The first that it is meant for: under another its values would not be tried.
            backbone = {"backbone": axis.only_for[0]} if axis.only_for else {}
            for value in axis.extremes[1:]:
                yield self._only_drawn(lowest | backbone | {axis.name: value})

    def _only_drawn(self, params: Params) -> Params:
        return {axis.name: params[axis.name] for axis in self.drawn(params)}

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
    condition = {"only_for": list(axis.only_for)} if axis.only_for else {}
    match axis:
        case Range():
            ends = {"low": axis.low, "high": axis.high, "log": axis.log, "step": axis.step}
            return ends | condition
        case Choice():
            return {"values": list(axis.values)} | condition


def _axis_from_json(name: str, of: Mapping[str, Any]) -> Axis:
    """Return the axis of a field; a TypeError says that `of` is none."""
    if not isinstance(of, Mapping):
        raise TypeError(f"{name!r} is no object")
    values = dict(of)
    for key in {"values", "only_for"} & set(values):
        if not isinstance(values[key], list):
            raise TypeError(f"{key!r} of {name!r} is no list")
        values[key] = tuple(values[key])
    return Choice(name=name, **values) if "values" in values else Range(name=name, **values)


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
