"""`bench report`, `verify`, `compare`, `ui`, `status`, `stop` and `sync`: what they accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.compare_options import compare_options, read_measures
from harness.durations import parse_span
from harness.options import out_option, place_options, place_values
from harness.report_options import REPORT_FIELDS, check_report_options, report_options


@click.command()
@report_options
@place_options
def report(**values: Any) -> None:
    """Compare runs from MLflow in a markdown report with pictures.

    Takes the runs of each --sweep, each --run, and those that match every --tag and --query.
    Runs that failed, were pruned or saw other data are listed with their reason, not ranked.
    """
    check_report_options(values)
    from harness import cmd_report

    cmd_report.report(**{name: values[name] for name in REPORT_FIELDS}, **place_values(values))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def verify(folder: Path) -> None:
    """Check that a report still says what its evidence says.

    Every file in DIR must be the one that was written, and every measure, interval and verdict is
    computed again from the predictions of each image, by other code than that of the report.
    Needs DIR alone: no network, no MLflow. Exit code 1 if something no longer holds.
    """
    from harness import cmd_verify

    cmd_verify.verify(folder)


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@compare_options
@place_options
def compare(**values: Any) -> None:
    """Say whether B is better or worse than A on the same test images, or nobody can tell.

    A and B are each a run, runs of one configuration separated by commas (seeds), a sweep (the
    seeds of its best), or a baseline. Images and, with several seeds each, seeds count as chance.
    With --fail-on regression the exit code is 1 if B is worse, but never for noise: a gate for
    continuous integration.
    """
    from harness import cmd_compare

    cmd_compare.compare(
        values["first"], values["second"], by=read_measures(values),
        fail_on_regression=values["fail_on"] is not None, as_json=values["as_json"],
        **place_values(values),
    )  # fmt: skip


@click.command()
@click.option(
    "--port", type=int, default=5000, show_default=True, metavar="N",
    help="Port to use; if it is taken, the next free one.",
)  # fmt: skip
@place_options
def ui(**values: Any) -> None:
    """Open MLflow's pages on the results (loopback only; Ctrl-C ends it)."""
    from harness import cmd_look

    cmd_look.ui(port=values["port"], **place_values(values))


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@place_options
def status(name: str | None, **values: Any) -> None:
    """Show how sweeps stand: running, ended or dead.

    With NAME one of them in full: what was asked for, trials by state, what trains now, the best
    so far, about how long the rest takes, why trials failed, what MLflow still lacks, and the
    command that goes on. Reads the output folder alone and disturbs nothing.
    """
    from harness import cmd_status

    cmd_status.status(name, **values)


@click.command()
@click.argument("name", required=False)
@click.option(
    "--timeout", default="2m", show_default=True, metavar="TIME",
    help="How long to wait for its end, such as 90s or 5m.",
)  # fmt: skip
@out_option
def stop(name: str | None, *, timeout: str, out: Path) -> None:
    """End a running sweep in good order.

    Without NAME the only one that runs. As Ctrl-C in its terminal would: nothing measured is lost,
    and the same command goes on. A second `bench stop` interrupts it at once. Exit code 0 also if
    nothing runs.
    """
    timeout_s = parse_span("--timeout", timeout)
    from harness import cmd_stop

    cmd_stop.stop(name, timeout_s=timeout_s, out=out)


@click.command()
@place_options
def sync(**values: Any) -> None:
    """Send to MLflow what could not be sent, and end runs whose process died."""
    from harness import cmd_look

    cmd_look.sync(**place_values(values))
