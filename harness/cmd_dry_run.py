"""`bench sweep --dry-run`: what would run and about how long it would take; nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.table import Table
from rich.text import Text

from harness.cmd_workers import worker_environment
from harness.config import RunConfig
from harness.console import console, note, waiting
from harness.data import Data
from harness.durations import span_text
from harness.forecast import Forecast, Runs, forecast
from harness.pace import Paces, measure
from harness.store import Store
from harness.tracking_uri import public_uri
from sweeps.plan import SweepPlan, read_plan
from sweeps.search_text import axis_text
from sweeps.standing import standing

NETWORK_FIELDS = (
    "backbone", "head", "width", "depth", "pretrained", "box_loss", "batch_size",
    "global_batch_size", "precision", "jit",
)  # fmt: skip
"""Fields of a configuration that decide what is compiled."""


def dry_run(
    plans: Sequence[SweepPlan], *, total: int, workers: int, top: int, store: Store,
    data: Data, data_dir: Path | None, uri: str, hang_after_s: float,
) -> None:  # fmt: skip
    """Print the plans, measure their networks for some seconds, and print how long it would take.

    Args:
        plans: of one sweep, or of the members of a group; checked.
        total: trials that were asked for, of each.
        workers: how many would train at once.
        top: how many of the best trials of each would be trained again.
        store: where results would go.
        data: all that a final trains on.
        data_dir: folder that the user named for the data, or None.
        uri: tracking store.
        hang_after_s: longest silence of a process that measures.

    Raises:
        BenchError: a network cannot be trained here.
    """
    todo = [_left(plan, total, top, store) for plan in plans]
    for plan, left in zip(plans, todo, strict=True):
        _print(_plan_lines(plan, total, top, workers, left.done, data, store, uri))
        note("")
    if not any(left.most for left in todo):
        note("nothing is left to do, so the command would end at once")
        return
    forecasts = []
    for plan, left in zip(plans, todo, strict=True):
        if not left.most:
            continue
        if len(plans) > 1:
            console.print(Text(plan.base.backbone, style="bold"))
        crew = min(workers, left.most)
        with waiting("measuring steps in processes of their own ..."):
            paces = measure(
                _networks(plan),
                [worker_environment(plan.base, s) for s in range(crew)],
                data_dir,
                silence_s=hang_after_s,
            )
        forecasts.append(_forecast(plan, left, paces, crew, data))
        _print(_forecast_lines(forecasts[-1], paces, crew, plan, trials_left=left.trials > 0))
    if len(plans) > 1:
        # Members share the workers, and a command starts once.
        start_s = sum(each.start_s for each in forecasts[1:])
        most, usual = (
            span_text(sum(getattr(each, name) for each in forecasts) - start_s)
            for name in ("most_s", "usual_s")
        )
        words = f"about {most}"
        if most != usual:
            words = f"at most {most}, about {usual} with pruning as usual"
        note(f"all {len(plans)} backbones: {words}")
    note("dry run: nothing was written; the same command without --dry-run begins")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """Runs of one sweep: trials that have ended, and what is left to do."""

    done: int
    trials: int
    finals: int
    reruns: int

    @property
    def most(self) -> int:
        """Return how many may train at once; 0 if nothing is left."""
        return max(self.trials, self.finals + self.reruns)


def _left(plan: SweepPlan, total: int, top: int, store: Store) -> _Left:
    finals, reruns = plan.finals * top, 0 if plan.trains_alike else plan.finals
    if read_plan(store.sweep_dir(plan.name)) is None:
        return _Left(done=0, trials=total, finals=finals, reruns=reruns)
    stands = standing(store, plan.name)
    if stands.ended < total:  # a better trial may come, with finals of its own
        return _Left(done=stands.ended, trials=total - stands.ended, finals=finals, reruns=reruns)
    return _Left(
        done=stands.ended, trials=0, finals=max(0, finals - stands.finals_done),
        reruns=max(0, reruns - stands.reruns_done),
    )  # fmt: skip


def _forecast(plan: SweepPlan, left: _Left, paces: Paces, workers: int, data: Data) -> Forecast:
    trial = plan.trial_task(0, next(iter(plan.space.probes()))).config
    kinds = partial(_runs, n_validation=data.n_validation)
    n_trial = trial.train_examples or data.n_train
    return forecast(
        paces,
        trials=kinds(trial, left.trials, n_train=n_trial),
        finals=kinds(plan.base, left.finals, n_train=data.n_train),
        reruns=kinds(trial, left.reruns, n_train=n_trial),
        done=left.done, workers=workers, pruner=plan.pruner,
    )  # fmt: skip


def _networks(plan: SweepPlan) -> list[RunConfig]:
    """Return one trial of each network among the corners of the space, in their order."""
    first: dict[tuple[object, ...], RunConfig] = {}
    for probe in (plan.trial_task(0, params).config for params in plan.space.probes()):
        first.setdefault(tuple(getattr(probe, name) for name in NETWORK_FIELDS), probe)
    return list(first.values())


def _runs(config: RunConfig, count: int, *, n_train: int, n_validation: int) -> Runs:
    return Runs(
        count=count, epochs=config.epochs, images=n_train // config.batch * config.batch,
        predicted=n_validation, tested=n_validation,
    )  # fmt: skip


def _print(rows: Iterator[tuple[str, str]]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=len("objective"))
    table.add_column(overflow="fold")
    for title, text in rows:
        table.add_row(title, Text(text))
    console.print(table)


def _plan_lines(
    plan: SweepPlan,
    total: int,
    top: int,
    workers: int,
    done: int,
    data: Data,
    store: Store,
    uri: str,
) -> Iterator[tuple[str, str]]:
    trial, base = {**dataclasses.asdict(plan.base), **plan.trial_overrides}, plan.base
    is_there = read_plan(store.sweep_dir(plan.name)) is not None
    yield "sweep", f"{plan.name} ({'goes on' if is_there else 'new'})"
    if "backbone" not in plan.space.names():
        yield "backbone", f"{base.backbone}, head {base.head}"
    yield "data", f"{data.source}: {data.n_train:,} train, {data.n_validation:,} validate"
    for i, axis in enumerate(plan.space.axes):
        yield "" if i else "searched", axis_text(axis)
    yield "sampler", f"{plan.sampler}, seed {plan.seed}, lookahead {plan.lookahead}"
    yield "pruner", plan.pruner
    for i, goal in enumerate(plan.goals):
        yield "" if i else "objective", f"{goal.title} ({goal.direction})"
    examples = trial["train_examples"] or data.n_train
    to_do = f"{total - done} to do, {done} done" if done < total else "all done"
    yield "trials", f"{total} in total: {to_do}"
    yield "", f"{trial['epochs']} epochs of {examples:,} examples each"
    if plan.finals:
        best = "the best" if top == 1 else f"the {top} best"
        yield "finals", f"{best} again with {plan.finals} new seeds, then the test split"
        yield "", f"{base.epochs} epochs of {base.train_examples or data.n_train:,} examples each"
        if not plan.trains_alike:
            yield "re-runs", f"the best trial as it was with {plan.finals} new seeds, and tested"
    threads = f"{base.threads} thread{'s'[: base.threads != 1]}" if base.threads else "all cores"
    yield "workers", f"{workers} at once, {threads} each"
    yield "results", str(store.sweep_dir(plan.name))
    yield "MLflow", public_uri(uri)


def _forecast_lines(
    left: Forecast, paces: Paces, workers: int, plan: SweepPlan, *, trials_left: bool
) -> Iterator[tuple[str, str]]:
    speed = f"{1 / paces.mean('train_s'):,.0f} images/s in training"
    speed += f", {1 / paces.mean('predict_s'):,.0f} in evaluation"
    yield "measured", f"{speed}, compiled in {paces.mean('compile_s'):.1f} s"
    of = f"{workers} processes at once, each" if workers > 1 else "one process"
    networks = f"{len(paces.of)} of {paces.asked} networks" if paces.asked > 1 else "the network"
    yield "", f"({networks}, in {of})"
    if trials_left:
        yield "a trial", f"{span_text(left.trial_s)} if it is not stopped early"
    if left.finals_s:
        yield "a final", span_text(left.final_s)
    most, usual = span_text(left.most_s), span_text(left.usual_s)
    if plan.pruner == "none" or not trials_left or most == usual:
        yield "in all", f"about {most}"
    else:
        yield "in all", f"at most {most}, about {usual} with pruning as usual"
