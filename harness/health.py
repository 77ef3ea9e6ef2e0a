"""Whether what bench keeps is in order: output folder, tracking store, sweeps. Mends nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from harness import mlflow_names as names
from harness.errors import BenchError
from harness.liveness import is_alive
from harness.mlflow_client import Connection, asking, connect_existing
from harness.sent_notes import unsent
from harness.store import Store
from harness.store_id import store_id
from harness.tracking_uri import destination, public_uri, sqlite_file

LEAST_FREE_GIB = 1.0
"""Predictions and pictures of a long sweep fit into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one thing.

    Attributes:
        what: the thing.
        text: how it stands, and what to do about it if something is to be done.
        ok: False if it keeps bench from working.
    """

    what: str
    text: str
    ok: bool = True


def examine(store: Store, uri: str, experiment: str) -> Iterator[Finding]:
    """Yield how output folder, tracking store and runs to be sent stand.

    Args:
        store: the output folder.
        uri: from `harness.tracking_uri.resolve_uri`.
        experiment: name in MLflow.
    """
    yield _folder(store)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        yield Finding(what="tracking store", text=f"{public_uri(uri)}: the first run makes it")
        return
    try:
        connection = connect_existing(uri, experiment)
        dead = _dead_runs(store, connection)
    except BenchError as error:
        yield Finding(what="tracking store", text=str(error), ok=False)
        return
    yield Finding(what="tracking store", text=f"{public_uri(uri)} answers")
    if dead:
        text = f"{dead} read RUNNING though their process is gone: `bench sync` ends them"
        yield Finding(what="dead runs", text=text)
    waiting = unsent(store, destination(uri, experiment))
    if waiting:
        text = f"{len(waiting)} have not reached the tracking store: `bench sync` sends them"
        yield Finding(what="unsent runs", text=text)


def _folder(store: Store) -> Finding:
    if not store.root.exists():
        parent = next(path for path in store.root.parents if path.exists())
        if os.access(parent, os.W_OK):
            return Finding(what="output folder", text=f"{store.root}: the first run makes it")
    try:
        store.check_writable()
    except BenchError as error:
        return Finding(what="output folder", text=str(error), ok=False)
    free_gib = shutil.disk_usage(store.root).free / 2**30
    text = f"{store.root}: writable, {free_gib:.1f} GiB free"
    if free_gib < LEAST_FREE_GIB:
        return Finding(what="output folder", text=f"{text}; make room or use --out", ok=False)
    return Finding(what="output folder", text=text)


def _dead_runs(store: Store, connection: Connection) -> int:
    """Count the runs of this folder that read RUNNING though their process is gone."""
    with asking(connection.uri):
        running = connection.client.search_runs(
            [connection.experiment_id], "attributes.status = 'RUNNING'", max_results=1000
        )
    ours = store_id(store.root)
    mine = [run.data.tags for run in running if run.data.tags.get(names.STORE) == ours]
    return sum(not is_alive(store.root, tags.get(names.OWNER, "")) for tags in mine)
