"""Options of runs over several workers; imports click only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from harness.config import RunConfig
from harness.errors import UsageError
from harness.rendezvous import WAIT_S

Command = TypeVar("Command", bound=Callable[..., Any])

LONGEST_WAIT_S = 86_400.0


def cluster_options(command: Command) -> Command:
    """Add the options that say how workers meet."""
    for option in (
        click.option(
            "--wait-for-workers", type=float, default=WAIT_S, show_default=True, metavar="SECONDS",
            envvar="BENCH_WAIT_FOR_WORKERS",
            help="Of multiworker: how long workers wait for each other at the start.",
        ),
        click.option(
            "--control-port", type=int, metavar="N", envvar="BENCH_CONTROL_PORT", show_envvar=True,
            help="Of multiworker: where the chief listens for the others; the same on all.  "
            "[default: its port in TF_CONFIG plus 1000]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def check_cluster_options(values: Mapping[str, Any]) -> None:
    """Raise `UsageError` if an option of `cluster_options` is out of range."""
    wait_s = values["wait_for_workers"]
    if not 0 < wait_s <= LONGEST_WAIT_S:
        raise UsageError(
            f"--wait-for-workers must be greater than 0 and at most {LONGEST_WAIT_S:g}, got "
            f"{wait_s:g}."
        )


def the_one(configs: Sequence[RunConfig]) -> RunConfig:
    """Return the one configuration that a cluster trains.

    Raises:
        UsageError: there are several.
    """
    if len(configs) > 1:
        raise UsageError(
            f"`multiworker` trains one configuration per command, got {len(configs)}. Start one "
            "after the other, and compare them with `bench report --all`."
        )
    return configs[0]
