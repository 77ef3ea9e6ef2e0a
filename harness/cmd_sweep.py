"""`bench sweep`: search, train the best again, test it, report it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from architectures import registry
from harness.cmd_dry_run import dry_run
from harness.cmd_group import check_plans, member_searches, named_members, opening
from harness.cmd_lines import best_command
from harness.cmd_naming import default_name, under_free_name
from harness.cmd_report import report
from harness.cmd_results import show_results
from harness.cmd_run import check_step, opened_tracker, with_data_defaults
from harness.cmd_workers import check_before_trials, check_sweepable, count_workers, start_pool
from harness.code_version import code_version
from harness.config import RunConfig, knobs
from harness.console import note, say, waiting
from harness.data import load
from harness.datasets import TRIAL_EPOCHS, TRIAL_EXAMPLES
from harness.errors import BenchError, TrackingError, UsageError
from harness.group_display import GroupDisplay
from harness.options import check_config, places
from harness.pools import CLASSES
from harness.record import EpochPoint, RunRecord
from harness.schedule import check_warmup
from harness.store import Store
from harness.sweep_display import SweepDisplay
from harness.sweep_options import OBJECTIVES, PRUNER
from harness.tracking_uri import resolve_uri
from sweeps.axes import Axis
from sweeps.coordinator import run_sweeps
from sweeps.deadlines import HANG_AFTER_S
from sweeps.group import SweepGroup
from sweeps.listeners import SweepEnd, SweepOutcome
from sweeps.objectives import TIMED, objectives_of
from sweeps.plan import SweepPlan, Task, check_pruner
from sweeps.samplers import SamplerName, check_space, most_trials
from sweeps.search_file import read_search
from sweeps.space import DEFAULT_SPACE, SearchSpace

if TYPE_CHECKING:
    from harness.track import Tracker


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


def sweep(
    configs: Sequence[RunConfig],
    request: Request,
    *,
    chosen: Collection[str],
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Bring a sweep, or one for each backbone, to its total of trials, test the best and report.

    Args:
        configs: what trials and finals start from, apart in their backbones only; `dataset` may
            be "auto".
        request: the size and rules of the search.
        chosen: names of the options that the user set; a field among them is not searched.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        BenchError: something does not fit, or no trial finished.
        InterruptedRun: it was stopped; the same command goes on.
    """
    deadline_s = None if request.max_time_s is None else monotonic() + request.max_time_s
    check_sweepable(request.workers, configs[0])
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    check_pruner(_pruner(request), request.objectives)
    timed = [name for name in request.objectives if name in TIMED]
    if timed:
        note(f"`{timed[0]}` is a time: another sweep of the same seed will not give this table")
    spaces = _spaces(configs, request.search, chosen)
    request = _sized(request, spaces, chosen)
    for config, space in zip(configs, spaces, strict=True):
        objectives_of(request.objectives or OBJECTIVES, searched=space.names())
        for params in space.probes():
            _check_trial(space.apply(config, params))
    if not request.dry_run:
        store.check_writable()
    data = load(configs[0], data_dir, say=say)
    configs = [with_data_defaults(config, data.source, chosen) for config in configs]
    if "threads" not in chosen:
        # Rounding depends on threads: a fixed number keeps the table free of the worker count.
        configs = [dataclasses.replace(config, threads=1) for config in configs]
    digest = data.identity().digest
    plans = [
        _plan(config, request, space, data.source, digest)
        for config, space in zip(configs, spaces, strict=True)
    ]
    plans = _named(plans, request, store)
    check_plans(plans, store)
    probes = [plan.trial_task(0, p).config for plan in plans for p in plan.space.probes()]
    _check_steps(probes, data.n_train)
    check_before_trials(probes)
    workers = count_workers(request.workers, plans[0].base, request.lookahead)
    if request.dry_run:
        dry_run(
            plans, total=request.trials, workers=workers, top=request.top, store=store, data=data,
            data_dir=data_dir, uri=uri,
        )  # fmt: skip
        return
    tracker = opened_tracker(uri, store, experiment)
    extra = {"data_dir": str(data_dir.absolute()) if data_dir else None}
    outcomes = _search(
        plans, request, data.n_train, store=store, tracker=tracker, extra=extra, workers=workers,
        deadline_s=deadline_s,
    )  # fmt: skip
    show_results(plans, outcomes, store)
    if outcomes[0].stopped:
        _how_far(outcomes, request.trials)
        return
    name = plans[0].group or plans[0].name
    if request.report and any(o.finals for o in outcomes) and not _reported(name, outcomes, store):
        try:
            report(
                sweeps=(name,), runs=(), everything=False, to=None, out=out,
                tracking_uri=tracking_uri, experiment=experiment,
            )  # fmt: skip
        except TrackingError as error:  # the sweep itself is done and kept
            say(f"There is no report yet, the same command or `bench report` writes it: {error}")
    _what_next(plans, outcomes, places(out, tracking_uri, experiment))


