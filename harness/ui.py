"""`bench ui`: MLflow's own web pages on a tracking store, for this machine only.

The server runs as a process group of its own and ends with this one. It is told to start one
worker (the default is fifteen processes and 3 GB) and to leave out what bench does not use: job
runners, the gateway to language models, telemetry. It has no log-in, so it listens on loopback.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from harness.errors import TrackingError, UsageError
from harness.mlflow_view import DEFAULT_EXPERIMENT, page_path
from harness.tracking_uri import is_server, public_uri, sqlite_file

DEFAULT_PORT = 5000

_LOOPBACK = ("127.0.0.1", "localhost")
_PORTS_TRIED = 20
_PATIENCE_S = 180.0  # measured: 28 s on two idle cores
_GRACE_S = 5.0
_POLL_S = 0.3

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_AI_GATEWAY": "false",
    "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
}


def serve(
    uri: str,
    *,
    port: int = DEFAULT_PORT,
    host: str = "127.0.0.1",
    experiment: str = DEFAULT_EXPERIMENT,
    ready: Callable[[str], None],
) -> None:
    """Show a store in MLflow's pages until Ctrl-C or SIGTERM.

    Args:
        uri: from `harness.tracking_uri.resolve_uri`; of a server, its address is told and no
            other is started.
        port: the first to try; a busy one is passed over for the next that is free.
        host: a loopback address.
        experiment: whose table of runs the address leads to.
        ready: takes the address once it can be opened.

    Raises:
        UsageError: `host` would be reachable from outside, or `port` is none.
        TrackingError: there is no store, no port is free, or the server did not start.
    """
    if is_server(uri):
        ready(page_address(uri, experiment))
        return
    with _terminable(), server(uri, port=port, host=host) as running:
        ready(page_address(running.address, experiment))
        running.wait()


@contextmanager
def server(
    uri: str,
    *,
    port: int = DEFAULT_PORT,
    host: str = "127.0.0.1",
    patience_s: float = _PATIENCE_S,
) -> Iterator[Server]:
    """Run a tracking server on a database; it answers when the body starts, and ends after it.

    Raises:
        UsageError: `host` would be reachable from outside, or `port` is none.
        TrackingError: there is no store, no port is free, or the server did not start.
    """
    _check(uri, port, host)
    chosen = free_port(port, host)
    with tempfile.TemporaryFile() as log:
        running = Server(f"http://{host}:{chosen}", _start(uri, chosen, host, log), log)
        try:
            running.wait_until_ready(patience_s)
            yield running
        finally:
            running.stop()


class Server:
    """A running tracking server.

    Attributes:
        address: such as "http://127.0.0.1:5000".
        process: the leader of its process group.
    """

    def __init__(self, address: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.address = address
        self.process = process
        self._log = log

    def wait_until_ready(self, patience_s: float) -> None:
        """Poll until it answers.

        Raises:
            TrackingError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise TrackingError(f"MLflow's server must start, but it ended: {self._words()}")
            if _answers(f"{self.address}/health"):
                return
            time.sleep(_POLL_S)
        raise TrackingError(
            f"MLflow's server must answer within {patience_s:g} s, but did not: {self._words()}"
        )

    def wait(self) -> None:
        """Wait until somebody stops this process.

        Raises:
            TrackingError: the server ended by itself.
        """
        try:
            self.process.wait()
        except KeyboardInterrupt:
            return
        raise TrackingError(f"MLflow's server ended by itself: {self._words()}")

    def stop(self) -> None:
        """End the whole process group, gently first; calling it again does nothing."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()

    def _words(self) -> str:
        """Return the last line of what the server printed."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else "it printed nothing."


def page_address(address: str, experiment: str) -> str:
    """Return the address of an experiment's table of runs; the start page if it does not tell.

    A server that wants a password is not given one here: the browser asks for it.
    """
    page = public_uri(address)
    query = urllib.parse.urlencode({"experiment_name": experiment})
    url = f"{page}/api/2.0/mlflow/experiments/get-by-name?{query}"
    try:
        with urllib.request.urlopen(url, timeout=_GRACE_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return f"{page}{page_path(found['experiment'])}"
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return page


def free_port(first: int, host: str) -> int:
    """Return the first port from `first` on that nobody listens to.

    Raises:
        TrackingError: all of the next twenty are taken.
    """
    last = min(first + _PORTS_TRIED - 1, 65_535)
    for port in range(first, last + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # A port just left by another server is free, as the server itself will find.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise TrackingError(
        f"One of the ports {first} to {last} must be free, but all are taken. "
        "Choose another with --port."
    )


def _check(uri: str, port: int, host: str) -> None:
    if host not in _LOOPBACK:
        raise UsageError(
            f"`host` must be one of {', '.join(_LOOPBACK)}, got {host!r}: MLflow's pages ask for "
            "no password. To reach them from elsewhere use an SSH tunnel."
        )
    if not 1 <= port <= 65_535:
        raise UsageError(f"`port` must be at least 1 and at most 65535, got {port!r}.")
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        raise TrackingError(
            f"There must be runs to look at, but there is no {file}. "
            "Run `bench run` first, or name another store with --tracking-uri."
        )


def _start(uri: str, port: int, host: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    file = sqlite_file(uri)
    command = [
        # -P: the current folder may hold a module of the same name as one of MLflow's.
        sys.executable, "-P", "-m", "mlflow", "server", "--host", host, "--port", str(port),
        "--workers", "1", "--allowed-hosts", "localhost:*,127.0.0.1:*",
    ]  # fmt: skip
    if file is not None:
        command += ["--artifacts-destination", (file.parent / "artifacts").as_uri()]
    # The address goes by environment: it may hold a password, and commands are seen by everybody.
    environment = os.environ | _ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": uri}
    folder = file.parent if file is not None else Path.cwd()
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder,
        start_new_session=True,
    )  # fmt: skip


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_GRACE_S) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the server as Ctrl-C does, instead of leaving it behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        return  # before the server was ready
    finally:
        signal.signal(signal.SIGTERM, before)
