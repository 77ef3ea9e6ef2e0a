"""`bench sweep --dry-run`: what would run and about how long it would take; nothing is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
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
    plan: SweepPlan, probes: Sequence[RunConfig], *, total: int, workers: int, store: Store,
    data: Data, data_dir: Path | None, uri: str,
) -> None:  # fmt: skip
    """Print the plan, measure its networks for some seconds, and print how long it would take.

    Args:
        plan: of the sweep, checked.
        probes: trials from its space, the corners of which they hold.
        total: trials that were asked for.
        workers: how many would train at once.
        store: where results would go.
        data: all that a final trains on.
        data_dir: folder that the user named for the data, or None.
        uri: tracking store.

    Raises:
        BenchError: a network cannot be trained here.
    """
    done, finals_left = _left(plan, total, store)
    _print(_plan_lines(plan, total, workers, done, data, store, uri))
    if done >= total and not finals_left:
        note("nothing is left to do, so the command would end at once")
        return
    networks, workers = _networks(probes), min(workers, max(total - done, finals_left))
    with waiting("measuring steps in processes of their own ..."):
        paces = measure(
            networks, [worker_environment(plan.base, slot) for slot in range(workers)], data_dir
        )
    trial = probes[0]
    kinds = partial(_runs, n_validation=data.n_validation)
    left = forecast(
        paces,
        trials=kinds(trial, max(0, total - done), n_train=trial.train_examples or data.n_train),
        finals=kinds(plan.base, finals_left, n_train=data.n_train),
        done=done, workers=workers, pruner=plan.pruner,
    )  # fmt: skip
    _print(_forecast_lines(left, paces, workers, plan, trials_left=total > done))
    note("dry run: nothing was written; the same command without --dry-run begins")


def _left(plan: SweepPlan, total: int, store: Store) -> tuple[int, int]:
    """Return the trials that have ended and the finals to do."""
    if read_plan(store.sweep_dir(plan.name)) is None:
        return 0, plan.finals
    stands = standing(store, plan.name)
    if stands.ended < total:
        return stands.ended, plan.finals  # a better trial may come, with finals of its own
    return stands.ended, plan.finals - stands.finals_done


def _networks(probes: Sequence[RunConfig]) -> list[RunConfig]:
    """Return one trial of each network among the probes, in their order."""
    first: dict[tuple[object, ...], RunConfig] = {}
    for probe in probes:
        first.setdefault(tuple(getattr(probe, name) for name in NETWORK_FIELDS), probe)
    return list(first.values())


def _runs(config: RunConfig, count: int, *, n_train: int, n_validation: int) -> Runs:
    batch = config.global_batch_size or config.batch_size
    return Runs(
        count=count, epochs=config.epochs, images=n_train // batch * batch,
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
    plan: SweepPlan, total: int, workers: int, done: int, data: Data, store: Store, uri: str
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
    yield "objective", f"{plan.objective} on the validation split ({plan.direction})"
    examples = trial["train_examples"] or data.n_train
    to_do = f"{total - done} to do, {done} done" if done < total else "all done"
    yield "trials", f"{total} in total: {to_do}"
    yield "", f"{trial['epochs']} epochs of {examples:,} examples each"
    if plan.finals:
        yield "finals", f"the best again with {plan.finals} new seeds, then the test split"
        yield "", f"{base.epochs} epochs of {base.train_examples or data.n_train:,} examples each"
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