def _named(plans: list[SweepPlan], request: Request, store: Store) -> list[SweepPlan]:
    """Return the plans under the names that they go by; with --new under free ones."""
    if len(plans) > 1:
        plans = named_members(plans, request.name)
    if request.new:
        plans = under_free_name(plans, store)
        name = plans[0].group or plans[0].name
        note(f"new sweep {name}: go on with it by --name {name} instead of --new")
    return plans


def _check_trial(config: RunConfig) -> None:
    """Check one trial's configuration before anything slow.

    Raises:
        UsageError: a name or option does not fit, or its results would depend on timing.
    """
    check_config(config)
    if config.jit == "auto":
        raise UsageError(
            "A sweep needs `jit` on or off, got 'auto': it is decided by timing, on which the "
            "table of trials must not depend. Find out with `bench run --no-test --jit auto`."
        )


def _check_steps(trials: Collection[RunConfig], n_train: int) -> None:
    """Raise `UsageError` if trials could not train on what there is: each would fail alone."""
    for trial in trials:
        examples = trial.train_examples or n_train
        if not CLASSES <= examples <= n_train:
            raise UsageError(
                f"--trial-examples must be {CLASSES} (one per class) to {n_train:,}, "
                f"got {examples}. Leave it out for the default."
            )
        check_step(trial, examples)
        check_warmup(trial)


def _search(
    plans: Sequence[SweepPlan], request: Request, n_train: int, *, store: Store,
    tracker: Tracker, extra: Mapping[str, Any], workers: int, deadline_s: float | None,
) -> tuple[SweepOutcome, ...]:  # fmt: skip
    """Run what is left of the sweeps, shown as it goes."""
    first, trials = plans[0], request.trials
    note(f"{opening(plans, trials, n_train)}, {workers} at once, in {store.root}")
    with tracker:
        show = (
            GroupDisplay(plans, trials, n_train=n_train, top=request.top)
            if first.group
            else SweepDisplay(first, trials, n_train=n_train, top=request.top)
        )
        with show as display:
            outcomes = run_sweeps(
                plans,
                total=trials,
                workers=workers,
                store=store,
                start_pool=partial(
                    start_pool,
                    first.base,
                    store.sweep_dir(first.group or first.name),
                    request.hang_after_s,
                ),
                tracker=_SweepTracker(tracker),
                observer=display,
                job_extra=extra,
                top=request.top,
                fail_fast=request.fail_fast,
                deadline_s=deadline_s,
            )
        with waiting("drawing pictures and sending them to MLflow ..."):
            tracker.flush()
    return outcomes


def _spaces(
    configs: Sequence[RunConfig], search: tuple[str, ...], chosen: Collection[str]
) -> list[SearchSpace]:
    """Return what is searched for each backbone."""
    asked = tuple(axis for text in search for axis in read_search(text))
    if len(configs) == 1:
        fixed = {"backbone" if name == "backbones" else name for name in chosen}
        return [_space(asked, fixed)]
    backbones = [config.backbone for config in configs]
    return [_space(axes, chosen) for axes in member_searches(asked, backbones)]


def _space(asked: Sequence[Axis], chosen: Collection[str]) -> SearchSpace:
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


def _sized(request: Request, spaces: Sequence[SearchSpace], chosen: Collection[str]) -> Request:
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


