"""Finds what a user names: a run, several, a sweep or a baseline, here or in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.baselines import BASELINE_FILE, read_baseline
from harness.cmd_library import Library
from harness.console import say, waiting
from harness.errors import UsageError
from harness.record import RunRecord
from harness.store import Store
from harness.tracking_uri import resolve_uri
from harness.weights import WEIGHTS_FILE
from reports.compare import compare as compare_runs
from reports.evidence import Evidence, load

Found = tuple[RunRecord, Path]
"""A record with the folder of the run's files."""


class Finder:
    """Finds what a user calls a side: a baseline, runs, or the finals of a sweep.

    Args:
        store: the output folder.
        tracking_uri: of MLflow; None for the default.
        experiment: where to look for runs.
    """

    def __init__(self, store: Store, tracking_uri: str | None, experiment: str) -> None:
        self._store, self._uri, self._experiment = store, tracking_uri, experiment
        self._library: Library | None = None

    def evidence(self, name: str) -> tuple[Evidence, ...]:
        """Return the runs of a side, by seed.

        Raises:
            UsageError: there is no such baseline, run or sweep.
            TrackingError: the tracking store does not answer.
            StoreError: a baseline is damaged.
        """
        folders = (self._store.baselines / name, Path(name))
        several = "," in name  # too long for the name of a file, perhaps
        kept = [f for f in folders if not several and (f / BASELINE_FILE).is_file()]
        runs = read_baseline(kept[0]).runs if kept else self._fetched(name, weights=False)
        found = [load(record, folder) for record, folder in runs]
        return tuple(sorted(found, key=lambda item: item.record.config.seed))

    def trained(self, name: str) -> Found:
        """Return one run whose weights are there: the run of this id, or the best of a sweep.

        Of several finals the one with the best validation score is taken: the test split must not
        choose.

        Raises:
            UsageError: there is no such run or sweep, or its weights were not kept.
            TrackingError: the tracking store does not answer.
            StoreError: a record is damaged.
        """
        record = self._store.read_record(name) if Path(name).name == name else None
        if record is not None:
            return _with_weights([(record, self._store.run_dir(name))], name)
        return _with_weights(self._fetched(name, weights=True), name)

    def _fetched(self, name: str, *, weights: bool) -> Sequence[Found]:
        library = self._open()
        ids = tuple(part.strip() for part in name.split(",") if part.strip())
        with waiting("fetching records and predictions ..."):
            try:
                found = library.runs((), ids, weights=weights)
                return [(run.record, run.folder) for run in found]
            except UsageError as not_a_run:
                try:
                    _, parents = library.parents([name], latest=False)
                except UsageError:
                    raise UsageError(
                        f"There is no baseline, run or sweep {name!r} ({not_a_run}) "
                        "`bench baseline list`, `bench status` and `bench ui` show what there is."
                    ) from None
            chosen = self._best(library, name, parents)
            if not weights:
                return chosen
            ids = tuple(record.run_id for record, _ in chosen)
            return [(run.record, run.folder) for run in library.runs((), ids, weights=True)]

    def _best(self, library: Library, name: str, parents: dict[str, str]) -> Sequence[Found]:
        """Return the finals of the trial that a sweep chose."""
        if len(parents) != 1:
            members = ", ".join(sorted(parents.values()))
            raise UsageError(f"{name} is a group of searches: name one of {members}.")
        found = library.runs(parents, ())
        plans = library.plans(parents, [run.record for run in found])
        goals = {sweep: plan.goals for sweep, plan in plans.items()}
        tables = compare_runs((load(run.record, run.folder) for run in found), goals).tables
        rows = [row for table in tables for row in table.contenders]
        rows = [row for row in rows if row.place == 1] or (rows if len(rows) == 1 else [])
        if not rows:
            raise UsageError(
                f"Sweep {name} has no tested finals of its best trial yet. `bench status {name}` "
                "says how it stands."
            )
        chosen = set(rows[0].run_ids)
        return [(run.record, run.folder) for run in found if run.record.run_id in chosen]

    def _open(self) -> Library:
        if self._library is None:
            with waiting("loading MLflow ..."):
                from harness import fetch
            uri = resolve_uri(self._uri, self._store.root)
            cache = self._store.root / "fetched"
            self._library = Library(fetch, uri, self._experiment, cache=cache)
        return self._library


def _with_weights(found: Sequence[Found], name: str) -> Found:
    """Return the run that is best in validation among those with weights."""
    if not found:
        raise UsageError(
            f"A network must be trained to its end before it can be used, but {name} has no "
            "record yet. `bench status` shows what still trains."
        )
    usable = [each for each in found if (each[1] / WEIGHTS_FILE).is_file()]
    if not usable:
        record = found[0][0]
        kept = "is a trial: only the finals of a sweep and single runs keep theirs"
        older = f"ended as {record.status}, or was trained by an older release"
        raise UsageError(
            f"The weights of {name} are not there: it "
            f"{kept if record.role in {'trial', 'rerun'} else older}. Train it again with "
            "`bench run`, with the options that `bench report` shows."
        )
    best = max(usable, key=lambda each: each[0].value("validation_score") or 0.0)
    if len(usable) > 1:
        say(
            f"Of the {len(usable)} seeds of {name}, {best[0].run_id} is taken: the best in "
            "validation."
        )
    return best
