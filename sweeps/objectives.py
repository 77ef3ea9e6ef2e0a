"""What a search is after: one measure or several, each with a direction.

With several there is no best trial but a front: the trials that no other one dominates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError, unknown_name
from harness.record import METRICS, QUALITY, EpochPoint, RunRecord

Direction = Literal["maximize", "minimize"]

_ONE_PROCESS = "one process does many trials, and only the first of them shows it"

_THROUGHPUT = "only `bench throughput` measures it"

_SEALED = "it is measured on the test split, which no search may see"

NO_OBJECTIVES = {
    "compile_s": _ONE_PROCESS,
    "first_batch_s": _ONE_PROCESS,
    "peak_rss_mib": _ONE_PROCESS,
    "peak_device_mib": _ONE_PROCESS,
    "data_images_per_s": "it is the same for every network",
    "disturbed_epochs": "it says nothing of a network",
    "time_to_target_s": "only `bench run --target` measures it",
    "inference_images_per_s": _THROUGHPUT,
    "latency_p50_ms": _THROUGHPUT,
    "latency_p90_ms": _THROUGHPUT,
    "latency_p99_ms": _THROUGHPUT,
    "mfu": _THROUGHPUT,
    "jit_off_step_s": "only --jit auto measures it, which a sweep refuses",
    "jit_on_step_s": "only --jit auto measures it, which a sweep refuses",
    "shift_class_changes": _SEALED,
    "shift_box_px": _SEALED,
    "scaled_learning_rate": "neither more nor less of it is better",
}
"""Measures that no search can be after, with the reason."""

TIMED = ("images_per_s", "step_p50_ms", "step_p90_ms", "evaluation_s")
"""Measures that differ from one time to the next: with them a table cannot be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One measure that a search makes as good as it can.

    Attributes:
        name: of the measure, such as "score".

    Raises:
        UsageError: there is no such measure, or no search can be after it.
    """

    name: str

    def __post_init__(self) -> None:
        known = [name for name in METRICS if name not in NO_OBJECTIVES]
        if self.name in NO_OBJECTIVES:
            raise UsageError(
                f"`{self.name}` cannot be an objective: {NO_OBJECTIVES[self.name]}. "
                f"Choose from {', '.join(known)}."
            )
        if self.name not in known:
            raise unknown_name("objective", self.name, known)

    @property
    def metric(self) -> str:
        """Return its name in a record; quality is read on the validation split."""
        return f"validation_{self.name}" if self.name in QUALITY else self.name

    @property
    def title(self) -> str:
        """Return how it reads, such as "validation score" or "images/s"."""
        return f"{'validation ' if self.name in QUALITY else ''}{METRICS[self.name].title}"

    @property
    def direction(self) -> Direction:
        """Return which way it is better."""
        return "maximize" if METRICS[self.name].better == "higher" else "minimize"

    @property
    def sign(self) -> int:
        """Return 1 if more is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    @property
    def digits(self) -> int:
        """Return the decimals that it is shown with."""
        return METRICS[self.name].digits

    def text(self, value: float, *, extra: int = 0) -> str:
        """Return a value as it is shown, with `extra` digits more than usual."""
        return f"{value:,.{self.digits + extra}f}"

    def after_epoch(self, point: EpochPoint) -> float | None:
        """Return its value after an epoch, None where it is known at the end only."""
        if self.name == "images_per_s":
            return point.images / point.train_s if point.train_s > 0 else None
        return point.metrics.get(self.metric)

    def at_end(self, record: RunRecord) -> float | None:
        """Return its value in the record of a run, None if it is absent."""
        return record.value(self.metric)


def objectives_of(names: Sequence[str], *, searched: Sequence[str]) -> tuple[Objective, ...]:
    """Return the objectives of these names.

    Args:
        names: at least one; the first is the one that "best" means.
        searched: fields that the search varies.

    Raises:
        UsageError: there is none, one comes twice, or the search could cheat it.
    """
    if not names:
        raise UsageError("A sweep needs at least one objective, such as score.")
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise UsageError(f"Each objective must be named once, but {doubled[0]!r} comes twice.")
    cheats = sorted({"class_weight", "box_weight", "box_loss"} & set(searched))
    if "loss" in names and cheats:
        raise UsageError(
            f"`loss` cannot be the objective while `{cheats[0]}` is searched, a part of it: "
            f"the smallest would win. Use score, or fix --{cheats[0].replace('_', '-')}."
        )
    return tuple(Objective(name=name) for name in names)


def dominates(a: Sequence[float], b: Sequence[float], objectives: Sequence[Objective]) -> bool:
    """Return whether `a` is nowhere worse than `b` and somewhere better."""
    gains = [o.sign * (x - y) for x, y, o in zip(a, b, objectives, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


def front(
    values: Mapping[int, Sequence[float]], objectives: Sequence[Objective]
) -> tuple[int, ...]:
    """Return the trials that none of the others dominates, best in the first objective first.

    Args:
        values: number of a trial -> its value of each objective. Of equals the earliest stays.
        objectives: say which way is better.
    """
    kept: list[int] = []
    for number in _ranked(values, objectives):
        rivals = [values[other] for other in kept]
        equal = any(tuple(rival) == tuple(values[number]) for rival in rivals)
        if not equal and not any(dominates(rival, values[number], objectives) for rival in rivals):
            kept.append(number)
    return tuple(kept)


def _ranked(values: Mapping[int, Sequence[float]], objectives: Sequence[Objective]) -> list[int]:
    """Return the trials in an order in which none is dominated by a later one."""
    return sorted(
        values,
        key=lambda n: (*(-o.sign * v for o, v in zip(objectives, values[n], strict=True)), n),
    )


def finite(values: Sequence[float | None]) -> tuple[float, ...] | None:
    """Return the values if all are there and finite, else None."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return tuple(known) if len(known) == len(values) else None
