"""Makes MLflow's database in one step: it is there whole, or not at all.

MLflow makes a new SQLite file by some fifty migrations, each of several commits. Measured: killed
on the way it leaves a file that it refuses for ever ("table already exists"), in 5 of 12 trials.
So the migrations run on a file beside it, which is then given its name.
"""

from __future__ import annotations

from pathlib import Path

from harness.mlflow_api import SqlAlchemyStore


def make_database(file: Path, artifacts: Path) -> None:
    """Make an empty MLflow store in a SQLite file that is not there yet.

    Only one process at a time may do this: the caller holds a lock.

    Args:
        file: the database.
        artifacts: folder for runs of MLflow's experiment "Default", which every store has.
    """
    unfinished = file.with_name(f".{file.name}.new")
    _remove(unfinished)  # of a process that was killed here
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        uri = f"sqlite:///{unfinished}"
        store = SqlAlchemyStore(uri, artifacts.as_uri())  # type: ignore[no-untyped-call]
        store.engine.dispose()
        unfinished.replace(file)
    finally:
        _remove(unfinished)


def _remove(file: Path) -> None:
    for path in (file, file.with_name(f"{file.name}-journal")):
        path.unlink(missing_ok=True)
