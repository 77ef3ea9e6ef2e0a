"""Targets of a run, such as `score>=0.9`, and how long it took to reach them.

As MLPerf Training has it: the time until a quality is reached, not the quality after a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError, unknown_name
from harness.metrics import QUALITY
from harness.record import EpochPoint, Measure

_FORM = re.compile(r"\s*(?P<name>[^<>=\s]+)\s*(?P<sign>>=|<=)\s*(?P<value>\S+)\s*")
_UNBOUNDED = ("cross_entropy", "box_mse", "loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a measure of the validation split is to reach.

    Attributes:
        name: of the measure, one of `QUALITY`.
        at_least: whether it is to be so large, or (else) so small.
        value: 0 to 1 for shares and scores, 0 or more for losses.
    """

    name: str
    at_least: bool
    value: float

    def __str__(self) -> str:
        # Every digit: it is read again, by the training process of a worker.
        return f"{self.name}{'>=' if self.at_least else '<='}{self.value!r}"

    def holds(self, point: EpochPoint) -> bool:
        """Tell whether an epoch reached it."""
        value = self.of(point)
        return value >= self.value if self.at_least else value <= self.value

    def of(self, point: EpochPoint) -> float:
        """Return the measure after an epoch."""
        return point.metrics[f"validation_{self.name}"]

    def best(self, history: Iterable[EpochPoint]) -> float:
        """Return what came closest to it."""
        values = map(self.of, history)
        return max(values) if self.at_least else min(values)


def parse_targets(texts: Sequence[str]) -> tuple[Target, ...]:
    """Read targets as they are written on a command line; no text, no target.

    Raises:
        UsageError: one is malformed, names no measure, or no run can reach it or all of them.
    """
    targets = tuple(map(_parsed, texts))
    for name in dict.fromkeys(target.name for target in targets):
        same = [target for target in targets if target.name == name]
        low = max((target.value for target in same if target.at_least), default=-math.inf)
        high = min((target.value for target in same if not target.at_least), default=math.inf)
        if low > high:
            raise UsageError(
                f"--target must leave a value that can be reached, got {name}>={low:g} and "
                f"{name}<={high:g}."
            )
    return targets


def time_to_target(history: Sequence[EpochPoint], targets: Sequence[Target]) -> Measure:
    """Return the seconds until an epoch reached all targets at once.

    Counted are training, waiting for its scenes included, and validation of all epochs up to that
    one, of all attempts. Not counted: loading libraries and data, compilation, checkpoints.

    Args:
        history: of the run so far, in order.
        targets: at least one.
    """
    first = first_reached(history, targets)
    if first is None:
        return Measure(reason=_why_not(history, targets))
    before = [point for point in history if point.epoch <= first.epoch]
    samples = []
    for point in before:
        if point.validation_s is None:
            return Measure(reason=f"epoch {point.epoch} does not say how long its validation took")
        samples.append(point.train_s + point.validation_s)
    return Measure(value=sum(samples), samples=tuple(samples))


def first_reached(history: Sequence[EpochPoint], targets: Sequence[Target]) -> EpochPoint | None:
    """Return the first epoch that reached all targets at once; None if none did."""
    return next((p for p in history if all(target.holds(p) for target in targets)), None)


def _parsed(text: str) -> Target:
    found = _FORM.fullmatch(text)
    if not found:
        raise UsageError(
            "--target must be a measure, >= or <=, and a number, in quotes, such as "
            f"'score>=0.9', got {text!r}."
        )
    name, number = found["name"], found["value"]
    if name not in QUALITY:
        raise unknown_name("measure", name, QUALITY)
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    high = math.inf if name in _UNBOUNDED else 1.0
    # Written so that NaN fails; an infinity is no target either.
    if not (0 <= value <= high and math.isfinite(value)):
        allowed = "of 0 or more" if name in _UNBOUNDED else "from 0 to 1"
        raise UsageError(f"--target {name} must be a number {allowed}, got {number}.")
    return Target(name=name, at_least=found["sign"] == ">=", value=value)


def _why_not(history: Sequence[EpochPoint], targets: Sequence[Target]) -> str:
    """Return why the targets were not reached: what was never so good, or that it never met."""
    if not history:
        return "no epoch was trained"
    epochs = f"{len(history)} {'epoch' if len(history) == 1 else 'epochs'}"
    missed = [target for target in targets if not any(target.holds(point) for point in history)]
    if not missed:
        return f"{' and '.join(map(str, targets))} never held in the same one of {epochs}"
    parts = [
        f"{target.name} was at {'most' if target.at_least else 'least'} {_short(target, history)}"
        for target in missed
    ]
    return f"{' and '.join(parts)} in {epochs}"


def _short(target: Target, history: Sequence[EpochPoint]) -> str:
    """Return the best value with as many digits as tell it from the target, four at least."""
    best = target.best(history)
    digits = next(n for n in range(4, 18) if float(f"{best:.{n}g}") != target.value)
    return f"{best:.{digits}g}"
