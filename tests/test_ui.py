"""MLflow's pages on loopback, and a tracking server that hangs, dies and comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tracked import CONFIG, MANIFEST, answering, new_store, point, trial

from harness.errors import TrackingError, UsageError
from harness.fetch import fetch
from harness.mlflow_api import Run
from harness.mlflow_client import open_client
from harness.mlflow_view import page_path
from harness.predictions import write_npz
from harness.store import Store
from harness.track import Tracker
from harness.ui import Server, free_port, page_address, serve, server

# MLflow 3.17 with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)

ROOT = Path(__file__).parent.parent
FIRST_PORT = 5600


def database(store: Store) -> str:
    return f"sqlite:///{store.root / 'mlflow.db'}"


def runs_at(uri: str, experiment: str) -> dict[str, Run]:
    client = open_client(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    assert len({run.data.tags["bench.run_id"] for run in runs}) == len(runs)
    return {run.data.tags["bench.run_id"]: run for run in runs}


def status_of(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_busy_port_is_passed_over() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        busy = first.getsockname()[1]
        assert busy < free_port(busy, "127.0.0.1") < busy + 20


def test_all_ports_taken_is_an_error() -> None:
    with socket.socket() as last:
        last.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        last.bind(("127.0.0.1", 65_535))
        last.listen()
        with pytest.raises(TrackingError, match="ports 65535 to 65535 must be free"):
            free_port(65_535, "127.0.0.1")


def test_nobody_outside_is_let_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got '0\.0\.0\.0'.*SSH tunnel"):
        serve(database(Store(tmp_path)), host="0.0.0.0", ready=print)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_out_of_range_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(UsageError, match="`port` must be at least 1"):
        serve(database(Store(tmp_path)), port=port, ready=print)


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"there is no .*mlflow\.db"):
        serve(database(Store(tmp_path)), ready=print)
    assert list(tmp_path.iterdir()) == []


def test_a_remote_server_is_only_pointed_at() -> None:
    told: list[str] = []
    serve("http://user:secret@127.0.0.1:9", ready=told.append)
    assert told == ["http://127.0.0.1:9"]


def test_the_page_of_a_server_with_a_password_names_none() -> None:
    found = '{"experiment": {"experiment_id": "7", "tags": []}}'
    with answering(f"HTTP/1.0 200 OK\r\n\r\n{found}") as host:
        page = page_address(f"http://user:secret@{host}", "bench")
    assert page == f"http://{host}{page_path({'experiment_id': '7', 'tags': []})}"
    assert page_address("http://user:secret@127.0.0.1", "bench") == "http://127.0.0.1"


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 500)
    uri = database(Store(tmp_path))
    with (
        pytest.raises(TrackingError, match="server must"),
        server(uri, port=FIRST_PORT + 50, patience_s=6),
    ):
        pytest.fail("it started")


SERVE = """
import sys
from harness.ui import serve
serve(sys.argv[1], port=int(sys.argv[2]), experiment="remote",
      ready=lambda address: print(address, flush=True))
"""


@pytest.mark.slow
def test_a_server_that_hangs_dies_and_comes_back(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    store = new_store(tmp_path / "bench-runs", tmp_path_factory)
    told: list[str] = []
    with server(database(store), port=FIRST_PORT) as running:
        tracker = Tracker(
            running.address, store, experiment="remote", notify=told.append, cool_down_s=0.05
        )
        _works_over_http(tracker, store, running, tmp_path / "elsewhere")
        assert told == []
        _hangs(tracker, running, told)
        _dies(tracker, running, told)
    assert store.read_record("demo-t002") == trial(2)

    port = running.address.rpartition(":")[2]
    again = subprocess.Popen(
        [sys.executable, "-c", SERVE, database(store), port], cwd=ROOT, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert again.stdout is not None
        page = again.stdout.readline()
        assert page.startswith(f"{running.address}/#/experiments/")
        assert page.strip().endswith(
            "/runs?workflowType=machine_learning&viewStateShareKey=bench-sweep"
        )
        with Tracker(running.address, store, experiment="remote") as later:
            assert later.sync().sent == 1
        statuses = {k: r.info.status for k, r in runs_at(running.address, "remote").items()}
        assert statuses == {
            "demo-t000": "FINISHED", "demo-t001": "FINISHED", "demo-t002": "FINISHED",
            "sweep:demo": "KILLED",  # its owner is gone and never closed it
        }  # fmt: skip
    finally:
        again.terminate()
        assert again.wait(30) == 0
        again.communicate()
    with socket.socket() as probe:  # nothing was left behind
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def _works_over_http(tracker: Tracker, store: Store, running: Server, cache: Path) -> None:
    """A run arrives over HTTP and is read back on a machine that has only the address."""
    tracker.open_sweep(MANIFEST)
    tracker.begin("demo-t000", "trial", "demo", 0, CONFIG)
    tracker.epoch("demo-t000", point(1))
    write_npz(store.run_dir("demo-t000") / "predictions-validation.npz", {"ids": np.arange(3)})
    tracker.finish(trial(0))
    assert tracker.flush()
    assert runs_at(running.address, "remote")["demo-t000"].info.status == "FINISHED"

    times = []
    for _ in range(2):
        fetched = fetch(running.address, experiment="remote", into=cache)
        [done] = fetched.runs
        assert (done.record, fetched.left_out) == (trial(0), ())
        assert done.folder.parent == cache
        with np.load(done.folder / "predictions-validation.npz") as arrays:
            assert arrays["ids"].tolist() == [0, 1, 2]
        times.append([path.stat().st_mtime_ns for path in sorted(done.folder.iterdir())])
    assert times[0] == times[1]  # what is there is not downloaded again

    experiments = (
        f"{running.address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=remote"
    )
    assert status_of(experiments) == 200
    assert status_of(experiments, Host="10.evil.example.com") == 403


def _hangs(tracker: Tracker, running: Server, told: list[str]) -> None:
    os.killpg(running.process.pid, signal.SIGSTOP)
    start = time.perf_counter()
    tracker.begin("demo-t001", "trial", "demo", 1, CONFIG)
    tracker.epoch("demo-t001", point(1))
    tracker.finish(trial(1))
    assert time.perf_counter() - start < 0.5  # training goes on
    assert tracker.flush()
    assert time.perf_counter() - start < 30
    assert len(told) == 1
    assert "The work goes on" in told[0]
    os.killpg(running.process.pid, signal.SIGCONT)
    time.sleep(1)  # longer than the pauses so far: 0.05, 0.1, 0.2
    tracker.begin("demo-t002", "trial", "demo", 2, CONFIG)
    assert tracker.flush()
    assert "answers again: 1 runs were sent" in told[1]
    statuses = {k: r.info.status for k, r in runs_at(running.address, "remote").items()}
    assert statuses == {
        "sweep:demo": "RUNNING", "demo-t000": "FINISHED", "demo-t001": "FINISHED",
        "demo-t002": "RUNNING",
    }  # fmt: skip


def _dies(tracker: Tracker, running: Server, told: list[str]) -> None:
    os.killpg(running.process.pid, signal.SIGKILL)
    start = time.perf_counter()
    tracker.epoch("demo-t002", point(1))
    tracker.finish(trial(2))
    assert time.perf_counter() - start < 0.5
    tracker.close(patience_s=30)
    assert time.perf_counter() - start < 30
    assert "The work goes on" in told[2]
    assert "`bench sync` or the next command sends it" in told[3]
    assert len(told) == 4
