"""`bench`: the commands and what they accept. The only door to the program.

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
from harness.compare_options import compare_options, read_measures
from harness.config import RunConfig, knobs
from harness.contender_specs import MOST_STEPS, check_shares, gpus_of_this_machine, parse_specs
from harness.datasets import FETCHED, has_photos
from harness.durations import parse_span
from harness.errors import BenchError, InterruptedRun, UsageError, unknown_name
from harness.options import (
    DEFAULT_OUT,
    Sectioned,
    config_options,
    data_dir_option,
    given,
    out_option,
    place_options,
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

DESCRIBED = {
    "head", "width", "depth", "pretrained", "batch_size", "canvas_px", "strategy", "precision",
    "jit",
}  # fmt: skip
"""Fields of a configuration that decide what a network is and costs."""


PREVIEWED = {
    name for name, knob in knobs().items() if knob.group in {"Data", "Augmentation"}
} - {"train_examples", "evaluate_test"}  # fmt: skip
"""Fields of a configuration that decide what scenes look like."""

CERTIFIED_WITHOUT = {
    "batch_size", "global_batch_size", "epochs", "patience", "evaluate_test", "strategy",
    "devices",
}  # fmt: skip
"""Fields that a certificate sets itself, or that its few steps have no use for."""


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
        if stops:
            raise UsageError(
                "--stop-at-target ends a run of one process: leave it out with --strategy "
                "multiworker."
            )
        _run_as_worker(the_one(configs), targets, context, values)
        return
    from harness import cmd_run

    cmd_run.run(
        configs, chosen=given(context), report=values["report"], resume=values["resume"],
        targets=targets, stop_at_target=stops, **_places(values),
    )  # fmt: skip


def _run_as_worker(
    config: RunConfig, targets: Sequence[Target], context: click.Context, values: dict[str, Any]
) -> None:
    from harness import cmd_cluster

    cmd_cluster.run(
        config, chosen=given(context), resume=values["resume"], targets=targets,
        control_port=values["control_port"], wait_s=values["wait_for_workers"], **_places(values),
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
    cmd_sweep.sweep(configs, request, chosen=given(context), **_places(values))


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
        as_json=values["as_json"], **_places(values),
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

    cmd_report.report(**{name: values[name] for name in REPORT_FIELDS}, **_places(values))


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
        **_places(values),
    )  # fmt: skip


@bench.command()
@click.argument("name", metavar="RUN")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder to write.  [default: exports/RUN_ID in --out]",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Replace an older export in --to.")
@click.option("--register", metavar="NAME", help="Register it in MLflow, as one version more.")
@place_options
def export(name: str, **values: Any) -> None:
    """Write a trained network as .keras and SavedModel, for others to use.

    RUN is a run or a sweep: of a sweep's finals the best in validation. Images go in as they are,
    uint8; class names, probabilities and boxes come out. Both files are read again and must
    predict what the run did, else nothing is written.
    """
    from harness import cmd_export

    cmd_export.export(
        name, to=values["to"], register=values["register"], replace=values["replace"],
        **_places(values),
    )  # fmt: skip


@bench.command()
@click.argument("name", metavar="RUN")
@click.argument(
    "pictures", nargs=-1, required=True, metavar="PICTURE...", type=click.Path(path_type=Path)
)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder for the drawn pictures.  [default: predicted/RUN_ID in --out]",
)  # fmt: skip
@click.option(
    "--invert", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
    help="Swap light and dark; auto does so for digits on bright ground.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@place_options
def predict(name: str, pictures: tuple[Path, ...], **values: Any) -> None:
    """Say and draw what a trained network finds in pictures of your own.

    RUN is a run, a sweep (of its finals the best in validation), or the folder of a `bench
    export`. Each PICTURE is a file or a folder of them. It is scaled to fit the canvas of the
    network; what it shows should look like the scenes of training (`bench data preview`).
    """
    from harness import cmd_predict

    cmd_predict.predict(
        name, pictures, to=values["to"], invert=values["invert"], as_json=values["as_json"],
        **_places(values),
    )  # fmt: skip


@bench.group()
def baseline() -> None:
    """Set runs aside, to compare later ones with them."""


@baseline.command(name="save")
@click.argument("name")
@click.argument("what", metavar="RUN")
@click.option("--replace", is_flag=True, help="Replace an older baseline of that name.")
@place_options
def save_baseline(name: str, what: str, **values: Any) -> None:
    """Set runs aside as NAME, to compare later ones with.

    RUN is a run, runs of one configuration separated by commas, or a sweep. Records and test
    predictions are copied into a folder that stands alone: keep it in a repository, and give its
    path to `bench compare` instead of its name.
    """
    from harness import cmd_compare

    cmd_compare.save(name, what, replace=values["replace"], **_places(values))


@baseline.command(name="list")
@out_option
def list_baselines(out: Path) -> None:
    """List the baselines in the output folder."""
    from harness import cmd_compare

    cmd_compare.show(out=out)


@bench.command()
@click.option(
    "--port", type=int, default=5000, show_default=True, metavar="N",
    help="Port to use; if it is taken, the next free one.",
)  # fmt: skip
@place_options
def ui(**values: Any) -> None:
    """Open MLflow's pages on the results (loopback only; Ctrl-C ends it)."""
    from harness import cmd_look

    cmd_look.ui(port=values["port"], **_places(values))


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

    cmd_look.sync(**_places(values))