def _plan(
    config: RunConfig, request: Request, space: SearchSpace, source: str, data_digest: str
) -> SweepPlan:
    examples = request.trial_examples or config.train_examples or TRIAL_EXAMPLES[source]
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
            "epochs": request.trial_epochs or TRIAL_EPOCHS[source],
            "train_examples": examples,
        },
        finals=request.final_seeds,
        objectives=objectives,
        sampler=request.sampler,  # type: ignore[arg-type]  # the plan checks it
        pruner=_pruner(request),  # type: ignore[arg-type]  # the plan checks it
        lookahead=request.lookahead,
        oom_backoff=request.oom_backoff,
    )
    return plan if request.name else dataclasses.replace(plan, name=default_name(plan))


def _pruner(request: Request) -> str:
    return request.pruner or (PRUNER if len(request.objectives) < 2 else "dominance")


class _SweepTracker:
    """Tells the tracker of this house what the sweep says."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def open_group(self, group: SweepGroup) -> None:
        self._tracker.open_sweep(group.to_json())

    def open_sweep(self, plan: SweepPlan) -> None:
        self._tracker.open_sweep(plan.to_json())

    def reconcile(self, records: Collection[RunRecord]) -> None:
        self._tracker.reconcile(records)

    def begin(self, task: Task) -> None:
        self._tracker.begin(task.run_id, task.role, task.sweep, task.trial, task.config)

    def epoch(self, task: Task, point: EpochPoint) -> None:
        self._tracker.epoch(task.run_id, point)

    def finish(self, record: RunRecord) -> None:
        self._tracker.finish(record)

    def close_sweep(self, end: SweepEnd, outcome: SweepOutcome) -> None:
        summary: dict[str, str | int] = {"status": end, "trials_granted": outcome.total}
        if outcome.stopped:
            summary["reason"] = outcome.stopped
        if outcome.front:
            summary["front_trials"] = len(outcome.front)
            numbers = ", ".join(str(row.number) for row in outcome.front)
            summary["Pareto front"] = f"trials {numbers}"
        self._tracker.close_sweep(outcome.name, summary)

    def close_group(self, group: SweepGroup, end: SweepEnd) -> None:
        self._tracker.close_sweep(group.name, {"status": end})


def _how_far(outcomes: Sequence[SweepOutcome], total: int) -> None:
    """Say what was done before the time was up."""
    done = sum(row.status != "running" for each in outcomes for row in each.trials)
    note(
        f"{outcomes[0].stopped} {done} of {total * len(outcomes)} trials are done; the same "
        "command goes on from here."
    )


def _what_next(plans: Sequence[SweepPlan], outcomes: Sequence[SweepOutcome], where: str) -> None:
    """Say how to go on; raise if something went wrong on the way.

    Raises:
        BenchError: no trial of a backbone finished, or not every final or re-run.
    """
    for plan, outcome in zip(plans, outcomes, strict=True):
        if outcome.best is None:
            of = f" of {plan.base.backbone}" if plan.group else ""
            raise BenchError(f"No trial{of} finished: see the reasons above, or `bench ui`.")
    for kind, records in (
        ("finals", [record for outcome in outcomes for record in outcome.finals]),
        ("re-runs", [record for outcome in outcomes for record in outcome.reruns]),
    ):
        failed = [record for record in records if record.status != "finished"]
        if failed:
            raise BenchError(
                f"{len(failed)} of {len(records)} {kind} did not finish: {failed[0].reason} "
                "The same command tries them again."
            )
    for plan, outcome in zip(plans, outcomes, strict=True):
        assert outcome.best is not None, "checked above"
        of = f" of {plan.base.backbone}" if plan.group else ""
        note(f"best{of}, trial {outcome.best.number}: {best_command(plan, outcome.best)}")
    note(f"next: `bench ui{where}` to browse every trial, `bench report{where}` to write a report")


def _reported(name: str, outcomes: Sequence[SweepOutcome], store: Store) -> bool:
    """Tell whether nothing has changed since the report was written."""
    done = all(outcome.already_done for outcome in outcomes)
    return done and (store.report_dir(name) / "report.md").is_file()
