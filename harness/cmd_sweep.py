"""`bench sweep`: search, train the best again, test it, report it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.cmd_dry_run import dry_run
from harness.cmd_group import check_plans, named_members, opening
from harness.cmd_lines import best_command
from harness.cmd_naming import under_free_name
from harness.cmd_report import report
from harness.cmd_results import show_results
from harness.cmd_run import check_step, opened_tracker, tell_left_out, with_data_defaults
from harness.cmd_sweep_request import Request, pruner_of, searched_spaces, sized, sweep_plan
from harness.cmd_sweep_tracker import SweepTracker
from harness.cmd_workers import check_before_trials, check_sweepable, count_workers, start_pool
from harness.config import RunConfig
from harness.console import note, say, waiting
from harness.data import Data, load
from harness.errors import BenchError, TrackingError, UsageError
from harness.group_display import GroupDisplay
from harness.options import check_config, places
from harness.schedule import check_warmup
from harness.store import Store
from harness.sweep_display import SweepDisplay
from harness.sweep_options import OBJECTIVES
from harness.tracking_uri import resolve_uri
from reports.illustrate import illustrate
from sweeps.coordinator import run_sweeps
from sweeps.listeners import SweepOutcome
from sweeps.objectives import TIMED, objectives_of
from sweeps.plan import SweepPlan, check_pruner
from sweeps.space import SearchSpace

if TYPE_CHECKING:
    from harness.track import Tracker


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
    spaces = searched_spaces(configs, request.search, chosen)
    request = sized(request, spaces, chosen)
    _check_spaces(configs, request, spaces)
    if not request.dry_run:
        store.check_writable()
    data = load(configs[0], data_dir, say=say)
    tell_left_out(data)
    plans = _named(_plans(configs, request, spaces, data, chosen), request, store)
    check_plans(plans, store)
    probes = [plan.trial_task(0, p).config for plan in plans for p in plan.space.probes()]
    _check_steps(probes, data.n_train, data.classes)
    check_before_trials(probes)
    workers = count_workers(request.workers, plans[0].base, request.lookahead)
    if request.dry_run:
        dry_run(
            plans, total=request.trials, workers=workers, top=request.top, store=store, data=data,
            data_dir=data_dir, uri=uri, hang_after_s=request.hang_after_s,
        )  # fmt: skip
        return
    # Loaded now: it is no time for that while the last runs are sent, seconds after Ctrl-C.
    tracker = opened_tracker(uri, store, experiment, illustrate=illustrate)
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


def _check_spaces(
    configs: Sequence[RunConfig], request: Request, spaces: Sequence[SearchSpace]
) -> None:
    """Check what is searched for each backbone, as far as that needs no data.

    Raises:
        UsageError: a space, trial, objective or pruner does not fit.
    """
    check_pruner(pruner_of(request), request.objectives)
    timed = [name for name in request.objectives if name in TIMED]
    if timed:
        note(f"`{timed[0]}` is a time: another sweep of the same seed will not give this table")
    for config, space in zip(configs, spaces, strict=True):
        objectives_of(request.objectives or OBJECTIVES, searched=space.names())
        for params in space.probes():
            _check_trial(space.apply(config, params))


def _plans(
    configs: Sequence[RunConfig], request: Request, spaces: Sequence[SearchSpace], data: Data,
    chosen: Collection[str],
) -> list[SweepPlan]:  # fmt: skip
    """Return the plan of each backbone's sweep on these data."""
    configs = [with_data_defaults(config, data, chosen) for config in configs]
    if "threads" not in chosen:
        # Rounding depends on threads: a fixed number keeps the table free of the worker count.
        configs = [dataclasses.replace(config, threads=1) for config in configs]
    digest = data.identity().digest
    return [
        sweep_plan(config, request, space, data.source, digest, examples=data.n_available)
        for config, space in zip(configs, spaces, strict=True)
    ]


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


def _check_steps(trials: Collection[RunConfig], n_train: int, classes: int) -> None:
    """Raise `UsageError` if trials could not train on what there is: each would fail alone."""
    for trial in trials:
        examples = trial.train_examples or n_train
        if not classes <= examples <= n_train:
            raise UsageError(
                f"--trial-examples must be {classes} (one per class) to {n_train:,}, "
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
                tracker=SweepTracker(tracker),
                observer=display,
                job_extra=extra,
                top=request.top,
                fail_fast=request.fail_fast,
                deadline_s=deadline_s,
            )
        with waiting("drawing pictures and sending them to MLflow ..."):
            tracker.flush()
    return outcomes


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
