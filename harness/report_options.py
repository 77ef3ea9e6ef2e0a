"""The options of `bench report`; imports click only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--sweep", "sweeps", multiple=True, metavar="NAME",
        help="Report this sweep; may be repeated.  "
        "[default: the one begun last, else every run]",
    ),
    click.option(
        "--run", "runs", multiple=True, metavar="ID", help="Report this run; may be repeated."
    ),
    click.option(
        "--tag", "tags", multiple=True, metavar="KEY=VALUE",
        help="Report runs with this tag in MLflow; of several they must have all.",
    ),
    click.option(
        "--query", metavar="FILTER",
        help="Report runs that match MLflow's filter, such as \"metrics.test_score > 0.9\".",
    ),
    click.option(
        "--all", "everything", is_flag=True, help="Report every run of the experiment."
    ),
    click.option(
        "--to", type=click.Path(path_type=Path), metavar="DIR",
        help="Folder for the report.  [default: reports/NAME in --out]",
    ),
    click.option("--html", is_flag=True, help="Write it as one HTML page that stands alone, too."),
    click.option("--pdf", is_flag=True, help="Write it as PDF, too, by an installed browser."),
    click.option(
        "--template", type=click.Path(path_type=Path), metavar="FILE",
        help="Jinja template, such as summary.md.j2, for a page of your own.",
    ),
)  # fmt: skip

REPORT_FIELDS = (
    "sweeps", "runs", "tags", "query", "everything", "to", "html", "pdf", "template",
)  # fmt: skip


def report_options(command: Command) -> Command:
    """Add the options that say which runs a report is of, and in what forms it is written."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_report_options(values: Mapping[str, Any]) -> None:
    """Check what can be checked before anything slow.

    Raises:
        UsageError: --all is given beside what it takes already.
    """
    named = [name for name in ("sweeps", "runs", "tags", "query") if values[name]]
    if values["everything"] and named:
        raise UsageError(
            "--all already takes every run: leave out --sweep, --run, --tag and --query."
        )
