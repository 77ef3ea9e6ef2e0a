"""`bench`: the commands and what they accept, those of `harness.cmd_*_commands` included.

The only door to the program.

Nothing slow is imported here: each command checks names and ranges, then imports the module
that does the work.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from harness import __version__
from harness.cluster_options import check_cluster_options, cluster_options, the_one
from harness.cmd_data_commands import data
from harness.cmd_know_commands import certify, check, describe, doctor
from harness.cmd_list_commands import list_group
from harness.cmd_use_commands import baseline, export, predict
from harness.compare_options import compare_options, read_measures
from harness.config import RunConfig
from harness.durations import parse_span
from harness.errors import BenchError, InterruptedRun
from harness.options import (
    Sectioned,
    config_options,
    data_dir_option,
    given,
    out_option,
    place_options,
    place_values,
    read_config,
    read_configs,
    recipe_option,
    resume_option,
    typed,
)
from harness.report_options import REPORT_FIELDS, check_report_options, report_options
from harness.sweep_options import check_sweep_options, sweep_options
from harness.targets import Target
from harness.timed_contenders import UNTIMED, read_contenders, read_scene_contenders, timed_config
from harness.timing_options import (
    calibrate_options,
    read_calibrate_plan,
    read_targets,
    read_throughput_plan,
    refuse_stop,
    target_options,
    throughput_options,
)

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

SECTIONS = {
    "Measure": ("run", "launch", "sweep", "throughput", "calibrate"),
    "Steer": ("status", "stop"),
    "Look": ("report", "verify", "compare", "ui"),
    "Use": ("export", "predict"),
    "Know": ("doctor", "list", "describe", "check", "certify", "data"),
    "Keep": ("baseline", "sync"),
}
"""How `bench --help` groups the commands."""


class _Sections(click.Group):
    """A group whose help lists its commands under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write one table of commands for each heading."""
        for heading, names in SECTIONS.items():
            commands = [(name, self.commands[name]) for name in names]
            with formatter.section(heading):
                limit = 200  # never cut: a long line wraps
                formatter.write_dl([(n, c.get_short_help_str(limit)) for n, c in commands])


@click.group(cls=_Sections, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="bench")
def bench() -> None:
    """Find out which architecture, tuned how, on which hardware - and whether to believe it.

    bench trains backbones with shared heads to classify and locate a digit on a canvas, searches
    learning rate and loss weights, keeps every run in MLflow and writes reports that compare.

    \b
    Start here:
      bench run                  one training, a minute on the bundled digits
      bench sweep --trials 50    search, train the best again, test it, report
      bench ui                   browse everything in MLflow
    """  # noqa: D301 - click wants the backspace itself, not a backslash


@bench.command(cls=Sectioned)
@click.option(
    "--backbone", "backbones", multiple=True, default=[RunConfig().backbone], show_default=True,
    metavar="NAME", help="Network body to train; repeat it to compare several.",
)  # fmt: skip
@click.option(
    "--repeats", type=int, default=1, show_default=True, metavar="N",
    help="Train each backbone so often, from --seed on with one seed more each time.",
)  # fmt: skip
@click.option(
    "--report/--no-report", "report", default=True, show_default=True,
    help="Write a report that compares, if there are several runs.",
)  # fmt: skip
@recipe_option
@target_options
@resume_option
@config_options(without=("backbone",))
@cluster_options
@data_dir_option
@place_options
@click.pass_context
def run(context: click.Context, /, **values: Any) -> None:
    """Train and evaluate one configuration, or several backbones alike.

    Validation is measured after each epoch. At the end the sealed test split is opened once for
    the final evaluation; while you tune by hand, leave it shut with --no-test. A run that was
    killed or stopped goes on with the same command.
    """
    check_cluster_options(values)
    targets, stops = read_targets(values)
    configs = read_configs(values)
    if configs[0].strategy == "multiworker":
        refuse_stop(stops)
        _run_as_worker(the_one(configs), targets, context, values)
        return
    from harness import cmd_run

    cmd_run.run(
        configs, chosen=given(context), report=values["report"], resume=values["resume"],
        targets=targets, stop_at_target=stops, **place_values(values),
    )  # fmt: skip


def _run_as_worker(
    config: RunConfig, targets: Sequence[Target], context: click.Context, values: dict[str, Any]
) -> None:
    from harness import cmd_cluster

    cmd_cluster.run(
        config, chosen=given(context), resume=values["resume"], targets=targets,
        control_port=values["control_port"], wait_s=values["wait_for_workers"],
        **place_values(values),
    )  # fmt: skip


@bench.command(cls=Sectioned)
@click.option(
    "--local-workers", type=int, metavar="N",
    help="Start so many workers, all on this machine: for a trial run.",
)  # fmt: skip
@click.option(
    "--hosts", metavar="A:PORT,B:PORT",
    help="Start those of these workers that are on this machine, and say what to type on the "
    "others. The first is the chief.",
)  # fmt: skip
@recipe_option
@target_options
@resume_option
@config_options(without=("strategy",))
@cluster_options
@data_dir_option
@place_options
@click.pass_context
def launch(context: click.Context, /, **values: Any) -> None:
    """Train one configuration on several workers: on this machine, or on several.

    Takes the options of `bench run`, whose --strategy is multiworker here, and passes them on to
    every worker. The first worker is the chief: it shows the progress, keeps the record and talks
    to MLflow. If one dies, hangs, or runs something else, all end within seconds; the same command
    goes on from there.
    """
    check_cluster_options(values)
    refuse_stop(read_targets(values)[1])
    config = read_config({**values, "strategy": "multiworker"})
    place, tracking = {"hosts", "local_workers", "control_port"}, {"tracking_uri", "experiment"}
    from harness import cmd_launch

    cmd_launch.launch(
        config,
        hosts=values["hosts"], local_workers=values["local_workers"],
        control_port=values["control_port"],
        options=typed(context, without=(*place, *tracking)),
        chief_options=typed(context, without=set(values) - tracking),
    )  # fmt: skip


@bench.command(cls=Sectioned)
@click.option(
    "--backbone", "backbones", multiple=True, default=[RunConfig().backbone], show_default=True,
    metavar="NAME",
    help="Network body to search; repeat it to compare several, each with a search of its own.",
)  # fmt: skip
@sweep_options
@config_options(without=("backbone", "evaluate_test"))
@data_dir_option
@place_options
@click.pass_context
def sweep(context: click.Context, /, **values: Any) -> None:
    """Search hyperparameters, then train the best in full and test it.

    Trials look at the validation split only. The best configuration is trained again with new
    seeds, and only those runs open the sealed test split. The same command goes on after a kill
    and does nothing once all is done. An option such as --learning-rate fixes that field instead
    of searching it. Several --backbone are searched with equal budgets: as many trials each, of
    as many training examples.
    """
    check_sweep_options(values)
    configs = read_configs(values)
    from harness import cmd_sweep
    from harness.cmd_sweep_request import Request

    request = Request.of(values)
    cmd_sweep.sweep(configs, request, chosen=given(context), **place_values(values))


@bench.command(cls=Sectioned)
@click.option(
    "--backbone", "backbones", multiple=True, default=[RunConfig().backbone], show_default=True,
    metavar="NAME", help="Network body to time; repeat it to compare several.",
)  # fmt: skip
@throughput_options
@config_options(without=("backbone", *UNTIMED))
@data_dir_option
@place_options
@click.pass_context
def throughput(context: click.Context, /, **values: Any) -> None:
    """Time contenders so that it can be believed: speed, latency, memory, MFU.

    Each is measured in processes of its own, in turns with the others: the spread between
    processes decides what can be separated. A process trains as a run does, until its pace is
    stationary and then for --seconds, and predicts batches and single images. Training images/s
    are compared within rounds; what disturbed a process is told and nothing is left out. Every
    cell is kept with its raw samples, in --out and in MLflow. Ctrl-C keeps what was measured.
    """
    plan, chosen = read_throughput_plan(values), given(context)
    if values["data_only"]:
        _time_scenes(values, chosen, plan.seconds if "seconds" in chosen else 1.0)
        return
    contenders = read_contenders(values, given="backbones" in chosen)
    from harness import cmd_throughput

    cmd_throughput.throughput(
        contenders, plan, repeats=values["repeats"], observer=values["observer"],
        as_json=values["as_json"], **place_values(values),
    )  # fmt: skip


def _time_scenes(values: dict[str, Any], chosen: set[str], seconds: float) -> None:
    contenders = read_scene_contenders(values, given=chosen)
    from harness import cmd_data_speed

    cmd_data_speed.data_speed(
        contenders, repeats=values["repeats"], seconds=seconds, as_json=values["as_json"],
        data_dir=values["data_dir"],
    )  # fmt: skip


@bench.command(cls=Sectioned)
@calibrate_options
@config_options(without=UNTIMED)
@data_dir_option
@out_option
def calibrate(**values: Any) -> None:
    """Find out below which difference of speed this machine tells nothing.

    Times identical cells against each other (A/A), as `bench throughput` times contenders, and
    stores how far apart they are: the noise floor. No report and no `bench throughput` here claims
    a smaller difference. It holds for this processor, system, Python and TensorFlow; the newest
    one counts. Run it while the machine does nothing else. Ctrl-C keeps what was measured.
    """
    plan, config = read_calibrate_plan(values), timed_config(values, "calibrate")
    from harness import cmd_calibrate

    cmd_calibrate.calibrate(
        config, plan, pairs=values["pairs"], as_json=values["as_json"], out=values["out"],
        data_dir=values["data_dir"],
    )  # fmt: skip


@bench.command()
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


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def verify(folder: Path) -> None:
    """Check that a report still says what its evidence says.

    Every file in DIR must be the one that was written, and every measure, interval and verdict is
    computed again from the predictions of each image, by other code than that of the report.
    Needs DIR alone: no network, no MLflow. Exit code 1 if something no longer holds.
    """
    from harness import cmd_verify

    cmd_verify.verify(folder)


@bench.command()
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


@bench.command()
@click.option(
    "--port", type=int, default=5000, show_default=True, metavar="N",
    help="Port to use; if it is taken, the next free one.",
)  # fmt: skip
@place_options
def ui(**values: Any) -> None:
    """Open MLflow's pages on the results (loopback only; Ctrl-C ends it)."""
    from harness import cmd_look

    cmd_look.ui(port=values["port"], **place_values(values))


