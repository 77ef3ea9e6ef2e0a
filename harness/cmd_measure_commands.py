"""`bench run`, `launch`, `sweep`, `throughput` and `calibrate`: what they accept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from harness.cluster_options import check_cluster_options, cluster_options, the_one
from harness.config import RunConfig
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


@click.command(cls=Sectioned)
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


@click.command(cls=Sectioned)
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


@click.command(cls=Sectioned)
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


@click.command(cls=Sectioned)
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


@click.command(cls=Sectioned)
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
