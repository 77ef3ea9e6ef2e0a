"""The options of `bench sweep` beside those of a run; imports click only."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from harness.datasets import TRIAL_EPOCHS, TRIAL_EXAMPLES, defaults_text
from harness.durations import parse_span
from harness.errors import UsageError, unknown_name

Command = TypeVar("Command", bound=Callable[..., Any])

SAMPLERS = ("tpe", "random", "qmc", "cmaes", "gp", "grid")
PRUNERS = ("percentile", "median", "hyperband", "dominance", "none")

OBJECTIVES = ("score",)

PRUNER = "percentile"
"""The default with one objective."""

EXTRAS = {"cmaes": "cmaes", "gp": "torch"}
"""Packages that a sampler needs beyond those that are always installed."""

LOOKAHEAD = 4
"""Trial i is proposed from the results up to trial i - 4: so at most 4 train at once."""

LEAST = {
    "trials": 1,
    "trial_epochs": 1,
    "trial_examples": 1,
    "final_seeds": 0,
    "top": 1,
    "lookahead": 1,
    "workers": 1,
}


def sweep_options(command: Command) -> Command:
    """Add the options that say how large a sweep is and how it searches."""
    for option in reversed(_options()):
        command = option(command)
    return command


def check_sweep_options(values: Mapping[str, Any]) -> None:
    """Check numbers and names before anything slow.

    Raises:
        UsageError: a number is out of range, there is no such sampler or pruner, or a package
            that it needs is not installed.
    """
    for name, least in LEAST.items():
        value = values[name]
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, got {value}.")
    workers, lookahead = values["workers"] or 1, values["lookahead"]
    if workers > lookahead:
        raise UsageError(
            f"--workers must be at most {lookahead}, got {workers}: trial i is proposed from the "
            f"results up to trial i - {lookahead}, so no more can train at once. --lookahead "
            f"{workers} allows them; that is another sweep, so give another --name or --new."
        )
    for kind, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if values[kind] is not None and values[kind] not in known:
            raise unknown_name(kind, values[kind], known)
    package = EXTRAS.get(values["sampler"])
    if package and importlib.util.find_spec(package) is None:
        raise UsageError(
            f"--sampler {values['sampler']} needs the package {package!r}, which is not "
            "installed. Install it with: pip install 'locbench[samplers]'."
        )


def _seconds(_context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Return the seconds that a time such as 30m says."""
    return None if text is None else parse_span(option.opts[0], text)


def _options() -> list[Callable[[Command], Command]]:
    epochs = defaults_text(TRIAL_EPOCHS, "8 to 18")
    examples = defaults_text(TRIAL_EXAMPLES, "at most 6000")
    return [
        click.option(
            "--trials", type=int, default=50, show_default=True, metavar="N",
            help="Trials in total, for each backbone; those already done count.",
        ),
        click.option(
            "--name", metavar="NAME",
            help="Name of the sweep.  [default: made from backbone, data and settings]",
        ),
        click.option(
            "--search", multiple=True, metavar="FIELD=LOW..HIGH[:log|:STEP]|A,B,C|FILE.toml",
            help="Search this field too, in a range or among these values, or all that the table "
            "[search] of a TOML file names; may be repeated. "
            "learning_rate, class_weight and box_weight are searched anyway, on a log scale, "
            "unless fixed by their option. A model of another head, width or depth is compiled "
            "anew, which costs a trial seconds.",
        ),
        click.option(
            "--trial-epochs", type=int, metavar="N",
            help=f"Epochs of a trial; finals train for --epochs.  [default: {epochs}]",
        ),
        click.option(
            "--trial-examples", type=int, metavar="N",
            help=f"Training examples of a trial.  [default: --train-examples, else {examples}]",
        ),
        click.option(
            "--final-seeds", type=int, default=3, show_default=True, metavar="N",
            help="New seeds to train the best configurations in full with, and test; 0 for none.",
        ),
        click.option(
            "--top", type=int, default=1, show_default=True, metavar="K",
            help="How many of the best trials, of each backbone, are trained in full and tested.",
        ),
        click.option(
            "--sampler", default="tpe", show_default=True, metavar=f"[{'|'.join(SAMPLERS)}]",
            help="How configurations are proposed. grid takes every combination of values once, "
            "all of them unless --trials is given; cmaes takes fields of ordered numbers only; "
            f"cmaes needs the package {EXTRAS['cmaes']}, gp {EXTRAS['gp']}.",
        ),
        click.option(
            "--objective", "objectives", multiple=True, metavar="MEASURE",
            help="What to search for, such as score, mean_iou or images_per_s; may be repeated: "
            "then the result is a Pareto front, and the first is what best means.  "
            "[default: score]",
        ),
        click.option(
            "--pruner", metavar=f"[{'|'.join(PRUNERS)}]",
            help="How hopeless trials are stopped early; dominance stops those that could not "
            "even reach the front at the best rise seen so far.  "
            f"[default: {PRUNER}, with several objectives dominance]",
        ),
        click.option(
            "--lookahead", type=int, default=LOOKAHEAD, show_default=True, metavar="N",
            help="Propose and judge trial i by the results up to trial i - N, whoever is faster.",
        ),
        click.option(
            "--workers", type=int, metavar="N",
            help="Trainings at once; does not change the table.  "
            "[default: one per core or GPU, at most --lookahead]",
        ),
        click.option(
            "--fail-fast", is_flag=True,
            help="End at the first run that fails, in good order and with exit code 1.",
        ),
        click.option(
            "--oom-backoff", is_flag=True,
            help="Do a trial that runs out of memory again with half the batch, down to 1 image; "
            "part of what a sweep is, as it changes results.",
        ),
        click.option(
            "--hang-after", "hang_after_s", default="30m", show_default=True, metavar="TIME",
            callback=_seconds,
            help="Longest silence of a worker, such as 90s, 30m or 1h30m, before it is replaced; "
            "once epochs are timed, 10 times the longest and at least 60 s are enough.",
        ),
        click.option(
            "--max-time", "max_time_s", metavar="TIME", callback=_seconds,
            help="End in good order after so long, such as 90s, 30m or 1h30m: no new run begins, "
            "others stop after their epoch, and the same command goes on.",
        ),
        click.option(
            "--dry-run", is_flag=True,
            help="Print what would run, and how long it would take by steps measured now; write "
            "nothing.",
        ),
        click.option(
            "--new", is_flag=True,
            help="Start afresh: if there is a sweep of this name, under NAME-2, NAME-3 and so on.",
        ),
        click.option(
            "--report/--no-report", "report", default=True, show_default=True,
            help="Write a report at the end, if there are finals.",
        ),
    ]  # fmt: skip
