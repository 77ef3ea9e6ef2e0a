"""`Timings`: what one `bench throughput` measured, cells with raw samples; versioned JSON.

Version history:
    1  first.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from harness.cell import Cell, CellPlan, Contender
from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import Machine
from harness.versioned import parsed_object, reading

TIMINGS_VERSION = 1

TIMINGS_FILE = "timings.json"

TimingsStatus = Literal["finished", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """What a run does beside training, timed in pairs of pieces with and without it.

    Attributes:
        contender: what was trained.
        pairs: seconds per image, (bare engine, with progress and logging as in a run).
        reason: why there are none; None if there are.
    """

    contender: str
    pairs: tuple[tuple[float, float], ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        if bool(self.pairs) == (self.reason is not None):
            raise ValueError("an overhead has either pairs or a reason for their absence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Contenders timed in turns, in processes of their own.

    Attributes:
        name: of its folder.
        started_at: in UTC.
        duration_s: so far.
        status: interrupted until the last cell is done: kept after each, so that little is lost.
        plan: how each cell was measured.
        repeats: rounds that were asked for.
        contenders: in the order asked for; the first is what the others are compared with.
        cells: as they were measured.
        overhead: of the harness; None if it was not measured.
    """

    name: str
    started_at: str
    duration_s: float
    status: TimingsStatus
    plan: CellPlan
    repeats: int
    contenders: tuple[Contender, ...]
    cells: tuple[Cell, ...] = ()
    overhead: Overhead | None = None
    version: int = TIMINGS_VERSION

    @property
    def machine(self) -> Machine | None:
        """Return where the cells were measured; None if none got so far."""
        return next((cell.machine for cell in self.cells if cell.machine is not None), None)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        contenders = [{"name": c.name, "config": c.config.to_json()} for c in self.contenders]
        cells = [cell.to_json() for cell in self.cells]
        return dataclasses.asdict(self) | {"contenders": contenders, "cells": cells}

    def dumps(self) -> str:
        """Return it as JSON text: keys sorted, no NaN, newline at the end."""
        return json.dumps(self.to_json(), sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Timings:
        """Build it from `to_json` values.

        Raises:
            StoreError: the version is unknown or a field does not fit.
        """
        with reading("file of timings", TIMINGS_VERSION, values):
            return cls(**_parsed(values))

    @classmethod
    def loads(cls, text: str) -> Timings:
        """Parse what `dumps` wrote.

        Raises:
            StoreError: not JSON, or no timings.
        """
        return cls.from_json(parsed_object("file of timings", text))


def all_timings(folder: Path) -> Iterator[Timings]:
    """Yield the timings below a folder in the order of their names; none if there is no folder.

    Raises:
        StoreError: one cannot be read; the text names the file.
    """
    for path in sorted(folder.glob(f"*/{TIMINGS_FILE}")):
        yield read_timings(path)


def read_timings(path: Path) -> Timings:
    """Return the timings in a file.

    Raises:
        StoreError: it cannot be read; the text names the file.
    """
    try:
        return Timings.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StoreError) as error:
        raise StoreError(f"{path}: {error}") from error


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the nested plain values back into the classes they came from."""
    if values["status"] not in get_args(TimingsStatus):
        raise ValueError(f"status must be finished or interrupted, got {values['status']!r}")
    parsed = dict(values) | {"plan": CellPlan(**values["plan"])}
    parsed["contenders"] = tuple(
        Contender(name=str(each["name"]), config=RunConfig.from_json(each["config"]))
        for each in values["contenders"]
    )
    parsed["cells"] = tuple(Cell.from_json(cell) for cell in values["cells"])
    if values["overhead"]:
        overhead = dict(values["overhead"])
        pairs = tuple((float(bare), float(full)) for bare, full in overhead["pairs"])
        parsed["overhead"] = Overhead(**overhead | {"pairs": pairs})
    return parsed