@bench.command()
@click.option(
    "--peaks/--no-peaks", "peaks", default=True, show_default=True,
    help="Measure matrix products and memory traffic, which takes some seconds.",
)  # fmt: skip
@data_dir_option
@place_options
def doctor(**values: Any) -> None:
    """Show what this machine has, what can be used here and why not the rest.

    Devices and versions, which strategies can be used, the speed of matrix products and memory as
    measured, where the data is, and whether output folder, tracking store and sweeps are in
    order. Exit code 1 if something must be mended first.
    """
    from harness import cmd_doctor

    cmd_doctor.doctor(peaks=values["peaks"], **_places(values))


@bench.group(name="list")
def list_group() -> None:
    """List what can be chosen: backbones, heads, recipes, strategies, datasets, scenes."""


@list_group.command(name="backbones")
def list_backbones() -> None:
    """List the backbones, also those of plug-ins."""
    from architectures import registry

    _table([(entry.name, entry.summary or f"from {entry.owner}") for entry in registry.entries()])


@list_group.command(name="heads")
def list_heads() -> None:
    """List the heads, which turn features into class and box."""
    from architectures.builtin import HEADS

    _table(list(HEADS.items()))


@list_group.command(name="recipes")
def list_recipes() -> None:
    """List the recipes: options that work well together."""
    from harness.recipes import RECIPES

    _table([(name, f"{each.meaning} {each.words()}") for name, each in RECIPES.items()])


@list_group.command(name="strategies")
def list_strategies() -> None:
    """List the ways to spread work over devices."""
    from harness.devices import STRATEGIES

    _table(list(STRATEGIES.items()))


@list_group.command(name="datasets")
def list_datasets() -> None:
    """List the sources of images."""
    from harness.datasets import DATASETS

    _table(list(DATASETS.items()))


@list_group.command(name="scenes")
def list_scenes() -> None:
    """List the presets of scenes: the options that each stands for."""
    from harness.scene_spec import PRESETS

    _table([(name, spec.option_words()) for name, spec in PRESETS.items()])


@bench.command(cls=Sectioned)
@click.argument("backbone", metavar="BACKBONE")
@config_options(without=set(knobs()) - DESCRIBED)
@click.option("--layers", "every_layer", is_flag=True, help="List every layer of a deep network.")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE",
    help="Diagram to write (PNG).  [default: describe-BACKBONE.png in --out]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True,
    envvar="BENCH_OUT", help="Folder for all results.",
)  # fmt: skip
def describe(**values: Any) -> None:
    """Show the layers of a network and what they cost, as a table and a diagram.

    Parameters and multiply-adds of each layer, FLOP of an image, and the memory that one training
    step takes, measured in a process of its own. More than 60 layers are summed up in blocks.
    """
    config = read_config(values)
    if config.jit == "auto":
        raise UsageError(
            "`bench describe` measures one step: it needs `jit` on or off, got 'auto'."
        )
    from harness import cmd_describe

    cmd_describe.describe(
        config, every_layer=values["every_layer"], to=values["to"], out=values["out"]
    )


@bench.command()
@click.argument("names", nargs=-1, required=True, metavar="BACKBONE...")
def check(names: tuple[str, ...]) -> None:
    """Check that backbones keep the contract, and say how to mend those that do not.

    Builds each on scenes of 75x75 and other sizes, and checks shapes, seeds, saving, gradients,
    mixed precision, XLA and two replicas. Exit code 1 if a check fails.
    """
    from architectures import registry

    for name in names:
        registry.check_name(name)
    from harness import cmd_check

    cmd_check.check(names)


@bench.command(cls=Sectioned)
@click.option(
    "--strategies", default="cpu,mirrored,multiworker", show_default=True, metavar="A,B[:N]",
    help="What to compare, the reference first: cpu, gpu, mirrored, multiworker.",
)  # fmt: skip
@click.option(
    "--global-batch-size", type=int, default=64, show_default=True, metavar="N",
    help="Images per step over all replicas, the same for every strategy.",
)  # fmt: skip
@click.option(
    "--steps", type=int, default=20, show_default=True, metavar="N", help="Steps of the loss path."
)
@config_options(without=CERTIFIED_WITHOUT)
@data_dir_option
@place_options
def certify(**values: Any) -> None:
    """Prove that strategies train the same network, or name the first quantity that differs.

    The same weights and batches go through each strategy: first loss and gradient, averages of
    batch normalisation, outputs after an update, the loss path, and evaluations that do not divide
    into batches. Limits come from control runs of the reference. mirrored:4 and multiworker:3 say
    how many replicas; multiworker is processes on this machine. Exit code 1 if something differs.
    """
    if not 2 <= values["steps"] <= MOST_STEPS:
        raise UsageError(f"--steps must be 2 to {MOST_STEPS}, got {values['steps']}.")
    config = read_config(values)
    gpus = gpus_of_this_machine()
    specs = parse_specs(values["strategies"], gpus=gpus)
    check_shares(specs, values["global_batch_size"])
    from harness import cmd_certify

    cmd_certify.certify(config, specs, steps=values["steps"], gpus=gpus, **_places(values))


