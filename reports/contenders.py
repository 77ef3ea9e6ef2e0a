"""Contenders: runs that differ in their seed only, and what they reached together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.config import RunConfig, knobs
from harness.record import Machine, device_kinds, timing_key
from reports.budgets import Budget
from reports.commands import repeat_command
from reports.evidence import IMAGE_MEASURES, Evidence
from reports.statistics import Estimate, share_interval, t_interval

RANKED_BY = "score"
"""The measure that orders a leaderboard: what a sweep maximises."""

SHIFTS = ("shift_class_changes", "shift_box_px")
"""Measures of what a move by one pixel does, see `harness.record.METRICS`."""

_SHARES = ("accuracy", "localization_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One row of a leaderboard: a configuration, over its seeds.

    Attributes:
        name: unique in its table; the backbone, and what sets it apart if that is not enough.
        rank: 1 is the best `score`; equal scores share a rank.
        config: of the first run; the others differ in their seed only.
        seeds, run_ids, sweeps, commands: of each run, in the order of seeds.
        quality: measure name -> estimate on the test split.
        images_per_s: training throughput; absent if the runs were timed on several machines.
        machines: labels of the machines used, see `label_machines`.
        devices: kinds of the devices used on them, such as ("cpu",).
        parameters: number of weights; None if no run says, or they do not agree.
        mflops: of one image's forward pass; None if no run says, or they do not agree.
        budget: of the search that found the configuration; None if no search is recorded.
        place: of its trial in that search, by what that was after; 1 is what the search chose.
        shift: by the names in `SHIFTS`, over seeds; empty if no run measured it.
    """

    name: str
    rank: int
    config: RunConfig
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    sweeps: tuple[str, ...]
    commands: tuple[str, ...]
    quality: Mapping[str, Estimate]
    images_per_s: Estimate
    machines: tuple[str, ...]
    parameters: int | None
    mflops: float | None = None
    devices: tuple[str, ...] = ()
    budget: Budget | None = None
    place: int | None = None
    shift: Mapping[str, Estimate] = field(default_factory=dict)


def label_machines(evidence: Iterable[Evidence]) -> dict[tuple[object, ...], tuple[str, Machine]]:
    """Return timing key -> (label such as "M1", machine), in the order of first use."""
    found: dict[tuple[object, ...], tuple[str, Machine]] = {}
    for item in evidence:
        if item.record.machine is not None:
            label = f"M{len(found) + 1}"
            found.setdefault(timing_key(item.record.machine), (label, item.record.machine))
    return found


def rank_contenders(
    groups: Sequence[Sequence[Evidence]],
    labels: Mapping[tuple[object, ...], tuple[str, Machine]],
    budgets: Sequence[Budget | None],
    places: Mapping[str, int],
) -> tuple[Contender, ...]:
    """Return one contender for each group of runs, best test score first.

    Args:
        groups: runs with test results; in a group only the seeds differ.
        labels: of `label_machines`.
        budgets: of the search behind each group; those that are there are equal.
        places: run id of a final -> place of its trial in the search.
    """
    rows = []
    names = contender_names([group[0].record.config for group in groups])
    for group, name, budget in zip(groups, names, budgets, strict=True):
        found = [places[item.record.run_id] for item in group if item.record.run_id in places]
        row = _contender(group, name=name, labels=labels)
        rows.append(replace(row, budget=budget, place=min(found, default=None)))
    rows.sort(key=lambda row: (-_mean(row), row.name))
    means = [_mean(row) for row in rows]
    return tuple(replace(row, rank=means.index(_mean(row)) + 1) for row in rows)


def contender_names(configs: Sequence[RunConfig]) -> list[str]:
    """Return a unique name for each configuration: the backbone, and what sets it apart."""
    default = RunConfig()
    peers: dict[str, list[RunConfig]] = {}
    for config in configs:
        peers.setdefault(config.backbone, []).append(config)
    varied = {backbone: varied_fields(same) for backbone, same in peers.items()}
    for digits in (4, 17):  # 17 tell any two floats apart
        names = [_name(config, varied[config.backbone], default, digits) for config in configs]
        if len(set(names)) == len(names):
            break
    return names


def varied_fields(configs: Sequence[RunConfig]) -> tuple[str, ...]:
    """Return the fields in which configurations differ, the seed apart."""
    return tuple(
        field
        for field in knobs()
        if field != "seed" and len({getattr(config, field) for config in configs}) > 1
    )


def _name(config: RunConfig, fields: Sequence[str], default: RunConfig, digits: int) -> str:
    values = {field: getattr(config, field) for field in fields}
    apart = [
        f"{field}={value:.{digits}g}" if isinstance(value, float) else f"{field}={value}"
        for field, value in values.items()
        if value != getattr(default, field)
    ]
    return " ".join([config.backbone, *(apart or (["defaults"] if fields else []))])


