"""The options of `bench compare`; imports click only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

MEASURES = ("score", "accuracy", "mean_iou", "images_per_s")
"""What a comparison can be judged by."""

_OPTIONS = (
    click.option(
        "--by", "measures", multiple=True, type=click.Choice(MEASURES), default=MEASURES[:1],
        show_default=True,
        help="Measure of the verdict; repeat it for several, which are corrected for their "
        "number. Speed needs a noise floor: `bench calibrate`.",
    ),
    click.option(
        "--fail-on", type=click.Choice(["regression"]),
        help="Exit with code 1 if B is worse than A beyond noise.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts."),
)  # fmt: skip


def compare_options(command: Command) -> Command:
    """Add the options that say what decides, and what for."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_measures(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the measures that decide, each once."""
    return tuple(dict.fromkeys(values["measures"]))
