"""Processes that find TensorFlow, MLflow and Optuna loaded: forks of one that loaded nothing else.

Loading them takes a process of its own 5 to 15 s, and the suite starts many. Whatever a process
does is done for real, under a process id of its own; only what `import` would do is done before.
Tests of how a cold process starts have no use for this.

    python tests/warm_process.py    forks on demand
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from forking import Forked, Forker, path_of_this_process, serve

BENCH = "from harness.cli import main; main()"


@functools.cache
def warm() -> Forker:
    """Return the one of this process of tests."""
    command = [sys.executable, "-P", __file__]
    return Forker(command, env=os.environ | {"PYTHONPATH": path_of_this_process()})


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
    return warm().start(code, words, where, values, files)


def run(*words: str, limit_s: float = 240.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run code, by default `bench`, to its end, as `subprocess.run` does; `options` are `fork`'s.

    What outlives `limit_s` ends with the tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        code = fork(*words, out=out, errors=errors, **options).wait(limit_s)
        return subprocess.CompletedProcess(words, code, out.read_text(), errors.read_text())


def load() -> None:
    """Load what takes long."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as `bench` does before it loads it
    from harness.console import quiet_stderr

    with quiet_stderr():
        import harness.cmd_run
        import harness.cmd_sweep
        import harness.run
        import harness.track  # noqa: F401
        import reports.publish  # noqa: F401

    gc.freeze()  # else each fork would copy all of it to look for garbage


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


if __name__ == "__main__":
    load()
    if request := serve():
        text, *surroundings = request
        become(*surroundings)
        os._exit(execute(text))  # what Python does at its end takes as long as loading did
