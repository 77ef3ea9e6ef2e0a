"""Processes that find TensorFlow, MLflow and Optuna loaded: forks of one that loaded nothing else.

Loading them takes a process of its own 5 to 15 s, and the suite starts many. Whatever a process
does is done for real, under a process id of its own; only what `import` would do is done before.
Tests of how a cold process starts have no use for this.

    python tests/warm_process.py    forks on demand, see `Warm`
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any

BENCH = "from harness.cli import main; main()"


class Forked:
    """A process that runs code; a file has what it prints, another what it prints to stderr."""

    def __init__(self, pid: int, warm: Warm) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._warm = warm

    def poll(self) -> int | None:
        """Return the exit code, None while it runs; a signal's number comes negative."""
        if self.returncode is None:
            self.returncode = self._warm.ask(poll=self.pid)
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


class Warm:
    """The process that forks; it ends, and with it all that it started, when this one does."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1, env=os.environ | {"PYTHONPATH": path_of_this_process()},
        )  # fmt: skip

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        return json.loads(self._process.stdout.readline())


@functools.cache
def warm() -> Warm:
    """Return the one of this process of tests."""
    return Warm()


def fork(
    *words: str, out: Path, errors: Path, code: str = BENCH, folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Forked:  # fmt: skip
    """Start code, by default `bench`, with these arguments.

    Args:
        words: its arguments.
        out, errors: files for what it prints.
        code: what it runs.
        folder: where it runs; if None, where this process is.
        environment: its variables; if None, those of this process.
    """
    values = dict(os.environ) if environment is None else environment
    where = str((folder or Path.cwd()).absolute())
    files = [str(out.absolute()), str(errors.absolute())]
    for file in files:
        Path(file).touch()
    return Forked(warm().ask(start=[code, words, where, values, files]), warm())


def run(*words: str, limit_s: float = 240.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run code, by default `bench`, to its end, as `subprocess.run` does; `options` are `fork`'s.

    What outlives `limit_s` ends with the tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        code = fork(*words, out=out, errors=errors, **options).wait(limit_s)
        return subprocess.CompletedProcess(words, code, out.read_text(), errors.read_text())


def path_of_this_process() -> str:
    """Return the variable with which a process finds modules where this one does."""
    return os.pathsep.join(entry for entry in sys.path if entry)


def serve() -> str | None:
    """Load what takes long, then answer until nobody asks; a fork returns the code to run."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as `bench` does before it loads it
    from harness.console import quiet_stderr

    with quiet_stderr():
        import harness.cmd_run
        import harness.cmd_sweep
        import harness.run
        import harness.track  # noqa: F401
        import reports.publish  # noqa: F401

    gc.freeze()  # else each fork would copy all of it to look for garbage
    children: dict[int, int | None] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            code, words, folder, environment, files = question["start"]
            if not (pid := os.fork()):
                become(words, folder, environment, files)
                return str(code)
            children[pid], answer = None, pid
        else:
            answer = children[question["poll"]] = code_of(question["poll"], children)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    for pid, ended in children.items():
        if ended is None:
            os.kill(pid, signal.SIGKILL)
    return None


def become(words: list[str], folder: str, environment: dict[str, str], files: list[str]) -> None:
    """Be a process that was just started with these arguments, there, and with these variables."""
    for stream, file in enumerate([os.devnull, *files]):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND if stream else os.O_RDONLY
        os.dup2(os.open(file, flags), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["bench", *words]
    added = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [entry for entry in added if entry and entry not in sys.path]


def code_of(pid: int, children: dict[int, int | None]) -> int | None:
    if children[pid] is not None:
        return children[pid]
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def execute(code: str) -> int:
    """Run code to its end and return what the process exits with."""
    status: object = 0
    try:
        exec(code, {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as Python does
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__" and (text := serve()) is not None:
    os._exit(execute(text))  # what Python does at its end takes as long as loading did
