"""Command-line options made from the knobs of `RunConfig`; imports click only."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from architectures import registry
from architectures.builtin import HEADS
from harness.config import Knob, RunConfig, knobs
from harness.datasets import EPOCHS, check_dataset, defaults_text
from harness.devices import (
    STRATEGIES,
    check_devices,
    known_replicas,
    parse_devices,
    replica_batch,
)
from harness.errors import UsageError
from harness.recipes import RECIPES, recipe
from harness.scene_spec import span_text
from harness.schedule import check_warmup
from harness.tracking_uri import public_uri

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_OUT = Path("bench-runs")
DEFAULT_EXPERIMENT = "bench"

_NAMES = {"strategy": STRATEGIES, "head": HEADS}


class Sectioned(click.Command):
    """A command whose help lists its options under headings: its own, then those of a run."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one table of options for each heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                sections.setdefault(_section(parameter.name or ""), []).append(row)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def _section(name: str) -> str:
    """Return the heading under which the help shows a parameter."""
    if name in knobs():
        return knobs()[name].group
    return {"backbones": "Model", "data_dir": "Data"}.get(
        name, "Places" if name in {"out", "tracking_uri", "experiment"} else "Options"
    )


def config_options(*, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Add one option per field of `RunConfig` to a command, in the order of declaration.

    Args:
        without: fields that the command sets itself.
    """

    def decorate(command: Command) -> Command:
        for name, knob in reversed(knobs().items()):
            if name not in without:
                command = _option(name, knob)(command)
        return command

    return decorate


def given(context: click.Context) -> set[str]:
    """Return the names of parameters that the user set, by option, recipe or environment."""
    unset = {ParameterSource.DEFAULT, None}
    return {name for name in context.params if context.get_parameter_source(name) not in unset}


def typed(context: click.Context, *, without: Collection[str] = ()) -> list[str]:
    """Return what was set on the command line, written out as options for another command.

    A recipe stands there as the options that it set: the other command needs none.

    Args:
        context: of the command that they were given to.
        without: names of parameters that are left out.
    """
    words = []
    passed = {ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP}
    for option in context.command.params:
        name = option.name or ""
        if context.get_parameter_source(name) not in passed or name in without:
            continue
        if not option.expose_value:
            continue
        value = context.params[name]
        if isinstance(value, bool) and isinstance(option, click.Option):
            words.append((option.opts if value else option.secondary_opts)[0])
        else:
            for each in value if option.multiple else (value,):
                words += [option.opts[0], str(each)]
    return words


def read_config(values: Mapping[str, Any]) -> RunConfig:
    """Build and check the configuration in a command's parameters, before anything slow.

    Fields that the command has no option for keep their defaults; an option left empty takes the
    default that fits the data set later.

    Raises:
        UsageError: a value or name is not allowed, or devices do not fit.
    """
    fields = {name: values[name] for name in knobs() if values.get(name) is not None}
    config = RunConfig(**fields)
    check_config(config)
    if "epochs" in fields:  # else the data set chooses, and it is checked then
        check_warmup(config)
    return config


def check_config(config: RunConfig) -> None:
    """Check what a configuration names and how its devices share the work; imports nothing slow.

    Raises:
        UsageError: there is no such name, the backbone lacks an option, or devices do not fit.
    """
    registry.check_name(config.backbone, config.backbone_options())
    registry.check_head(config.head)
    check_dataset(config.dataset)
    check_devices(config.strategy, config.devices)
    replicas = known_replicas(config.strategy, config.devices)
    if replicas:
        replica_batch(
            batch_size=config.batch_size,
            global_batch_size=config.global_batch_size,
            replicas=replicas,
            strategy=config.strategy,
        )


def check_workers(config: RunConfig, workers: int) -> None:
    """Raise `UsageError` if the workers of `multiworker` cannot share a batch evenly."""
    replica_batch(
        batch_size=config.batch_size,
        global_batch_size=config.global_batch_size,
        # At least: how many GPUs a worker has is not known before TensorFlow is loaded.
        replicas=workers * max(1, len(parse_devices(config.devices))),
        strategy=config.strategy,
    )


def read_configs(values: Mapping[str, Any]) -> list[RunConfig]:
    """Build and check a configuration for each of `backbones` and, if there are any, `repeats`.

    All backbones with one seed come before the next seed: a machine that changes while they are
    timed then changes for all of them.

    Raises:
        UsageError: a value or name is not allowed, a backbone is named twice, or devices do not
            fit.
    """
    backbones, repeats = values["backbones"], values.get("repeats", 1)
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, got {repeats}.")
    twice = [name for name in backbones if backbones.count(name) > 1]
    if twice:
        hint = " For several seeds use --repeats." if "repeats" in values else ""
        raise UsageError(
            f"Each --backbone must be named once, but {twice[0]!r} is named twice.{hint}"
        )
    return [
        read_config({**values, "backbone": name, "seed": values["seed"] + k})
        for k in range(repeats)
        for name in backbones
    ]


def place_options(command: Command) -> Command:
    """Add the options that say where things are: output folder, tracking store, data."""
    for option in reversed(
        (
            out_option,
            click.option(
                "--tracking-uri", metavar="URI",
                help="MLflow store.  [default: MLFLOW_TRACKING_URI, else a SQLite file in --out]",
            ),
            click.option(
                "--experiment", default=DEFAULT_EXPERIMENT, show_default=True, metavar="NAME",
                help="MLflow experiment.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def place_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's parameters that say where things are."""
    names = ("out", "tracking_uri", "experiment", "data_dir")
    return {name: values[name] for name in names if name in values}


def out_option(command: Command) -> Command:
    """Add the option that names the output folder."""
    return click.option(
        "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True,
        envvar="BENCH_OUT", help="Folder for all results.",
    )(command)  # fmt: skip


def data_dir_option(command: Command) -> Command:
    """Add the option that names the folder of the files of MNIST and its like."""
    return click.option(
        "--data-dir", type=click.Path(path_type=Path), envvar="BENCH_DATA_DIR", show_envvar=True,
        help="Folder with the four IDX files of mnist, fashion-mnist or kmnist, or mnist.npz.",
    )(command)  # fmt: skip


def recipe_option(command: Command) -> Command:
    """Add the option that sets several others at once, where the user sets nothing else."""
    return click.option(
        "--recipe", metavar=f"[{'|'.join(RECIPES)}]", is_eager=True, expose_value=False,
        callback=_take_recipe,
        help="Options that work well together, each of which another option overrides.",
    )(command)  # fmt: skip


def _take_recipe(context: click.Context, _option: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    fields = dict(recipe(name).fields)
    if any(option.name == "backbones" for option in context.command.params):
        fields["backbones"] = [fields.pop("backbone")]
    context.default_map = {**(context.default_map or {}), **fields}


def resume_option(command: Command) -> Command:
    """Add the option that says whether to go on with an unfinished run."""
    return click.option(
        "--resume/--no-resume", "resume", default=True, show_default=True,
        help="Go on with a run of the same configuration and data that was killed or stopped.",
    )(command)  # fmt: skip


def places(out: Path, tracking_uri: str | None, experiment: str) -> str:
    """Return, led by a space, the options that make another command find the same results."""
    words = []
    if out != DEFAULT_OUT:
        words += ["--out", str(out)]
    if tracking_uri:
        words += ["--tracking-uri", public_uri(tracking_uri)]  # a password is not for a screen
    if experiment != DEFAULT_EXPERIMENT:
        words += ["--experiment", experiment]
    return " " + shlex.join(words) if words else ""


def _option(name: str, knob: Knob) -> Callable[[Command], Command]:
    default = getattr(RunConfig(), name)
    flag = "--" + name.replace("_", "-")
    if knob.on_off:
        on, off = knob.on_off.split("/")
        return click.option(
            f"--{on}/--{off}", name, default=default, show_default=True, help=knob.help
        )
    if name == "jit":
        # A bare --jit means on.
        return click.option(
            flag, name, is_flag=False, flag_value="on", default=default, show_default=True,
            metavar=_metavar(name, knob), help=knob.help,
        )  # fmt: skip
    if name == "epochs":
        text = defaults_text(EPOCHS, "10 to 60")
        return click.option(
            flag, name, type=int, default=None, metavar="N",
            help=f"{knob.help}  [default: {text}]",
        )  # fmt: skip
    return click.option(
        flag, name, type=span_text if knob.span else knob.kind, default=default,
        metavar=_metavar(name, knob),
        show_default=default not in (None, ""), help=knob.help,
    )  # fmt: skip


def _metavar(name: str, knob: Knob) -> str:
    if name in _NAMES:
        return f"[{'|'.join(_NAMES[name])}]"
    if knob.choices:
        return f"[{'|'.join(knob.choices)}]"
    if knob.span:
        return "X[..Y]"
    return {int: "N", float: "X"}.get(knob.kind, "NAME")
