"""The door to MLflow's stores: with short patience, errors in our words."""

from __future__ import annotations

import fcntl
import http.client
import logging
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import BenchError, TrackingError
from harness.mlflow_api import Experiment, MlflowClient
from harness.mlflow_database import make_database
from harness.mlflow_view import experiment_tags
from harness.tracking_uri import is_server, public_uri, sqlite_file

_PROBE_S = 5.0
"""Patience for the first contact: a user waits for it before anything starts."""

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An experiment of a tracking store."""

    client: MlflowClient
    uri: str
    experiment: str
    experiment_id: str


def connect(uri: str, experiment: str, *, root: Path) -> Connection:
    """Open an experiment; make the database and the experiment if they are new.

    Only one process at a time does this: two that create one SQLite file break it for ever.

    Args:
        uri: from `harness.tracking_uri.resolve_uri`.
        experiment: name; made if there is none.
        root: the output folder: artifacts go below it if the store is a database.

    Raises:
        TrackingError: the store refused, did not answer in seconds, or the name was deleted.
    """
    with asking(uri):
        with one_at_a_time(_lock_file(uri, root)):
            file = sqlite_file(uri)
            if file is not None and not file.exists():
                make_database(file, _artifact_folder(uri, root))
            client = open_client(uri)
            found = client.get_experiment_by_name(experiment)
            if found is None:
                location = None if is_server(uri) else _artifact_folder(uri, root).as_uri()
                identity = client.create_experiment(
                    experiment, artifact_location=location, tags=experiment_tags()
                )
                return Connection(
                    client=client, uri=uri, experiment=experiment, experiment_id=identity
                )
        return Connection(
            client=client, uri=uri, experiment=experiment, experiment_id=_active(found, uri)
        )


def connect_existing(uri: str, experiment: str) -> Connection:
    """Open an experiment to read from it; nothing is made.

    Raises:
        TrackingError: the store does not answer, or has no such experiment.
    """
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise TrackingError(
            f"The tracking store must exist to be read, but there is no {file}. "
            "Run `bench run` first, or name another store with --tracking-uri."
        )
    with asking(uri):
        client = open_client(uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = sorted(e.name for e in client.search_experiments(max_results=20))
            raise TrackingError(
                f"There is no experiment {experiment!r} in {public_uri(uri)}. "
                f"It has: {', '.join(names) or 'none'}."
            )
        return Connection(
            client=client, uri=uri, experiment=experiment, experiment_id=_active(found, uri)
        )


def open_client(uri: str) -> MlflowClient:
    """Return a client of a store that answers within seconds.

    MLflow itself tries a database that cannot be opened for more than a minute.

    Raises:
        TrackingError: the server or database did not answer.
    """
    # MLflow imports numba, alembic and more on first use and lets them write to standard error.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    file = sqlite_file(uri)
    check_answers(uri)
    if file is not None:
        _probe_file(file)
    elif not is_server(uri):
        _probe_database(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def check_answers(uri: str) -> None:
    """Ask a server whether it is there; of other stores nothing can be said in advance.

    Raises:
        TrackingError: it did not answer within seconds.
    """
    if is_server(uri):
        _probe_server(uri)


@contextmanager
def asking(uri: str) -> Iterator[None]:
    """Turn whatever goes wrong between us and the store into one line.

    Raises:
        TrackingError: MLflow, its database driver or its artifact store raised.
    """
    try:
        yield
    except BenchError:
        raise
    # MLflow lets errors of every driver and cloud library through: there is no common base.
    except Exception as error:
        raise TrackingError(
            f"The tracking store {public_uri(uri)} must answer, but it said: "
            f"{_first_line(error, uri)}.{_advice(error)}"
        ) from error


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock file; the kernel lets go when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _active(found: Experiment, uri: str) -> str:
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"The experiment {found.name!r} in {public_uri(uri)} must not be deleted. Restore it "
            f"with `mlflow experiments restore --experiment-id {found.experiment_id}`, or choose "
            "another name with --experiment."
        )
    return str(found.experiment_id)


def _probe_server(uri: str) -> None:
    """Wait `_PROBE_S` at most for any HTTP answer; "unauthorised" is an answer too."""
    # Without the password: urllib would take it for a part of the host's name.
    request = urllib.request.Request(f"{public_uri(uri)}/health")
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_S):
            return
    except urllib.error.HTTPError as answer:
        answer.close()
    # URLError is an OSError; what answers in another language than HTTP is an HTTPException.
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TrackingError(
            f"The tracking server {public_uri(uri)} must answer within {_PROBE_S:g} s, but: "
            f"{_first_line(error, uri)}. Start it, or name another store with --tracking-uri."
        ) from error


def _probe_file(file: Path) -> None:
    """Open a SQLite file if there is one; MLflow makes it if there is none."""
    if not file.exists():
        return
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as database:
        database.execute("PRAGMA schema_version")


def _probe_database(uri: str) -> None:
    """Reach the port of a database server."""
    parts = urlsplit(uri)
    port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), timeout=_PROBE_S).close()


def _artifact_folder(uri: str, root: Path) -> Path:
    file = sqlite_file(uri)
    return (file.parent if file is not None else root) / "artifacts"


def _lock_file(uri: str, root: Path) -> Path:
    file = sqlite_file(uri)
    return file.with_name(f".{file.name}.lock") if file is not None else root / ".tracking.lock"


def _first_line(error: BaseException, uri: str) -> str:
    text = str(getattr(error, "reason", "") or error).strip() or type(error).__name__
    line = text.splitlines()[0].strip().rstrip(".")
    return line.replace(uri, public_uri(uri))[:300]  # MLflow's errors name it with the password


def _advice(error: BaseException) -> str:
    text = str(error)
    if "out-of-date database schema" in text or "db upgrade" in text:
        return " Back it up, then run `mlflow db upgrade` on it."
    if "locked" in text:
        return " Another program holds it: close that and repeat the command."
    return ""
