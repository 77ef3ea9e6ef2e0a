"""Brings records and predictions back from a tracking store, on any machine that reaches it.

Artifacts that lie on this machine are read where they are; others are downloaded once into a
cache and recognised by the digest that their run carries as a tag.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from harness import mlflow_names as names
from harness.errors import BenchError, TrackingError, UsageError
from harness.mlflow_api import MlflowException, Run
from harness.mlflow_client import Connection, asking, connect_existing
from harness.record import Role, RunRecord
from harness.store import RECORD_FILE, cannot_write, file_digest, read_record
from harness.tracking_uri import is_server, public_uri
from harness.weights import WEIGHTS_FILE

_PARENTS = {names.SWEEP_ROLE, names.GROUP_ROLE}
_NO_RUNS = {*_PARENTS, names.REPORT_ROLE, names.CERTIFICATE_ROLE, names.TIMINGS_ROLE}
_NOT_UNDERSTOOD = "INVALID_PARAMETER_VALUE"
_PAGE = 1000
_DOWNLOADS = 8  # at once; a record takes a server some 30 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedRun:
    """A run that came back whole.

    Attributes:
        record: what it did and measured.
        folder: holds `record.json` and the run's `.npz` files; to be read only.
        mlflow_run_id: where it came from.
        address: of its page at the tracking server; None without a server.
    """

    record: RunRecord
    folder: Path
    mlflow_run_id: str
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A run that did not come back, and why."""

    run_id: str
    mlflow_run_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """All runs that matched, in the order in which they began; none is silently dropped."""

    runs: tuple[FetchedRun, ...]
    left_out: tuple[LeftOut, ...]


def fetch(
    uri: str,
    *,
    experiment: str,
    into: Path,
    sweep: str | None = None,
    run_ids: Collection[str] | None = None,
    where: str | None = None,
    arrays_of: Collection[Role] | None = None,
    weights: bool = False,
) -> Fetched:
    """Return the records of an experiment's runs, and their arrays.

    Args:
        uri: from `harness.tracking_uri.resolve_uri`.
        experiment: its name.
        into: cache folder for what has to be downloaded.
        sweep: only the runs of this sweep: its name, or the MLflow run id of its parent run.
        run_ids: only these, by bench run id or MLflow run id.
        where: only those that match this filter of MLflow, see `filter_of`.
        arrays_of: roles whose predictions and scenes are wanted too; None for those that reports
            show: every role, but trials only where no run that matched was tested.
        weights: whether the weights of such runs are wanted as well, which may be large.

    Raises:
        TrackingError: the store does not answer or has no such experiment.
        UsageError: the sweep or a run is not there, two sweeps have that name, or MLflow does not
            understand the filter.
    """
    connection = connect_existing(uri, experiment)
    try:
        with asking(uri):
            found = list(_matching(connection, sweep, run_ids, where))
    except TrackingError as error:
        cause = error.__cause__
        if where and isinstance(cause, MlflowException) and cause.error_code == _NOT_UNDERSTOOD:
            raise UsageError(
                "--query must be a filter that MLflow understands, such as "
                f'"metrics.test_score > 0.9", but of {where!r} it says: {cause.message}'
            ) from error
        raise
    _check_all_found(found, run_ids)
    unwanted = frozenset() if weights else frozenset({WEIGHTS_FILE})
    with _calls(found) as each:
        begun = list(each(lambda run: _begun(connection, run, into), found))
        records = [item.record for item in begun if isinstance(item, _Begun)]
        roles = _shown(records) if arrays_of is None else arrays_of
        results = list(each(lambda item: _completed(item, roles, unwanted), begun))
    return Fetched(
        runs=tuple(item for item in results if isinstance(item, FetchedRun)),
        left_out=tuple(item for item in results if isinstance(item, LeftOut)),
    )


