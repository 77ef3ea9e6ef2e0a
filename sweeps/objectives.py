"""What a search may be after: one measure or several, and which it may not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError, unknown_name
from harness.goal import Goal
from harness.record import METRICS

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
class Objective(Goal):
    """One measure that a search makes as good as it can.

    Attributes:
        name: of the measure, such as "score".

    Raises:
        UsageError: there is no such measure, or no search can be after it.
    """

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
    def direction(self) -> Direction:
        """Return which way it is better."""
        return "maximize" if self.sign > 0 else "minimize"

    def text(self, value: float, *, extra: int = 0) -> str:
        """Return a value as it is shown, with `extra` digits more than usual."""
        return f"{value:,.{self.digits + extra}f}"


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


def finite(values: Sequence[float | None]) -> tuple[float, ...] | None:
    """Return the values if all are there and finite, else None."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return tuple(known) if len(known) == len(values) else None