@bench.group()
def data() -> None:
    """Look at the data, count, download or export it."""


@data.command(cls=Sectioned)
@config_options(without=set(knobs()) - PREVIEWED)
@click.option(
    "--split",
    type=click.Choice(["train", "validation"]),
    default="train",
    show_default=True,
    help="Which scenes to draw; the test split stays sealed.",
)
@click.option(
    "--epoch",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Training scenes move each epoch: which one to show.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Picture to write (PNG).  [default: preview-DATASET-SPLIT.png in --out]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True,
    envvar="BENCH_OUT", help="Folder for all results.",
)  # fmt: skip
@data_dir_option
def preview(**values: Any) -> None:
    """Draw scenes with their true boxes into a picture."""
    config = read_config(values)
    if values["epoch"] < 1:
        raise UsageError(f"--epoch must be at least 1, got {values['epoch']}.")
    from harness import cmd_data

    places = {name: values[name] for name in ("split", "epoch", "to", "out", "data_dir")}
    cmd_data.preview(config, **places)


@data.command()
@click.argument("name", metavar=f"[{'|'.join(FETCHED)}]")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder below which the set gets one of its own.  [default: bench's cache]",
)  # fmt: skip
def fetch(name: str, to: Path | None) -> None:
    """Download a data set and say where it lies.

    Size and checksum of each file are checked; what already lies there is not fetched again.
    """
    if name not in FETCHED:
        raise unknown_name("data set to fetch", name, FETCHED)
    from harness import cmd_data

    cmd_data.fetch(name, to=to)


@data.command()
@config_options(without=set(knobs()) - {"dataset", "data_seed", "train_examples"})
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(["train", "validation", "test"]),
    default=("train", "validation"), show_default=True,
    help="What to count; may be repeated. Only test breaks the seal of the test split.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@data_dir_option
def stats(**values: Any) -> None:
    """Count classes, copies, sizes and faults of a data set.

    How sides and centres of the training boxes are spread is shown too.
    What is bad in a data set of your own is listed, and left out of the counts. The test split
    stays sealed unless it is named: then its classes and copies are counted, and nothing shown.
    Of photos all are counted together, and no pixel is decoded.
    """
    config = read_config({**values, "skip_bad": True})
    if has_photos(config.dataset):
        from harness import cmd_photo_stats

        cmd_photo_stats.photo_stats(config.dataset, as_json=values["as_json"])
        return
    from harness import cmd_data
    from harness.data_stats import SPLITS

    splits = [split for split in SPLITS if split in values["splits"]]
    cmd_data.stats(config, splits=splits, as_json=values["as_json"], data_dir=values["data_dir"])


@data.command(name="export", cls=Sectioned)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@config_options(without=set(knobs()) - PREVIEWED - {"train_examples"})
@click.option(
    "--split", "splits", multiple=True, type=click.Choice(["train", "validation", "test"]),
    default=("train", "validation"), show_default=True,
    help="What to write; may be repeated. Only test breaks the seal of the test split.",
)  # fmt: skip
@click.option(
    "--epoch", type=int, default=1, show_default=True, metavar="N",
    help="Training scenes move each epoch: which one to write.",
)  # fmt: skip
@click.option(
    "--most", type=int, metavar="N", help="Scenes of each split, the first by id.  [default: all]"
)
@data_dir_option
def export_data(folder: Path, **values: Any) -> None:
    """Write scenes as PNG files with COCO annotations, for other tools to train on.

    DIR/SPLIT/images/ and DIR/SPLIT/instances.json: the very scenes of a run with these options,
    with their exact boxes and, as attributes, the factors that made them.
    """
    config = read_config(values)
    for name, least in (("epoch", 1), ("most", 1)):
        if values[name] is not None and values[name] < least:
            raise UsageError(f"--{name} must be at least {least}, got {values[name]}.")
    from harness import cmd_data_export

    cmd_data_export.export(
        config, folder, splits=list(dict.fromkeys(values["splits"])), epoch=values["epoch"],
        most=values["most"], data_dir=values["data_dir"],
    )  # fmt: skip


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


def _places(values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that say where things are."""
    names = ("out", "tracking_uri", "experiment", "data_dir")
    return {name: values[name] for name in names if name in values}


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")
