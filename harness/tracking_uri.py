"""Which tracking store is meant: explicit address, environment or default; checked without MLflow.

Accepted are a SQLite file, another database that MLflow can use, and a tracking server. MLflow's
own default depends on the current directory and may fall back to a store of loose files, so
bench always names the store in full.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from harness.errors import TrackingError

ENVIRONMENT = "MLFLOW_TRACKING_URI"
DATABASE_FILE = "mlflow.db"

_DATABASES = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
_SERVERS = frozenset({"http", "https"})
_WAY_OUT = "Use sqlite:///ABSOLUTE/PATH.db, http://HOST:PORT, or leave it out."


def resolve_uri(explicit: str | None, root: Path) -> str:
    """Return the tracking URI to use: explicit, else from the environment, else `root/mlflow.db`.

    Args:
        explicit: what the user asked for; None or "" if nothing.
        root: the output folder.

    Returns:
        A checked URI; the path of a SQLite file in it is absolute.

    Raises:
        TrackingError: MLflow could not use it, or only with loose files, which it gave up.
    """
    given = (explicit or os.environ.get(ENVIRONMENT) or "").strip()
    if not given:
        return f"sqlite:///{root.expanduser().absolute() / DATABASE_FILE}"
    return _checked(given)


def is_server(uri: str) -> bool:
    """Tell whether the store is reached over HTTP."""
    return urlsplit(uri).scheme in _SERVERS


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other store."""
    scheme, _, path = uri.partition(":///")
    return Path(path.partition("?")[0]) if scheme.partition("+")[0] == "sqlite" else None


def public_uri(uri: str) -> str:
    """Return the address without user name, password and query, fit to be printed and stored."""
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri.partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def destination(uri: str, experiment: str) -> str:
    """Return the key under which a run notes where it was sent; holds no password."""
    secret = hashlib.sha256(uri.encode()).hexdigest()[:8]
    return f"{public_uri(uri)}#{experiment}@{secret}"


def _checked(given: str) -> str:
    scheme, separator, rest = given.partition(":")
    kind = scheme.partition("+")[0].lower()
    if kind == "file" or not separator:
        raise TrackingError(
            f"The tracking store must be a database or a server, but {_shown(given)!r} names a "
            f"folder of files, which MLflow no longer supports. {_WAY_OUT}"
        )
    if kind == "databricks":
        return given
    if kind not in _DATABASES | _SERVERS:
        raise TrackingError(
            f"The tracking URI must start with sqlite, postgresql, mysql, mssql, http or https, "
            f"but got {_shown(given)!r}. {_WAY_OUT}"
        )
    if kind == "sqlite":
        return _absolute_sqlite(given, rest)
    return _with_host(given)


def _absolute_sqlite(given: str, rest: str) -> str:
    path = rest.removeprefix("///")
    if not rest.startswith("///") or not path or path.startswith(":memory:"):
        raise TrackingError(
            f"A SQLite tracking store must be a file, but got {_shown(given)!r}. "
            "Write three slashes and a path: sqlite:///ABSOLUTE/PATH.db."
        )
    return f"sqlite:///{Path(path).expanduser().absolute()}"


def _with_host(given: str) -> str:
    try:
        parts = urlsplit(given)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # such as a port that is no number
        named = False
    if not named:
        raise TrackingError(
            f"The tracking URI must name a host and a valid port, but got {_shown(given)!r}. "
            f"{_WAY_OUT}"
        )
    return given.rstrip("/")


def _shown(given: str) -> str:
    """Return what was given, malformed as it may be, without what may be a password."""
    return re.sub(r"(?s)^(\w[\w+.-]*://)?.*@", r"\1***@", given).partition("?")[0]
