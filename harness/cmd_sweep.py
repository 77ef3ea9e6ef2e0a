"""`bench sweep`: search, train the best again, test it, report it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from architectures import registry
from harness import __version__
from harness.cmd_lines import best_command
from harness.cmd_report import report
from harness.cmd_run import check_step, opened_tracker, with_data_defaults
from harness.cmd_workers import check_before_trials, check_sweepable, count_workers, start_pool
from harness.config import RunConfig, digest_of, knobs
from harness.console import console, note, say, waiting
from harness.data import load
from harness.datasets import TRIAL_EPOCHS, TRIAL_EXAMPLES
from harness.errors import BenchError, TrackingError, UsageError
from harness.options import check_config, places
from harness.pools import CLASSES
from harness.record import EpochPoint, RunRecord
from harness.schedule import check_warmup
from harness.store import Store
from harness.sweep_display import SweepDisplay, trial_table
from harness.sweep_options import LOOKAHEAD
from harness.tracking_uri import resolve_uri
from sweeps.axes import Axis
from sweeps.coordinator import run_sweep
from sweeps.listeners import SweepEnd, SweepOutcome
from sweeps.plan import SweepPlan, Task, read_plan, settle_plan
from sweeps.search_text import parse_axis
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
    sampler: str
    pruner: str
    workers: int | None
    report: bool


def sweep(
    config: RunConfig,
    request: Request,
    *,
    chosen: Collection[str],
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
) -> None:
    """Bring a sweep to its total of trials, test the best and report.

    Args:
        config: what trials and finals start from; `dataset` may be "auto".
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
    check_sweepable(request.workers, config)
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    space = _space(request.search, chosen)
    for params in space.probes():
        _check_trial(space.apply(config, params))
    store.check_writable()
    data = load(config, data_dir, say=say)
    config = with_data_defaults(config, data.source, chosen)
    if "threads" not in chosen:
        # Rounding depends on threads: a fixed number keeps the table free of the worker count.
        config = dataclasses.replace(config, threads=1)
    plan = _plan(config, request, space, data.source, data.identity().digest)
    if read_plan(store.sweep_dir(plan.name)) is not None:
        settle_plan(plan, store.sweep_dir(plan.name))  # refuses another plan before slow imports
    probes = [plan.trial_task(0, params).config for params in space.probes()]
    _check_steps(probes, data.n_train)
    check_before_trials(probes)
    tracker = opened_tracker(uri, store, experiment)
    extra = {"data_dir": str(data_dir.absolute()) if data_dir else None}
    outcome = _search(plan, request, data.n_train, store=store, tracker=tracker, extra=extra)
    _show(plan, outcome)
    if request.report and outcome.finals and not _reported(outcome, store):
        try:
            report(
                sweeps=(plan.name,), runs=(), everything=False, to=None, out=out,
                tracking_uri=tracking_uri, experiment=experiment,
            )  # fmt: skip
        except TrackingError as error:  # the sweep itself is done and kept
            say(f"There is no report yet, the same command or `bench report` writes it: {error}")
    _what_next(plan, outcome, places(out, tracking_uri, experiment))


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
    plan: SweepPlan, request: Request, n_train: int, *, store: Store, tracker: Tracker,
    extra: Mapping[str, Any],
) -> SweepOutcome:  # fmt: skip
    """Run what is left of the sweep, shown as it goes."""
    workers = count_workers(request.workers, plan.base)
    note(f"sweep {plan.name}: {request.trials} trials, {workers} at once, in {store.root}")
    with tracker:
        with SweepDisplay(plan, request.trials, n_train=n_train) as display:
            outcome = run_sweep(
                plan,
                total=request.trials,
                workers=workers,
                store=store,
                start_pool=partial(start_pool, plan.base, store.sweep_dir(plan.name)),
                tracker=_SweepTracker(tracker),
                observer=display,
                job_extra=extra,
            )
        with waiting("drawing pictures and sending them to MLflow ..."):
            tracker.flush()
    return outcome


def _space(search: tuple[str, ...], chosen: Collection[str]) -> SearchSpace:
    """Return the default space with what was asked for, without what the user fixed.

    The order is that in which `RunConfig` declares the fields: an option typed earlier or later
    must not change what is drawn.
    """
    asked = tuple(parse_axis(text) for text in search)
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
    plan = SweepPlan(
        name=request.name or "unnamed",
        base=config,
        space=space,
        seed=config.seed,
        data_source=source,
        data_digest=data_digest,
        code=__version__,
        trial_overrides={
            "epochs": request.trial_epochs or TRIAL_EPOCHS[source],
            "train_examples": examples,
        },
        finals=request.final_seeds,
        sampler=request.sampler,  # type: ignore[arg-type]  # the plan checks it
        pruner=request.pruner,  # type: ignore[arg-type]  # the plan checks it
        lookahead=LOOKAHEAD,
    )
    if request.name:
        return plan
    known = "backbones" if "backbone" in space.names() else config.backbone
    backbone = re.sub(r"[^\w.-]+", "-", known).strip("-._")
    name = f"{backbone}-{source}-{digest_of(plan.to_json())[:6]}"
    return dataclasses.replace(plan, name=name)


class _SweepTracker:
    """Tells the tracker of this house what the sweep says."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

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
        self._tracker.close_sweep(outcome.name, {"status": end})


def _show(plan: SweepPlan, outcome: SweepOutcome) -> None:
    for text in outcome.notes:
        say(text)
    console.print(trial_table(plan, outcome.trials, title="best trials (validation)"))
    for record in outcome.finals:
        score, accuracy, iou = (
            record.value(f"test_{name}") for name in ("score", "accuracy", "mean_iou")
        )
        if score is None or accuracy is None or iou is None:
            note(f"final {record.run_id}: {record.status}: {record.reason}")
        else:
            note(
                f"final, seed {record.config.seed}: test score {score:.3f}, "
                f"accuracy {accuracy:.3f}, mean IoU {iou:.3f}"
            )


def _what_next(plan: SweepPlan, outcome: SweepOutcome, where: str) -> None:
    """Say how to go on; raise if something went wrong on the way.

    Raises:
        BenchError: no trial finished, or not every final.
    """
    if outcome.best is None:
        raise BenchError("No trial finished: see the reasons above, or `bench ui`.")
    failed = [record for record in outcome.finals if record.status != "finished"]
    if failed:
        raise BenchError(
            f"{len(failed)} of {len(outcome.finals)} finals did not finish: {failed[0].reason} "
            "The same command tries them again."
        )
    note(f"best, trial {outcome.best.number}: {best_command(plan, outcome.best)}")
    note(f"next: `bench ui{where}` to browse every trial, `bench report{where}` to write a report")


def _reported(outcome: SweepOutcome, store: Store) -> bool:
    """Tell whether nothing has changed since the report was written."""
    return outcome.already_done and (store.report_dir(outcome.name) / "report.md").is_file()
