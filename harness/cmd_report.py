"""`bench report`: fetch runs from MLflow, compare them, write the report, log it to MLflow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cmd_sweep import sweep_command
from harness.console import note, say, waiting
from harness.errors import StoreError, UsageError
from harness.record import RunRecord
from harness.store import Store
from harness.tracking_uri import resolve_uri
from sweeps.importance import importances
from sweeps.plan import SweepPlan

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

    names = tuple(sweeps)
    if not (names or runs or everything):
        latest = fetch.latest_sweep(uri, experiment=experiment)
        names = () if latest is None else (fetch.sweep_name(uri, latest, experiment=experiment),)
    cache = store.root / "fetched"
    with waiting("fetching records and predictions ..."):
        selections: list[dict[str, Any]] = [{"sweep": name} for name in names]
        if runs or not names:
            selections.append({"run_ids": tuple(runs) or None})
        found = [
            fetch.fetch(uri, experiment=experiment, into=cache, **selection)
            for selection in selections
        ]
    for left_out in {item.run_id: item for part in found for item in part.left_out}.values():
        say(f"{left_out.run_id} is left out: {left_out.reason}")
    chosen = {run.mlflow_run_id: run for part in found for run in part.runs}
    if not chosen:
        raise UsageError(
            f"A report needs runs, but experiment {experiment!r} of {uri} has none that match. "
            "Start with `bench run` or `bench sweep`."
        )
    title = names[0] if len(names) == 1 and not runs else experiment
    folder = to or store.report_dir(title if names else REPORT_OF_ALL)
    records = [run.record for run in chosen.values()]
    plans = {
        name: _plan(fetch.sweep_params(uri, name, experiment=experiment))
        for name in sorted({record.sweep for record in records if record.sweep})
    }
    with waiting("drawing ..."):
        written = publish(
            [(run.record, run.folder) for run in chosen.values()],
            folder,
            title=title,
            importances={name: _importances(plan, records) for name, plan in plans.items()},
            commands={
                name: sweep_command(plan, len(_trials(name, records)))
                for name, plan in plans.items()
            },
        )
    with Tracker(uri, store, experiment=experiment, notify=say) as tracker:
        tracker.log_report(folder, sweep=names[0] if len(names) == 1 else None)
    note(f"report: {written.path}")


def _plan(params: dict[str, str]) -> SweepPlan:
    """Return the plan that a sweep's parent run carries."""
    texts = {"name", "data_source", "data_digest", "code", "objective", "sampler", "pruner"}
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


def _importances(plan: SweepPlan, records: Sequence[RunRecord]) -> dict[str, float]:
    results = []
    for record in _trials(plan.name, records):
        value = record.value(plan.metric)
        if record.status == "finished" and value is not None:
            values = record.config.to_json()
            results.append(({name: values[name] for name in plan.space.names()}, value))
    return importances(plan.space, results)  # type: ignore[arg-type]  # searched fields are numbers