@contextmanager
def _calls(runs: Sequence[Run]) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield a `map` for what is done with each run: several at once if that means waiting."""
    if all(_local_folder(run.info.artifact_uri) for run in runs):
        yield map  # threads would only wait for each other
    else:
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            yield pool.map


def _shown(records: Sequence[RunRecord]) -> tuple[Role, ...]:
    """Return the roles whose arrays a report of these runs shows."""
    if any(record.value("test_score") is not None for record in records):
        return ("run", "final")
    return ("run", "trial", "final")


def filter_of(tags: Sequence[str], query: str | None) -> str | None:
    """Return MLflow's filter for runs that have all these tags and match a query; None for all.

    Args:
        tags: each as KEY=VALUE.
        query: a filter of MLflow; its parts can only be joined by `and`.

    Raises:
        UsageError: a tag has no key or no value, or one that MLflow cannot quote.
    """
    parts = []
    for tag in tags:
        key, equals, value = tag.partition("=")
        if not (key and equals) or "`" in key or ("'" in value and '"' in value):
            raise UsageError(
                f"--tag must be KEY=VALUE without backticks and mixed quotes, got {tag!r}."
            )
        quote = '"' if "'" in value else "'"
        parts.append(f"tags.`{key}` = {quote}{value}{quote}")
    return " and ".join([*parts, *([query] if query else [])]) or None


def latest_sweep(uri: str, *, experiment: str) -> str | None:
    """Return the MLflow run id of the sweep that began last, or of its group; None if none did.

    Raises:
        TrackingError: the store does not answer or has no such experiment.
    """
    connection = connect_existing(uri, experiment)
    with asking(uri):
        parents = list(_search(connection, {names.ROLE: names.SWEEP_ROLE}))
    if not parents:
        return None
    return str(parents[-1].data.tags.get(names.PARENT, parents[-1].info.run_id))


def sweeps_of(uri: str, sweep: str, *, experiment: str) -> tuple[str, dict[str, str]]:
    """Return the name of a sweep or group, and of its sweeps by MLflow run id: itself, or members.

    Args:
        uri: from `harness.tracking_uri.resolve_uri`.
        sweep: name of a sweep or group, or the MLflow run id of its run.
        experiment: its name.

    Raises:
        TrackingError: the store does not answer or has no such experiment.
        UsageError: there is no such sweep, or more than one.
    """
    connection = connect_existing(uri, experiment)
    with asking(uri):
        run = connection.client.get_run(_parent(connection, sweep))
        found = [run]
        if run.data.tags.get(names.ROLE) == names.GROUP_ROLE:
            nested = {names.ROLE: names.SWEEP_ROLE, names.PARENT: str(run.info.run_id)}
            found = list(_search(connection, nested))
    return _sweep_of(run), {str(each.info.run_id): _sweep_of(each) for each in found}


def _sweep_of(run: Run) -> str:
    return str(run.data.tags.get(names.SWEEP, run.info.run_id))


def _matching(
    connection: Connection, sweep: str | None, run_ids: Collection[str] | None, where: str | None
) -> Iterator[Run]:
    """Yield the runs asked for, oldest first; sweeps, reports and measurements are none."""
    tags = {} if sweep is None else {names.PARENT: _parent(connection, sweep)}
    for run in _search(connection, tags, where):
        if names.RUN_ID not in run.data.tags:
            continue  # somebody else's run in the same experiment
        if run.data.tags.get(names.ROLE) in _NO_RUNS:
            continue
        if run_ids is None or not {run.info.run_id, _bench_id(run)}.isdisjoint(run_ids):
            yield run


def _parent(connection: Connection, sweep: str) -> str:
    """Return the MLflow run id of the run of a sweep or group."""
    return _named(_parents(connection), sweep, connection.experiment)


def _parents(connection: Connection) -> list[Run]:
    """Return the runs of all sweeps and groups."""
    return [run for role in sorted(_PARENTS) for run in _search(connection, {names.ROLE: role})]


def _named(parents: Sequence[Run], sweep: str, experiment: str) -> str:
    for run in parents:
        if run.info.run_id == sweep:
            return sweep
    named = [run.info.run_id for run in parents if run.data.tags.get(names.SWEEP) == sweep]
    if len(named) == 1:
        return str(named[0])
    if named:
        raise UsageError(
            f"A sweep must be named without doubt, but {len(named)} are called {sweep!r}. "
            f"Give the run id of one: {', '.join(named)}."
        )
    known = sorted({str(run.data.tags.get(names.SWEEP)) for run in parents})
    raise UsageError(
        f"There is no sweep {sweep!r} in the experiment {experiment!r}. "
        f"It has: {', '.join(known) or 'none'}."
    )


def _search(
    connection: Connection, tags: dict[str, str], where: str | None = None
) -> Iterator[Run]:
    parts = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    filter_string = " and ".join([*parts, *([where] if where else [])])
    token: str | None = None
    while True:
        page = connection.client.search_runs(
            [connection.experiment_id], filter_string, max_results=_PAGE,
            order_by=["attributes.start_time ASC"], page_token=token,
        )  # fmt: skip
        yield from page
        token = page.token
        if not token:
            return


def _check_all_found(found: Sequence[Run], run_ids: Collection[str] | None) -> None:
    there = {name for run in found for name in (run.info.run_id, _bench_id(run))}
    missing = sorted(set(run_ids or ()) - there)
    if missing:
        raise UsageError(f"Every run asked for must exist, but there is no {missing[0]!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A run whose record has come."""

    run: Run
    source: _Artifacts
    record: RunRecord