def _mean(row: Contender) -> float:
    value = row.quality[RANKED_BY].value
    if value is None:  # only runs with a test score are ranked
        raise ValueError(f"{row.name} has no test score")
    return value


def _contender(
    group: Sequence[Evidence],
    *,
    name: str,
    labels: Mapping[tuple[object, ...], tuple[str, Machine]],
) -> Contender:
    records = [item.record for item in group]
    used = tuple(labels[timing_key(r.machine)][0] for r in records if r.machine is not None)
    sizes = {r.model.parameters for r in records if r.model is not None}
    costs = {r.value("mflops") for r in records} - {None}
    return Contender(
        name=name,
        rank=0,
        config=records[0].config,
        seeds=tuple(r.config.seed for r in records),
        run_ids=tuple(r.run_id for r in records),
        sweeps=tuple(sorted({r.sweep for r in records if r.sweep is not None})),
        commands=tuple(repeat_command(r) for r in records),
        quality={measure: _quality(group, measure) for measure in IMAGE_MEASURES},
        images_per_s=throughput(group, machines=len(set(used))),
        machines=tuple(dict.fromkeys(used)),
        parameters=sizes.pop() if len(sizes) == 1 else None,
        mflops=costs.pop() if len(costs) == 1 else None,
        devices=tuple(
            dict.fromkeys(k for r in records if r.machine for k in device_kinds(r.machine))
        ),
        shift=_shift(group),
    )


def _shift(group: Sequence[Evidence]) -> dict[str, Estimate]:
    """Return the mean over seeds of each measure in `SHIFTS`; nothing if no run has them."""
    found = {}
    for name in SHIFTS:
        values = [item.record.value(name) for item in group]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            reason = f"{len(values) - len(known)} of {len(values)} runs did not measure it"
            found[name] = Estimate(absent=reason)
        else:
            found[name] = t_interval(known, varied="seeds", bounds=(0, math.inf))
    return found if any(each.value is not None for each in found.values()) else {}


def _quality(group: Sequence[Evidence], measure: str) -> Estimate:
    """Return the mean over seeds; with one seed, the interval is over its test images."""
    values = [item.record.value(f"test_{measure}") for item in group]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        reason = f"{len(values) - len(known)} of {len(values)} runs did not measure it"
        return Estimate(absent=reason)
    if len(known) > 1:
        return t_interval(known, varied="seeds", bounds=(0, 1))
    outcomes = group[0].outcomes
    if outcomes is None:
        return Estimate(value=known[0], absent=f"one seed, and {group[0].why_none}")
    if measure in _SHARES:
        return replace(share_interval(outcomes.values(measure) > 0), value=known[0])
    images = t_interval(outcomes.values(measure), varied="images", bounds=(0, 1))
    return replace(images, value=known[0])


def throughput(group: Sequence[Evidence], *, machines: int) -> Estimate:
    """Return the training images/s of runs that differ in their seed only.

    Args:
        group: the runs.
        machines: on which they were timed.
    """
    measures = [item.record.measures.get("images_per_s") for item in group]
    known = [m for m in measures if m is not None and m.value is not None]
    if not known:
        reasons = sorted({m.reason for m in measures if m is not None and m.reason})
        return Estimate(absent=reasons[0] if reasons else "no run measured it")
    if machines > 1:
        return Estimate(absent="its runs were timed on machines or settings that differ")
    reason = _timed_otherwise([r.machine for r in (i.record for i in group) if r.machine])
    if reason is not None:
        return Estimate(absent=reason)
    bounds = (0.0, float("inf"))
    if len(known) > 1:
        values = [m.value for m in known if m.value is not None]
        return t_interval(values, varied="seeds", bounds=bounds)
    only = known[0]
    if len(only.samples) < 2:
        return Estimate(value=only.value, absent="one epoch only: no spread can be seen")
    return replace(t_interval(only.samples, varied="epochs", bounds=bounds), value=only.value)


def _timed_otherwise(machines: Sequence[Machine]) -> str | None:
    """Return what else than the seed was not the same where runs were timed; None if nothing."""
    if len({each.jit for each in machines}) > 1:
        return "`--jit auto` compiled only some of its runs"
    for what, used in (
        ("strategies", {each.strategy for each in machines}),
        ("numbers of replicas", {str(each.replicas) for each in machines}),
        ("kinds of devices", {" and ".join(device_kinds(each)) for each in machines}),
    ):
        if len(used) > 1:
            return f"its runs were trained with different {what}: {', '.join(sorted(used))}"
    return None
