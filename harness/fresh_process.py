"""Processes that measure one thing and end: nothing was done in them before, none is left behind.

What runs there is named as "module:function" and is called with texts, the last of them the file
to write its result to; why there is none it writes beside that, see `Fresh.reason`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError, UsageError
from harness.store import write_atomically

_LAST_WORDS = 300

_CODE = """
import importlib, sys
module, function = sys.argv[1].split(":")
getattr(importlib.import_module(module), function)(*sys.argv[2:])
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fresh:
    """A process that was started to measure.

    Attributes:
        process: its standard input stays open as long as somebody wants its result.
        to: the file for the result.
        log: what it prints.
    """

    process: subprocess.Popen[bytes]
    to: Path
    log: Path

    @property
    def done(self) -> bool:
        """Return whether the result is there."""
        return self.to.exists()

    @property
    def failed(self) -> bool:
        """Return whether the process ended without a result."""
        return self.process.poll() is not None and not self.done

    def reason(self) -> BenchError | None:
        """Return the error that the process wrote down; None if it wrote none."""
        try:
            code, text = json.loads(_error_file(self.to).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return UsageError(text) if code == UsageError.exit_code else BenchError(text)

    def last_words(self) -> str:
        """Return how it ended, with the last line of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        words = next((line for line in reversed(lines) if line.strip()), "")[:_LAST_WORDS]
        how = f"ended with exit code {self.process.returncode}"
        return f"{how}, with the last words {words!r}" if words else f"{how}, without a word"

    def end(self) -> None:
        """Kill it, whatever it is doing, and wait until it is gone."""
        # Not SIGTERM, which TensorFlow's notifier of preemption swallows in a worker.
        self.process.kill()
        with self.process:
            self.process.wait()


def start(probe: str, request: str, folder: Path, *, name: str, extra: Mapping[str, str]) -> Fresh:
    """Start a process that finds modules where this one does, and ends when this one does.

    Args:
        probe: "module:function" that runs there, given the request and the file to write.
        request: what to measure.
        folder: for result and log.
        name: of these files.
        extra: variables of its environment, beside this process's own.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    to, log = folder / f"{name}.result", folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, probe, request, str(to)],
            stdin=subprocess.PIPE, stdout=file, stderr=file,
            env={**os.environ, "PYTHONPATH": path, **extra},
            start_new_session=True,  # Ctrl-C is this process's affair
        )  # fmt: skip
    return Fresh(process=process, to=to, log=log)


def write_reason(to: Path, error: BenchError) -> None:
    """Write down, in a process that measures, why there is no result."""
    write_atomically(_error_file(to), json.dumps([error.exit_code, str(error)]).encode())


def _error_file(to: Path) -> Path:
    return to.with_name(f"{to.name}.error")
