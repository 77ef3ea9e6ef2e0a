"""A tracking server that hangs, refuses or dies in the middle of a sweep: training does not care.

One real `mlflow server` on loopback serves all tests here.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from forking import Forked
from projected import check_stores
from toy_sweep import sweep, toy_plan
from tracked import new_store
from tracked_sweep import Nursery

from harness.store import Store
from harness.track import Tracker
from harness.ui import Server, server
from sweeps.study import load_table

pytestmark = pytest.mark.slow

FIRST_PORT = 5700
SECONDS = 30
"""Generous for what should take less than ten: the machine may be busy. MLflow alone would wait
half a minute for each of several calls, or minutes with its own settings."""


class Remote:
    """The server, its database and the sweeps that send to it."""

    def __init__(self, database: Path, nursery: Nursery, said: Path, stack: ExitStack) -> None:
        self.database, self.nursery = database, nursery
        self._said, self._read, self._stack = said, 0, stack
        self._serve(FIRST_PORT)

    def revive(self) -> None:
        """Start the server again if it is dead, on the same port."""
        if self.running.process.poll() is not None:
            address = self.running.address
            self._serve(int(address.rpartition(":")[2]))
            assert self.running.address == address

    def _serve(self, port: int) -> None:
        context = server(f"sqlite:///{self.database}", port=port)
        self.running: Server = self._stack.enter_context(context)

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.running.process.pid, number)

    def start(self, store: Store, total: int, **wish: object) -> Forked:
        self.revive()  # should another test have killed it
        self._read = len(self._said.read_text())
        name = store.root.name
        return self.nursery.start(
            store.root, total=total, workers=2, delay_s=0.3, uri=self.running.address,
            tracker={"experiment": name, "cool_down_s": 1.0}, **wish,
        )  # fmt: skip

    def said(self) -> str:
        """Return what the sweep started last has said."""
        return self._said.read_text()[self._read :]

    def check(self, store: Store) -> None:
        uri = f"sqlite:///{self.database}"
        check_stores(store, uri=uri, experiment=store.root.name)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("server")
    database = new_store(folder / "store", tmp_path_factory).root / "mlflow.db"
    said = folder / "said.txt"
    with ExitStack() as stack, Nursery(said) as nursery:
        yield Remote(database, nursery, said, stack)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / tmp_path.name)  # its name is the experiment's, too


def ended(store: Store) -> int:
    return len(list(store.root.glob("runs/*/record.json")))


def until(condition: Callable[[], bool], limit_s: float = 4 * SECONDS) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_a_server_that_hangs_gets_everything_in_the_same_command(
    remote: Remote, store: Store
) -> None:
    brief = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    running = remote.start(store, 24, environment=brief)
    until(lambda: ended(store) >= 3)
    remote.signal(signal.SIGSTOP)
    before = ended(store)
    until(lambda: "The work goes on" in remote.said())
    until(lambda: ended(store) >= before + 3)  # trials end while it hangs
    assert running.poll() is None
    remote.signal(signal.SIGCONT)
    assert running.wait(4 * SECONDS) == 0
    assert "answers again" in remote.said()
    assert "Not everything" not in remote.said()
    remote.check(store)


def test_a_sweep_ends_within_seconds_though_the_server_hangs(
    remote: Remote, store: Store, tmp_path: Path
) -> None:
    running = remote.start(store, 6)
    until(lambda: ended(store) >= 2)
    remote.signal(signal.SIGSTOP)
    try:
        until(lambda: ended(store) == 6 + 3)
        assert running.wait(SECONDS) == 0
    finally:
        remote.signal(signal.SIGCONT)
    assert "`bench sync` or the next command sends it" in remote.said()
    calm = sweep(Store(tmp_path / "calm"), toy_plan(), total=6)
    assert load_table(store, "toy")[1] == calm.trials
    assert remote.start(store, 6).wait(4 * SECONDS) == 0
    remote.check(store)


def test_ctrl_c_is_prompt_though_the_server_hangs(remote: Remote, store: Store) -> None:
    running = remote.start(store, 6)
    until(lambda: ended(store) >= 2)
    remote.signal(signal.SIGSTOP)
    try:
        until(lambda: ended(store) >= 4)
        running.send_signal(signal.SIGINT)
        assert running.wait(SECONDS) == 130
    finally:
        remote.signal(signal.SIGCONT)
    assert "Error: Stopped by SIGINT." in remote.said()
    assert remote.start(store, 6).wait(4 * SECONDS) == 0
    remote.check(store)


def test_a_server_whose_store_cannot_be_written_gets_everything_from_sync(
    remote: Remote, store: Store
) -> None:
    running = remote.start(store, 6)
    until(lambda: ended(store) >= 2)
    # SQLite's journal cannot be made: the server answers each call with an error.
    obstacle = remote.database.with_name("mlflow.db-journal")
    until(lambda: made(obstacle))
    try:
        until(lambda: ended(store) == 6 + 3)
        assert running.wait(SECONDS) == 0
    finally:
        obstacle.rmdir()
    assert "The work goes on" in remote.said()
    assert "`bench sync` or the next command sends it" in remote.said()
    sync_twice(remote, store)


def made(folder: Path) -> bool:
    """Make a folder unless a transaction of SQLite has a file of that name just now."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def test_a_server_that_dies_gets_everything_from_sync(remote: Remote, store: Store) -> None:
    running = remote.start(store, 6)
    until(lambda: ended(store) >= 2)
    remote.signal(signal.SIGKILL)
    remote.running.process.wait(SECONDS)
    until(lambda: ended(store) == 6 + 3)
    assert running.wait(SECONDS) == 0
    assert "The work goes on" in remote.said()
    remote.revive()
    sync_twice(remote, store)


def sync_twice(remote: Remote, store: Store) -> None:
    with Tracker(remote.running.address, store, experiment=store.root.name) as tracker:
        first, second = tracker.sync(), tracker.sync()
    assert first.sent >= 1
    assert first.failed == second.failed == {}
    assert (second.sent, second.buried) == (0, 0)
    remote.check(store)
