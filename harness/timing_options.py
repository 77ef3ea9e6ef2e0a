"""The options of what is timed, beside those of a run; imports click only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from harness.cell_plan import LATENCY_SAMPLES, CellPlan
from harness.errors import UsageError
from harness.noise_floor import FALSE_ALARMS, least_pairs
from harness.targets import Target, parse_targets

Command = TypeVar("Command", bound=Callable[..., Any])

_JSON = click.option(
    "--json", "as_json", is_flag=True,
    help="Print one JSON object, for scripts; progress goes to standard error.",
)  # fmt: skip

_TARGET = (
    click.option(
        "--target", "targets", multiple=True, metavar="MEASURE>=X",
        help="Time until validation reaches it, such as score>=0.9; repeat it for several that "
        "must hold in the same epoch. Training goes on to its end.",
    ),
    click.option(
        "--stop-at-target", is_flag=True,
        help="End the run in the epoch that reaches every --target; it is not ranked in reports.",
    ),
)  # fmt: skip

_THROUGHPUT = (
    click.option(
        "--contender", "contenders", multiple=True, metavar="NAME=VALUE,NAME=VALUE",
        help="Time one with these fields set, such as backbone=patch-s,batch_size=128,jit=on; "
        "repeat it to compare settings. The other options hold for what it does not name.",
    ),
    click.option(
        "--repeats", type=int, default=5, show_default=True, metavar="N",
        help="Processes of each contender, in turns with the others.",
    ),
    click.option(
        "--seconds", type=float, default=CellPlan().seconds, show_default=True, metavar="X",
        help="Training that is timed in each process, once its pace is stationary.",
    ),
    click.option(
        "--inference-batch", type=int, metavar="N",
        help="Images of a prediction, for inference throughput.  "
        "[default: those of a training step]",
    ),
    click.option(
        "--latency-samples", type=int, default=LATENCY_SAMPLES, show_default=True, metavar="N",
        help="Predictions of a single image in each process; a 99th percentile needs 662.",
    ),
    click.option(
        "--observer/--no-observer", "observer", default=True, show_default=True,
        help="Measure also what progress and logging cost beside the training.",
    ),
    click.option(
        "--data-only", is_flag=True,
        help="Time only how scenes are made, in this process for a second a round: of every "
        "preset, unless --scene or --contender names some.",
    ),
    _JSON,
)  # fmt: skip

_CALIBRATE = (
    click.option(
        "--pairs", type=int, default=20, show_default=True, metavar="N",
        help="Pairs of processes that time the same; a floor needs 19.",
    ),
    click.option(
        "--seconds", type=float, default=2.0, show_default=True, metavar="X",
        help="Training that is timed in each process, once its pace is stationary.",
    ),
    _JSON,
)  # fmt: skip


def target_options(command: Command) -> Command:
    """Add the options that name what a run is timed to reach."""
    return _with(command, _TARGET)


def throughput_options(command: Command) -> Command:
    """Add the options that say what `bench throughput` compares, how often and how long."""
    return _with(command, _THROUGHPUT)


def calibrate_options(command: Command) -> Command:
    """Add the options that say how many identical pairs `bench calibrate` times, and how long."""
    return _with(command, _CALIBRATE)


def _with(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def read_targets(values: Mapping[str, Any]) -> tuple[tuple[Target, ...], bool]:
    """Return the targets, and whether the run ends where it reaches all.

    Raises:
        UsageError: a target cannot be read, or there is none to stop at.
    """
    targets, stops = parse_targets(values["targets"]), values["stop_at_target"]
    if stops and not targets:
        raise UsageError("--stop-at-target needs a --target to stop at.")
    return targets, stops


def refuse_stop(stops: bool) -> None:  # noqa: FBT001 - its only argument
    """Raise `UsageError` if several workers shall end where a target is reached."""
    if stops:
        raise UsageError(
            "--stop-at-target ends a run of one process: leave it out with several workers."
        )


def read_throughput_plan(values: Mapping[str, Any]) -> CellPlan:
    """Return what each process of `bench throughput` measures.

    Raises:
        UsageError: a number is out of range, or there are too few repeats for an interval.
    """
    if values["repeats"] < 2:
        raise UsageError(
            "--repeats must be at least 2, because an interval over processes needs two, got "
            f"{values['repeats']}."
        )
    fields = ("seconds", "inference_batch", "latency_samples")
    return CellPlan(**{name: values[name] for name in fields})


def read_calibrate_plan(values: Mapping[str, Any]) -> CellPlan:
    """Return what each process of `bench calibrate` measures.

    Raises:
        UsageError: a number is out of range, or there are too few pairs for a floor.
    """
    if values["pairs"] < least_pairs():
        raise UsageError(
            f"--pairs must be at least {least_pairs()}, got {values['pairs']}: one more identical "
            "pair is farther apart than all N with probability 1 / (N + 1), and at most "
            f"{100 * FALSE_ALARMS:.0f} % may be called different."
        )
    return CellPlan(seconds=values["seconds"])
