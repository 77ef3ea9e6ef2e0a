"""`bench report`: fetch runs from MLflow, compare them, write the report, log it to MLflow."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.certificate import Certificate, certificates
from harness.cmd_floors import known_floors
from harness.cmd_lines import sweep_command
from harness.config import RunConfig
from harness.console import note, say, waiting
from harness.errors import StoreError, UsageError
from harness.record import RunRecord
from harness.store import Store
from harness.timings import Timings, all_timings
from harness.tracking_uri import public_uri, resolve_uri
from reports.goals import Goal
from sweeps.importance import importances
from sweeps.plan import SweepPlan

if TYPE_CHECKING:
    from harness.fetch import FetchedRun

REPORT_OF_ALL = "all"


def report(
    *,
    sweeps: Sequence[str],
    runs: Sequence[str],
    everything: bool,
    to: Path | None,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
) -> None:
    """Write a report of what was asked for; by default of the sweep begun last.

    Raises:
        UsageError: nothing matches.
        TrackingError: the tracking store does not answer.
        StoreError: the folder holds somebody else's files.
    """
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    with waiting("loading MLflow and the plotting libraries ..."):
        from harness import fetch
        from harness.track import Tracker
        from reports.publish import publish

    with waiting("fetching records and predictions ..."):
        library = _Library(fetch, uri, experiment, cache=store.root / "fetched")
        names, parents = library.parents(sweeps, latest=not (runs or everything))
        found = library.runs(parents, runs)
    if not found:
        raise UsageError(
            f"A report needs runs, but experiment {experiment!r} of {public_uri(uri)} has none "
            "that match. Start with `bench run` or `bench sweep`."
        )
    records = [run.record for run in found]
    plans = library.plans(parents, records)
    title = names[0] if len(names) == 1 and not runs else experiment
    folder = to or store.report_dir(title if names else REPORT_OF_ALL)
    with waiting("drawing ..."):
        written = publish(
            [(run.record, run.folder) for run in found],
            folder,
            title=title,
            goals={name: goals_of(plan) for name, plan in plans.items()},
            importances={name: _importances(plan, records) for name, plan in plans.items()},
            commands={name: _command(plan, plans, records) for name, plan in plans.items()},
            certificates=_certificates(store),
            timings=_timings(store),
            floors=known_floors(store),
        )
    note(f"report: {written.path}")
    with Tracker(uri, store, experiment=experiment, notify=say) as tracker:
        tracker.log_report(folder, sweep=names[0] if len(names) == 1 else None)


def goals_of(plan: SweepPlan) -> tuple[Goal, ...]:
    """Return what a sweep is after, in the words of reports."""
    return tuple(Goal(name=name) for name in plan.objectives)


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


class _Library:
    """The runs of one experiment, read from MLflow.

    Args:
        fetch: the module `harness.fetch`, handed in because importing it takes seconds.
        uri, experiment: where they are.
        cache: folder for what has to be downloaded.
    """

    def __init__(self, fetch: ModuleType, uri: str, experiment: str, *, cache: Path) -> None:
        self._fetch, self._uri, self._experiment, self._cache = fetch, uri, experiment, cache

    def parents(
        self, sweeps: Sequence[str], *, latest: bool
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return the names of what was asked for, the latest if nothing was, and its sweeps.

        The sweeps are told by MLflow run id and name; those of a group are its members.
        """
        asked = list(sweeps)
        if not asked and latest:
            last = self._fetch.latest_sweep(self._uri, experiment=self._experiment)
            asked = [] if last is None else [last]
        names: list[str] = []
        parents: dict[str, str] = {}
        for each in asked:
            name, members = self._fetch.sweeps_of(self._uri, each, experiment=self._experiment)
            names.append(name)
            parents |= members
        return tuple(names), parents

    def runs(self, parents: Iterable[str], run_ids: Sequence[str]) -> list[FetchedRun]:
        """Return the runs of these sweeps and these runs; every run if none are named."""
        wanted: list[dict[str, Any]] = [{"sweep": parent} for parent in parents]
        if run_ids or not wanted:
            wanted.append({"run_ids": tuple(run_ids) or None})
        chosen: dict[str, FetchedRun] = {}
        left_out: dict[str, str] = {}
        for each in wanted:
            part = self._fetch.fetch(
                self._uri, experiment=self._experiment, into=self._cache, **each
            )
            chosen |= {run.mlflow_run_id: run for run in part.runs}
            left_out |= {item.run_id: item.reason for item in part.left_out}
        for run_id, reason in left_out.items():
            say(f"{run_id} is left out: {reason}")
        return list(chosen.values())

    def plans(
        self, parents: Mapping[str, str], records: Sequence[RunRecord]
    ) -> dict[str, SweepPlan]:
        """Return the plans of all sweeps that the records belong to, as far as they are known."""
        by_name = {name: parent for parent, name in parents.items()}
        plans = {}
        for name in sorted({record.sweep for record in records if record.sweep}):
            try:
                plans[name] = _plan(self._params(by_name.get(name, name)))
            except (UsageError, StoreError) as error:
                # Two folders may each have sent a sweep of this name.
                say(f"The report leaves out how to repeat sweep {name!r}: {error}")
        return plans

    def _params(self, sweep: str) -> dict[str, str]:
        params: dict[str, str] = self._fetch.sweep_params(
            self._uri, sweep, experiment=self._experiment
        )
        return params


def _plan(params: dict[str, str]) -> SweepPlan:
    """Return the plan that a sweep's parent run carries."""
    texts = {
        "name", "group", "data_source", "data_digest", "code", "objective", "sampler", "pruner"
    }  # fmt: skip
    values: dict[str, Any] = {}
    for key, text in params.items():
        name = key.removeprefix("sweep.")
        if name != key:
            values[name] = text if name in texts else json.loads(text)
    try:
        return SweepPlan.from_json(values)
    except StoreError as error:
        raise StoreError(f"The sweep's parent run in MLflow cannot be read: {error}") from error


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


def _importances(plan: SweepPlan, records: Sequence[RunRecord]) -> dict[str, float]:
    results = []
    for record in _trials(plan.name, records):
        value = record.value(plan.metric)
        if record.status == "finished" and value is not None:
            values = record.config.to_json()
            results.append(({name: values[name] for name in plan.space.shared()}, value))
    return importances(plan.space, results)  # type: ignore[arg-type]  # what is searched is set
