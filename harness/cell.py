"""`Cell`: what one process measured of one contender; plain values, written as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from harness.cell_plan import CellPlan as CellPlan
from harness.cell_plan import Contender as Contender
from harness.config import RunConfig
from harness.errors import StoreError, UsageError
from harness.record import DataIdentity, Machine, Measure
from harness.timing import Span

CellStatus = Literal["finished", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one process measured of one contender, or why it could not.

    Attributes:
        contender: its name.
        config: what was trained; its data set is named.
        round: counted from 1; in a round each contender is measured once.
        place: in the order of the round, counted from 1.
        started_at: in UTC.
        duration_s: of the process, loading its libraries included.
        reason: of a failure.
        data, machine, parameters: as a run's record has them; None if it failed before.
        peak_gflops: of a matrix product of the contender's data type, measured in this process.
        measures: by the names of `harness.record.METRICS`.
        warm_up: graph calls before the pace was stationary; the first is the very first one.
        spans: graph calls that were timed.
        disturbances: for each span what disturbed it, in words; empty for most, let us hope.
        phases: what disturbed the phases behind training, by their names: "inference", "latency",
            "data", "evaluation"; none for one that nothing disturbed.
        flags: what else to know of the cell, such as that it never became stationary.
    """

    contender: str
    config: RunConfig
    round: int
    place: int
    started_at: str
    duration_s: float
    status: CellStatus
    reason: str | None = None
    data: DataIdentity | None = None
    machine: Machine | None = None
    parameters: int | None = None
    peak_gflops: Measure | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict)
    warm_up: tuple[Span, ...] = ()
    spans: tuple[Span, ...] = ()
    disturbances: tuple[tuple[str, ...], ...] = ()
    phases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def value(self, name: str) -> float | None:
        """Return the value of a measure such as "step_p50_ms", or None if it is absent."""
        measure = self.measures.get(name)
        return None if measure is None else measure.value

    @property
    def disturbed(self) -> float:
        """Return the share of the timed seconds in which something disturbed, 0 to 1."""
        total = sum(span.seconds for span in self.spans)
        pairs = zip(self.spans, self.disturbances, strict=True)
        return sum(span.seconds for span, why in pairs if why) / total if total else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the cell as plain JSON values."""
        return dataclasses.asdict(self) | {"config": self.config.to_json()}

    def dumps(self) -> str:
        """Return the cell as JSON text: keys sorted, no NaN."""
        return json.dumps(self.to_json(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Cell:
        """Build a cell from `to_json` values.

        Raises:
            StoreError: a field does not fit.
        """
        try:
            return cls(**_parsed(values))
        except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
            raise StoreError(f"This is no cell: {str(error).rstrip('.')}.") from error


def measure_from(values: Mapping[str, Any]) -> Measure:
    """Build a measure from plain values."""
    return Measure(**dict(values) | {"samples": tuple(values["samples"])})


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the nested plain values back into the classes they came from."""
    parsed = dict(values)
    if parsed["status"] not in get_args(CellStatus):
        raise ValueError(f"status must be finished or failed, got {parsed['status']!r}")
    parsed["config"] = RunConfig.from_json(values["config"])
    if values["data"]:
        parsed["data"] = DataIdentity.from_json(values["data"])
    if values["machine"]:
        parsed["machine"] = Machine.from_json(values["machine"])
    if values["peak_gflops"]:
        parsed["peak_gflops"] = measure_from(values["peak_gflops"])
    parsed["measures"] = {n: measure_from(each) for n, each in values["measures"].items()}
    for name in ("warm_up", "spans"):
        parsed[name] = tuple(Span(**span) for span in values[name])
    parsed["disturbances"] = tuple(tuple(map(str, why)) for why in values["disturbances"])
    parsed["phases"] = {name: tuple(map(str, why)) for name, why in values["phases"].items()}
    parsed["flags"] = tuple(map(str, values["flags"]))
    return parsed