@bench.command()
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


@bench.command()
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


@bench.command()
@place_options
def sync(**values: Any) -> None:
    """Send to MLflow what could not be sent, and end runs whose process died."""
    from harness import cmd_look

    cmd_look.sync(**place_values(values))


for _command in (
    export, predict, baseline, doctor, list_group, describe, check, certify, data,
):  # fmt: skip
    bench.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `bench` and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when imported
    # It warns of traces that it finds too many: one for each network of a comparison.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    _allow_local_plugins()
    sys.exit(_exit_code(lambda: bench.main(arguments, prog_name="bench", standalone_mode=False)))


def _exit_code(command: Callable[[], Any]) -> int:
    """Run a command; say its error in one line."""
    try:
        command()
    except click.ClickException as error:
        _say_click(error)
        return error.exit_code
    except BenchError as error:
        _say(error, error.exit_code)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return InterruptedRun.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads on; a message at exit would only say so
        return 1
    return 0


def _say(error: BenchError, code: int) -> None:
    kind = "Interrupted" if code == InterruptedRun.exit_code else "Error"
    click.echo(f"{kind}: {error}", err=True)


def _say_click(error: click.ClickException) -> None:
    """Say in one line what click found wrong; `bench` alone shows its help."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    elif context is None:
        click.echo(f"Error: {error.format_message()}", err=True)
    else:
        more = f"`{context.command_path} --help` lists what there is."
        click.echo(f"Error: {error.format_message()} {more}", err=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _allow_local_plugins() -> None:
    """Let `--backbone package.module:function` find modules in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: it must not shadow an installed module
