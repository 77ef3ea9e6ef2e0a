"""Command lines to print: what repeats a sweep, and what trains its best again."""

from __future__ import annotations

import dataclasses
import shlex

from harness.config import RunConfig, knobs
from harness.sweep_options import LOOKAHEAD
from reports.commands import run_command
from sweeps.plan import SweepPlan
from sweeps.sampler import TrialRow
from sweeps.search_text import axis_text
from sweeps.space import DEFAULT_SPACE


def sweep_command(plan: SweepPlan, trials: int) -> str:
    """Return the command line that repeats a sweep from nothing."""
    words = ["bench", "sweep", "--trials", str(trials), "--name", plan.name]
    default = dataclasses.replace(RunConfig(), threads=1).to_json()
    for name, value in plan.base.to_json().items():
        always = name in {"epochs", "dataset"}
        if name in plan.space.names() or knobs()[name].on_off or value is None:
            continue
        fixed = name in DEFAULT_SPACE.names()
        if always or fixed or value != default[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    overrides = plan.trial_overrides
    words += ["--trial-epochs", str(overrides["epochs"])]
    if overrides.get("train_examples") is not None:
        words += ["--trial-examples", str(overrides["train_examples"])]
    for axis in plan.space.axes:
        if axis not in DEFAULT_SPACE.axes:
            words += ["--search", axis_text(axis)]
    for name, value, usual in (
        ("final-seeds", plan.finals, 3), ("sampler", plan.sampler, "tpe"),
        ("pruner", plan.pruner, "percentile"), ("lookahead", plan.lookahead, LOOKAHEAD),
    ):  # fmt: skip
        if value != usual:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def best_command(plan: SweepPlan, best: TrialRow) -> str:
    """Return the command line that trains the best configuration in full, as its finals are."""
    return run_command(plan.final_task(best.number, best.params, 1).config)