def _begun(connection: Connection, run: Run, into: Path) -> _Begun | LeftOut:
    """Return one run with its record, or why it cannot be had."""
    try:
        digest = run.data.tags.get(names.RECORD_DIGEST)
        if digest is None:
            state = run.data.tags.get(names.STATUS, run.info.status)
            raise TrackingError(f"it has no record yet: its status is {state}.")
        source = _Artifacts(connection, run, into)
        path = source.get(RECORD_FILE, digest)
        record = read_record(path)
        if record is None:
            raise TrackingError(f"{path} was removed while it was read.")
    except BenchError as error:
        return _left_out(run, error)
    return _Begun(run=run, source=source, record=record)


def _completed(
    item: _Begun | LeftOut, arrays_of: Collection[Role], unwanted: Collection[str]
) -> FetchedRun | LeftOut:
    """Return the run with its arrays, if they are wanted, or why it cannot be had."""
    if isinstance(item, LeftOut):
        return item
    record, source = item.record, item.source
    try:
        if record.role in arrays_of:
            arrays = {*source.arrays(), *filter(_is_array, record.files)}
            for name in sorted(arrays - set(unwanted)):
                source.get(name, record.files.get(name))
    except BenchError as error:
        return _left_out(item.run, error)
    return FetchedRun(
        record=record, folder=source.folder, mlflow_run_id=item.run.info.run_id,
        address=source.page(),
    )  # fmt: skip


def _left_out(run: Run, error: BenchError) -> LeftOut:
    return LeftOut(run_id=_bench_id(run), mlflow_run_id=run.info.run_id, reason=str(error))


class _Artifacts:
    """The files of one run: in place if they lie on this machine, else in the cache."""

    def __init__(self, connection: Connection, run: Run, into: Path) -> None:
        self._connection = connection
        self._run_id = str(run.info.run_id)
        self._experiment_id = run.info.experiment_id
        self._here = _local_folder(run.info.artifact_uri)
        self.folder = self._here or into.expanduser().absolute() / self._run_id

    def page(self) -> str | None:
        """Return the address of the run at the tracking server; None without a server."""
        if not is_server(self._connection.uri):
            return None
        pages = public_uri(self._connection.uri).rstrip("/")
        return f"{pages}/#/experiments/{self._experiment_id}/runs/{self._run_id}"

    def arrays(self) -> list[str]:
        """Return the names of the run's `.npz` files."""
        if self._here is not None:
            return sorted(path.name for path in self._here.glob("*.npz"))
        with asking(self._connection.uri):
            listed = self._connection.client.list_artifacts(self._run_id)
        return sorted(item.path for item in listed if _is_array(item.path))

    def get(self, name: str, digest: str | None) -> Path:
        """Return a file, downloaded unless it is there with this digest.

        Args:
            name: of the file.
            digest: its SHA-256; None if unknown: then any file that is there will do.

        Raises:
            TrackingError: it is missing or damaged.
        """
        path = self.folder / name
        if self._here is None and not _is_whole(path, digest):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(self.folder, error) from error
            with asking(self._connection.uri):
                self._connection.client.download_artifacts(self._run_id, name, str(self.folder))
        if not _is_whole(path, digest):
            raise TrackingError(
                f"{name} must be there with the digest that its run names, but {path} is missing, "
                "changed or damaged. To send it again, delete `sent.json` in the run's folder "
                "where it was made and repeat `bench sync` there."
            )
        return path


def _is_whole(path: Path, digest: str | None) -> bool:
    return path.is_file() and digest in (None, file_digest(path))


def _is_array(name: str) -> bool:
    return name.endswith(".npz")


def _local_folder(artifact_uri: str) -> Path | None:
    parts = urlsplit(artifact_uri)
    if parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path))
    return folder if folder.is_dir() else None


def _bench_id(run: Run) -> str:
    return str(run.data.tags.get(names.RUN_ID, run.info.run_id))


def sweep_params(
    uri: str, sweeps: Collection[str], *, experiment: str
) -> dict[str, dict[str, str] | str]:
    """Return what the parent run of each sweep says of its plan: `sweep.<field>` as texts.

    A sweep that is not there, or more than once, gets the reason instead.

    Args:
        uri: from `harness.tracking_uri.resolve_uri`.
        sweeps: names, or MLflow run ids of parent runs.
        experiment: its name.

    Raises:
        TrackingError: the store does not answer or has no such experiment.
    """
    connection = connect_existing(uri, experiment)
    with asking(uri):
        parents = _parents(connection)
    by_id = {str(run.info.run_id): dict(run.data.params) for run in parents}
    found: dict[str, dict[str, str] | str] = {}
    for sweep in sweeps:
        try:
            found[sweep] = by_id[_named(parents, sweep, experiment)]
        except UsageError as error:
            found[sweep] = str(error)
    return found
