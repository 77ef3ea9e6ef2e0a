"""A sweep of the toy that is tracked in MLflow, as a program that can be killed, cold or warm.

    python tests/tracked_sweep.py OUT WISH     one sweep; importing MLflow takes seconds
    python tests/tracked_sweep.py              a nursery: forks sweeps on demand, within a moment

WISH is that of `toy_sweep`, and if wanted `uri`, other options of the `tracker` and variables of
the `environment`. What the sweep says goes to its standard error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from forking import Forked, Forker, path_of_this_process, serve

HERE = Path(__file__)


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
            self._forker = Forker(self._command, stderr=file, env=environment())

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        """End it and all that it started."""
        self._forker.close()

    def start(self, out: Path, **wish: Any) -> Forked:
        return self._forker.start(str(out), wish)

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


def environment() -> dict[str, str]:
    """Return variables with which a process finds modules where this one does, and no store."""
    kept = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return kept | {"PYTHONPATH": path_of_this_process()}


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


def load() -> None:
    """Import what takes long."""
    import alembic.command  # noqa: F401
    import toy_sweep  # noqa: F401

    import harness.cmd_sweep
    import harness.track  # noqa: F401


def end_with(out: str, wish: dict[str, Any]) -> NoReturn:
    """Run a tracked sweep in a fork, apart from the conversation of what it was forked from."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    code = 70
    try:
        code = run(Path(out), wish)
    finally:
        os._exit(code)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(run(Path(sys.argv[1]), json.loads(sys.argv[2])))
    load()
    if request := serve():
        end_with(*request)
