"""`NoiseFloor`: how far apart a machine times identical cells; versioned JSON.

A cell is what one process measures of one contender. A pair is two cells of the same
configuration, measured one after the other as contenders are (A/A): what separates them is chance.
`reports.speed_floor` makes the limit of it and holds differences of speed against that.

Version history:
    1  first.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import Machine, Measure
from harness.versioned import parsed_object, reading

NOISE_FLOOR_VERSION = 1

FALSE_ALARMS = 0.05
"""Share of comparisons of identical contenders that may end with a difference."""

_DAY_S = 86_400


def least_pairs(false_alarms: float = FALSE_ALARMS) -> int:
    """Return how many pairs a floor needs whatever the distribution of their differences: 19.

    Of n + 1 pairs each is as likely to be the farthest apart, so the next one exceeds all n with
    probability 1 / (n + 1), which must be at most `false_alarms` (Wilks 1941).
    """
    return math.ceil(1 / false_alarms) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Training images/s of two identical cells, neighbours in time.

    Attributes:
        first, second: with the rates of their graph calls as samples.
        disturbed: what was seen to disturb either; empty if nothing was.
        called: whether a t-test on the samples calls them different.
    """

    first: Measure
    second: Measure
    disturbed: tuple[str, ...] = ()
    called: bool

    def __post_init__(self) -> None:
        if not all(each.value and each.value > 0 for each in (self.first, self.second)):
            raise ValueError("a pair must have two rates above 0")

    @property
    def ratio(self) -> float:
        """Return first / second."""
        return (self.first.value or 0.0) / (self.second.value or 0.0)

    @property
    def log_ratio(self) -> float:
        """Return ln(first / second)."""
        return math.log(self.ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """What a calibration measured, and the limit that came of it.

    Attributes:
        name: of the calibration; a file of that name holds it.
        config: what each cell trained.
        seconds: that each cell was timed for.
        pairs: in the order in which they were measured.
        asked: how many there were to be.
        false_alarms: share of pairs of identical cells that may exceed the limit.
        log_limit: of |ln ratio| of one pair; None if too few were measured.
    """

    name: str
    started_at: str
    duration_s: float
    config: RunConfig
    seconds: float
    machine: Machine
    pairs: tuple[Pair, ...]
    asked: int
    false_alarms: float = FALSE_ALARMS
    log_limit: float | None
    version: int = NOISE_FLOOR_VERSION

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """Return ln(first / second) of each pair."""
        return tuple(pair.log_ratio for pair in self.pairs)

    def relative(self, rounds: int = 1) -> float | None:
        """Return the floor for a mean over rounds as a relative difference: 0.023 is 2.3 %.

        The mean of n differences spreads less by the root of n. Beyond as many rounds as there are
        pairs it is not lowered further: nobody saw here that longer means get any closer.

        Args:
            rounds: processes of each contender, at least 1.
        """
        if self.log_limit is None:
            return None
        return math.expm1(self.log_limit / math.sqrt(min(rounds, len(self.pairs))))

    def age_words(self, now: datetime) -> str:
        """Return how old it is, such as "3 days old"."""
        seconds = (now - datetime.fromisoformat(self.started_at)).total_seconds()
        days = int(seconds // _DAY_S)
        if days < 1:
            return "less than a day old"
        return f"{days} day old" if days == 1 else f"{days} days old"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; the floor of one pair is said too, for readers."""
        values = dataclasses.asdict(self) | {"config": self.config.to_json()}
        return values | {"relative": self.relative()}

    def dumps(self) -> str:
        """Return it as JSON text: keys sorted, no NaN, newline at the end."""
        return json.dumps(self.to_json(), sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NoiseFloor:
        """Build it from `to_json` values.

        Raises:
            StoreError: the version is unknown or a field does not fit.
        """
        with reading(
            "noise floor", NOISE_FLOOR_VERSION, values, "measure anew with `bench calibrate`"
        ):
            return cls(**_parsed(values))

    @classmethod
    def loads(cls, text: str) -> NoiseFloor:
        """Parse what `dumps` wrote.

        Raises:
            StoreError: not JSON, or not a noise floor.
        """
        return cls.from_json(parsed_object("noise floor", text))


def noise_floors(folder: Path) -> Iterator[NoiseFloor]:
    """Yield the calibrations in a folder in the order of their names; none without a folder.

    Raises:
        StoreError: one cannot be read; the text names the file.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            yield NoiseFloor.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, StoreError) as error:
            raise StoreError(f"{path}: {error}") from error


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the nested plain values back into the classes they came from."""
    parsed = {name: value for name, value in values.items() if name != "relative"}
    parsed["machine"] = Machine.from_json(values["machine"])
    parsed["config"] = RunConfig.from_json(values["config"])
    parsed["pairs"] = tuple(_pair(each) for each in values["pairs"])
    return parsed


def _pair(values: Mapping[str, Any]) -> Pair:
    sides = {name: dict(values[name]) for name in ("first", "second")}
    measures = {
        name: Measure(**side | {"samples": tuple(side["samples"])}) for name, side in sides.items()
    }
    return Pair(**dict(values) | measures | {"disturbed": tuple(values["disturbed"])})
