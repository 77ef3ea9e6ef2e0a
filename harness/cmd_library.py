"""The runs of one experiment, read from MLflow: by sweep, by run, or all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.console import say
from harness.errors import StoreError
from harness.record import RunRecord
from sweeps.plan import SweepPlan

if TYPE_CHECKING:
    from harness.fetch import FetchedRun


class Library:
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

    def runs(
        self,
        parents: Iterable[str],
        run_ids: Sequence[str],
        *,
        tags: Sequence[str] = (),
        query: str | None = None,
        weights: bool = False,
    ) -> list[FetchedRun]:
        """Return the runs of these sweeps, these runs, and those that match; else every run.

        Args:
            parents: sweeps, by name or MLflow run id.
            run_ids: by bench run id or MLflow run id.
            tags: that a run must all have to match, each as KEY=VALUE.
            query: filter of MLflow that it must match, too.
            weights: whether their weights are wanted, too.
        """
        where = self._fetch.filter_of(tags, query)
        wanted: list[dict[str, Any]] = [{"sweep": parent} for parent in parents]
        if run_ids:
            wanted.append({"run_ids": tuple(run_ids)})
        if where or not wanted:
            wanted.append({"where": where})
        chosen: dict[str, FetchedRun] = {}
        left_out: dict[str, str] = {}
        for each in wanted:
            part = self._fetch.fetch(
                self._uri, experiment=self._experiment, into=self._cache, weights=weights, **each
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
        plans: dict[str, SweepPlan] = {}
        names = sorted({record.sweep for record in records if record.sweep})
        asked = {name: by_name.get(name, name) for name in names}
        params = self._fetch.sweep_params(self._uri, asked.values(), experiment=self._experiment)
        for name in names:
            found = params[asked[name]]
            try:
                # Two folders may each have sent a sweep of this name: then there is a reason.
                reason = found if isinstance(found, str) else None
                plans |= {} if isinstance(found, str) else {name: _plan(found)}
            except StoreError as error:
                reason = str(error)
            if reason is not None:
                say(f"What sweep {name!r} was after is not known: {reason}")
        return plans


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
