"""What `bench sweep` was asked for, and the plans that come of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from architectures import registry
from harness.cmd_group import member_searches
from harness.cmd_naming import default_name
from harness.code_version import code_version
from harness.config import RunConfig, knobs
from harness.console import note
from harness.datasets import trial_epochs_for, trial_examples_for
from harness.errors import UsageError
from harness.sweep_options import OBJECTIVES, PRUNER
from sweeps.axes import Axis
from sweeps.deadlines import HANG_AFTER_S
from sweeps.plan import SweepPlan
from sweeps.samplers import SamplerName, check_space, most_trials
from sweeps.search_file import read_search
from sweeps.space import DEFAULT_SPACE, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the options of `bench sweep` ask for, beside the configuration."""

    trials: int
    name: str | None
    search: tuple[str, ...]
    trial_epochs: int | None
    trial_examples: int | None
    final_seeds: int
    objectives: tuple[str, ...] = ()
    sampler: str
    pruner: str | None
    lookahead: int
    workers: int | None
    report: bool
    top: int = 1
    fail_fast: bool = False
    oom_backoff: bool = False
    hang_after_s: float = HANG_AFTER_S
    new: bool = False
    dry_run: bool = False
    max_time_s: float | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Request:
        """Return the request in the values of the command's options, which are named alike."""
        names = [item.name for item in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names})


def searched_spaces(
    configs: Sequence[RunConfig], search: tuple[str, ...], chosen: Collection[str]
) -> list[SearchSpace]:
    """Return what is searched for each backbone."""
    asked = tuple(axis for text in search for axis in read_search(text))
    if len(configs) == 1:
        fixed = {"backbone" if name == "backbones" else name for name in chosen}
        return [searched_space(asked, fixed)]
    backbones = [config.backbone for config in configs]
    return [searched_space(axes, chosen) for axes in member_searches(asked, backbones)]


def searched_space(asked: Sequence[Axis], chosen: Collection[str]) -> SearchSpace:
    """Return the default space with what was asked for, without what the user fixed.

    The order is that in which `RunConfig` declares the fields: an option typed earlier or later
    must not change what is drawn.
    """
    names = [axis.name for axis in asked]
    both = sorted(set(names) & set(chosen))
    if both:
        raise UsageError(
            f"`{both[0]}` is either searched or fixed, but --search and "
            f"--{both[0].replace('_', '-')} were both given. Leave one out."
        )
    kept = [axis for axis in DEFAULT_SPACE.axes if axis.name not in {*names, *chosen}]
    if not (asked or kept):
        raise UsageError(
            "A sweep must search something, but every field of the default space is fixed. "
            "Leave one of the options out, or name a field with --search."
        )
    order = list(knobs())
    axes = sorted([*asked, *kept], key=lambda axis: order.index(axis.name))
    return SearchSpace(axes=tuple(_conditional(axis, asked) for axis in axes))


def sized(request: Request, spaces: Sequence[SearchSpace], chosen: Collection[str]) -> Request:
    """Return the request with as many trials as there are, if that is known.

    Raises:
        UsageError: the sampler cannot search a space, or has fewer trials than were asked for.
    """
    sampler: SamplerName = request.sampler  # type: ignore[assignment]  # the options check it
    for space in spaces:
        check_space(sampler, space)
    sizes = [size for space in spaces if (size := most_trials(sampler, space)) is not None]
    if not sizes:
        return request
    most = min(sizes)
    if max(sizes) > most:
        raise UsageError(
            f"--sampler {sampler} must have as many combinations to try for each backbone, so "
            f"that budgets are equal, but has {' and '.join(map(str, sizes))}. Search the same "
            "fields of all."
        )
    if "trials" not in chosen:
        note(f"--sampler {sampler}: the values to try make {most:,} combinations, all are taken")
        return dataclasses.replace(request, trials=most)
    if request.trials > most:
        raise UsageError(
            f"--trials must be at most {most}, got {request.trials}: so many combinations do the "
            f"values make, and --sampler {sampler} takes each once. Leave it out for all of them."
        )
    return request


def _conditional(axis: Axis, asked: Collection[Axis]) -> Axis:
    """Return the axis, meant for those of the searched backbones that have such an option.

    One that no backbone has stays as it is, to be refused like a fixed one. So does one that may
    be an option of a plug-in: that is known only once the plug-in is loaded.
    """
    backbones = [value for other in asked if other.name == "backbone" for value in other.extremes]
    if axis.name not in registry.OPTIONS:
        return axis
    taking = tuple(str(b) for b in backbones if registry.may_take(str(b), axis.name))
    if not taking or len(taking) == len(backbones):
        return axis
    return dataclasses.replace(axis, only_for=taking)


def sweep_plan(
    config: RunConfig, request: Request, space: SearchSpace, source: str, data_digest: str, *,
    examples: int,
) -> SweepPlan:  # fmt: skip
    """Return the plan of a sweep.

    Args:
        config: what trials and finals start from, its data set known.
        request: what was asked for.
        space: what is searched.
        source: name of the data set.
        data_digest: of its images and labels.
        examples: how many there are to train on.
    """
    fewer = trial_examples_for(source, examples)
    objectives = request.objectives or OBJECTIVES
    plan = SweepPlan(
        name=request.name or "unnamed",
        base=config,
        space=space,
        seed=config.seed,
        data_source=source,
        data_digest=data_digest,
        code=code_version([space.apply(config, params) for params in space.probes()]),
        trial_overrides={
            "epochs": request.trial_epochs or trial_epochs_for(source, examples),
            "train_examples": request.trial_examples or config.train_examples or fewer,
        },
        finals=request.final_seeds,
        objectives=objectives,
        sampler=request.sampler,  # type: ignore[arg-type]  # the plan checks it
        pruner=pruner_of(request),  # type: ignore[arg-type]  # the plan checks it
        lookahead=request.lookahead,
        oom_backoff=request.oom_backoff,
    )
    return plan if request.name else dataclasses.replace(plan, name=default_name(plan))


def pruner_of(request: Request) -> str:
    """Return the pruner that was asked for, or that suits the objectives."""
    return request.pruner or (PRUNER if len(request.objectives) < 2 else "dominance")
