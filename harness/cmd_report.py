"""`bench report`: fetch runs from MLflow, compare them, write the report, log it to MLflow."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.certificate import Certificate, certificates
from harness.cmd_floors import known_floors
from harness.cmd_library import Library
from harness.cmd_lines import sweep_command
from harness.config import RunConfig
from harness.console import note, say, waiting
from harness.errors import StoreError, UsageError
from harness.lean import collect_seldom
from harness.pdf import find_converter, to_pdf
from harness.record import RunRecord
from harness.store import Store
from harness.timings import Timings, all_timings
from harness.tracking_uri import public_uri, resolve_uri
from reports.drawing import Spread, several_at_once
from sweeps.plan import SweepPlan
from sweeps.space import SearchSpace

REPORT_OF_ALL = "all"

_MOST_DRAWN = 3
"""Sweeps that nobody named: each has three or four pictures, which take most of the time."""


def report(
    *,
    sweeps: Sequence[str],
    runs: Sequence[str],
    everything: bool,
    to: Path | None,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    tags: Sequence[str] = (),
    query: str | None = None,
    html: bool = False,
    pdf: bool = False,
    template: Path | None = None,
) -> None:
    """Write a report of what was asked for; by default of the sweep begun last.

    Raises:
        UsageError: nothing matches, no browser prints to PDF, or the template does not fit.
        TrackingError: the tracking store does not answer.
        StoreError: the folder holds somebody else's files.
    """
    converter = find_converter() if pdf else None
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    collect_seldom()
    with several_at_once(preload=["sweeps.importance"]) as spread:
        with waiting("loading MLflow and the plotting libraries ..."):
            from harness import fetch
            from harness.track import Tracker
            from reports.publish import Pages, publish
            from reports.template import check_template

        if template is not None:
            check_template(template)

        with waiting("fetching records and predictions ..."):
            library = Library(fetch, uri, experiment, cache=store.root / "fetched")
            names, parents = library.parents(
                sweeps, latest=not (runs or tags or query or everything)
            )
            found = library.runs(parents, runs, tags=tags, query=query)
        if not found:
            raise UsageError(
                f"A report needs runs, but experiment {experiment!r} of {public_uri(uri)} has "
                "none that match. Start with `bench run` or `bench sweep`."
            )
        records = [run.record for run in found]
        plans = library.plans(parents, records)
        alone = len(names) == 1 and not (runs or tags or query)
        title = names[0] if alone else experiment
        folder = to or store.report_dir(_folder_name(names, runs, tags, query))
        with waiting("drawing ..."):
            written = publish(
                [(run.record, run.folder) for run in found],
                folder,
                title=title,
                goals={name: plan.goals for name, plan in plans.items()},
                importances=functools.partial(_importances, plans, records, spread),
                commands={name: _command(plan, plans, records) for name, plan in plans.items()},
                certificates=_certificates(store),
                timings=_timings(store),
                floors=known_floors(store),
                addresses={run.record.run_id: run.address for run in found if run.address},
                spread=spread,
                most_drawn=None if names else _MOST_DRAWN,
                pages=Pages(
                    html=html,
                    to_pdf=functools.partial(to_pdf, converter=converter) if converter else None,
                    template=template,
                ),
            )
    for path in written.pages:
        note(f"report: {path}")
    with Tracker(uri, store, experiment=experiment, notify=say) as tracker:
        tracker.log_report(folder, sweep=names[0] if len(names) == 1 else None, page=written.page)


def _folder_name(
    sweeps: Sequence[str], runs: Sequence[str], tags: Sequence[str], query: str | None
) -> str:
    """Return a name that no other choice of runs gets: a part must not replace the whole."""
    chosen = [list(part) for part in (sweeps, runs, tags)] + ([query] if query else [])
    if not any(chosen):
        return REPORT_OF_ALL
    if len(sweeps) == 1 and not any(chosen[1:]):
        return sweeps[0]
    return f"selection-{hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:8]}"


def _certificates(store: Store) -> list[Certificate]:
    """Return the certificates in the output folder; a damaged one costs no report."""
    try:
        return list(certificates(store.certificates))
    except StoreError as error:
        say(f"The report leaves out the certificates: {error}")
        return []


def _timings(store: Store) -> list[Timings]:
    """Return the timings in the output folder; damaged ones cost no report."""
    try:
        return list(all_timings(store.timings))
    except StoreError as error:
        say(f"The report leaves out the timings: {error}")
        return []


def _trials(name: str, records: Sequence[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.sweep == name and record.role == "trial"]


def _command(plan: SweepPlan, plans: Mapping[str, SweepPlan], records: Sequence[RunRecord]) -> str:
    """Return the line that repeats a sweep, together with the others of its group."""
    members = [other for other in plans.values() if plan.group and other.group == plan.group]
    tried = max(len(_trials(each.name, records)) for each in members or [plan])
    return sweep_command(plan, tried, members=members, top=_top(plan, records))


def _top(plan: SweepPlan, records: Sequence[RunRecord]) -> int:
    """Return how many of the best trials were trained again."""
    again = {r.trial for r in records if r.sweep == plan.name and r.role == "final"}
    finished = [
        (value, r.trial, r.config)
        for r in _trials(plan.name, records)
        if r.status == "finished" and r.trial is not None
        and (value := r.value(plan.metric)) is not None
    ]  # fmt: skip
    sign = -1 if plan.direction == "maximize" else 1
    finished.sort(key=lambda trial: (sign * trial[0], trial[1]))
    first: dict[RunConfig, int] = {}
    for _, number, config in finished:
        first.setdefault(config, number)  # of equal trials only the first is trained again
    return max(1, len(list(itertools.takewhile(again.__contains__, first.values()))))


_Results = list[tuple[dict[str, Any], float]]


def _importances(
    plans: Mapping[str, SweepPlan], records: Sequence[RunRecord], spread: Spread,
    sweeps: Sequence[str],
) -> Iterator[dict[str, float] | str]:  # fmt: skip
    """Return what each searched field explains in each sweep, or why nobody can tell.

    See `reports.pictures`.
    """
    known = [plans[name] for name in sweeps if name in plans]
    shares = spread(_shares, [(plan.space, _results(plan, records)) for plan in known])
    unknown = "its plan is not stored, so nobody knows which fields it searched"
    return (next(shares) if name in plans else unknown for name in sweeps)


def _results(plan: SweepPlan, records: Sequence[RunRecord]) -> _Results:
    """Return the searched values and the objective of each finished trial."""
    results = []
    for record in _trials(plan.name, records):
        value = record.value(plan.metric)
        if record.status == "finished" and value is not None:
            values = record.config.to_json()
            if record.too_large:  # what was drawn, and not what a smaller memory left of it
                values[record.config.batch_field] = record.too_large[0]
            results.append(({name: values[name] for name in plan.space.shared()}, value))
    return results


def _shares(job: tuple[SearchSpace, _Results]) -> dict[str, float] | str:
    from sweeps.importance import importances, why_unknown  # scikit-learn takes a second to load

    return why_unknown(*job) or importances(*job)
