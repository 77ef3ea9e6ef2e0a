"""A sweep of the toy that is tracked in MLflow, as a program that can be killed, cold or warm.

    python tests/tracked_sweep.py OUT WISH     one sweep; importing MLflow takes seconds
    python tests/tracked_sweep.py              a nursery: forks sweeps on demand, within a moment

WISH is that of `toy_sweep`, and if wanted `uri`, other options of the `tracker` and variables of
the `environment`. What the sweep says goes to its standard error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__)


class Coordinator:
    """A sweep in a process of its own."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """Return the exit code, None while it runs; a signal's number comes negative."""
        if self.returncode is None:
            self.returncode = self._nursery.ask(poll=self.pid)
        return self.returncode

    def wait(self, limit_s: float) -> int:
        deadline = time.monotonic() + limit_s
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"it did not end within {limit_s} s"
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Nursery:
    """Starts tracked sweeps; what they say is appended to a file.

    Args:
        said: that file.
        within: a command that runs another one, such as `nsenter`.
    """

    def __init__(self, said: Path, within: tuple[str, ...] = ()) -> None:
        self._command = [*within, sys.executable, str(HERE)]
        self._said = said
        with said.open("ab") as file:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file,
                text=True, bufsize=1, env=environment(),
            )  # fmt: skip

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        """End it and all that it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, out: Path, **wish: Any) -> Coordinator:
        return Coordinator(self.ask(start=[str(out), wish]), self)

    def run(self, out: Path, limit_s: float = 120, **wish: Any) -> int:
        """Run one to its end; return the exit code."""
        return self.start(out, **wish).wait(limit_s)

    def cold(self, out: Path, **wish: Any) -> subprocess.Popen[bytes]:
        """Start one that has to import everything itself."""
        with self._said.open("ab") as file:
            return subprocess.Popen(
                [*self._command, str(out), json.dumps(wish)], stderr=file,
                stdout=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        return json.loads(self._process.stdout.readline())


def environment() -> dict[str, str]:
    """Return variables with which a process finds modules where this one does, and no store."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    kept = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return kept | {"PYTHONPATH": path}


def run(out: Path, wish: dict[str, Any]) -> int:
    """Run a tracked sweep; return the exit code."""
    from toy_sweep import sweep, toy_plan

    from harness.cmd_sweep_tracker import SweepTracker
    from harness.errors import BenchError
    from harness.store import Store
    from harness.track import Tracker

    os.environ |= wish.pop("environment", {})
    store, uri = Store(out), wish.pop("uri", None)
    try:
        with Tracker(uri, store, notify=say, **wish.pop("tracker", {})) as tracker:
            outcome = sweep(store, toy_plan(), tracker=SweepTracker(tracker), **wish)
            say(f"done: {len(outcome.trials)} trials")
            tracker.flush()
    except BenchError as error:
        say(f"Error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    return 0


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def nurse() -> None:
    """Import what takes long, then answer questions until they end."""
    import alembic.command  # noqa: F401
    import toy_sweep  # noqa: F401

    import harness.cmd_sweep
    import harness.track  # noqa: F401

    children: dict[int, int | None] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer: int | None = _fork(*question["start"])
            children[answer or 0] = None
        else:
            answer = children[question["poll"]] = _code(question["poll"], children)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    for pid, code in children.items():
        if code is None:
            os.kill(pid, signal.SIGKILL)


def _fork(out: str, wish: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # the nursery's own conversation
        os.dup2(nothing, stream)
    code = 70
    try:
        code = run(Path(out), wish)
    finally:
        os._exit(code)


def _code(pid: int, children: dict[int, int | None]) -> int | None:
    if children[pid] is not None:
        return children[pid]
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(run(Path(sys.argv[1]), json.loads(sys.argv[2])))
    nurse()
