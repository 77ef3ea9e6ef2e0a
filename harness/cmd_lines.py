"""Command lines to print: what repeats a sweep, and what trains its best again."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from harness.config import RunConfig
from harness.sweep_options import LOOKAHEAD, OBJECTIVES, PRUNER
from reports.commands import option_words, run_command
from sweeps.plan import SweepPlan
from sweeps.sampler import TrialRow
from sweeps.search_text import axis_text
from sweeps.space import DEFAULT_SPACE


def sweep_command(
    plan: SweepPlan, trials: int, *, members: Sequence[SweepPlan] = (), top: int = 1
) -> str:
    """Return the command line that repeats a sweep from nothing.

    Args:
        plan: of the sweep.
        trials: how many it holds.
        members: all of its group, if it has one; the line then repeats the group.
        top: how many of the best trials were trained again.
    """
    words = ["bench", "sweep", "--trials", str(trials), "--name", plan.group or plan.name]
    for member in members:
        words += ["--backbone", member.base.backbone]
    default = dataclasses.replace(RunConfig(), threads=1).to_json()
    for name, value in plan.base.to_json().items():
        always = name in {"epochs", "dataset"}
        if name in plan.space.names() or name == "evaluate_test" or value is None:
            continue
        if name == "backbone" and members:
            continue
        fixed = name in DEFAULT_SPACE.names()
        if always or fixed or value != default[name]:
            words += option_words(name, value)
    overrides = plan.trial_overrides
    for option, name in (("--trial-epochs", "epochs"), ("--trial-examples", "train_examples")):
        if overrides.get(name) is not None:
            words += [option, str(overrides[name])]
    axes = dict.fromkeys(axis for each in members or [plan] for axis in each.space.axes)
    for axis in axes:
        if axis not in DEFAULT_SPACE.axes:
            words += ["--search", axis_text(axis)]
    if plan.objectives != OBJECTIVES:
        for name in plan.objectives:
            words += ["--objective", name]
    pruner = PRUNER if len(plan.objectives) == 1 else "dominance"
    if plan.oom_backoff:
        words.append("--oom-backoff")
    for name, value, usual in (
        ("final-seeds", plan.finals, 3), ("sampler", plan.sampler, "tpe"),
        ("pruner", plan.pruner, pruner), ("lookahead", plan.lookahead, LOOKAHEAD), ("top", top, 1),
    ):  # fmt: skip
        if value != usual:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def best_command(plan: SweepPlan, best: TrialRow) -> str:
    """Return the command line that trains the best configuration in full, as its finals are."""
    return run_command(plan.final_task(best.number, best.settings, 1).config)
