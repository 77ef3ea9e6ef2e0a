"""Processes that measure one thing and end: nothing was done in them before, none is left behind.

What runs there is named as "module:function" and is called with texts, the last of them the file
to write its result to; why there is none it writes beside that, see `Fresh.reason`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from harness.cause import cause_of, memory_words
from harness.child_python import environment, exit_text, last_words, python
from harness.errors import BenchError, UsageError
from harness.plain_words import in_words
from harness.store import write_atomically

_PAUSE_S = 0.1  # whoever waits shall not disturb

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
        words, how = last_words(self.log), exit_text(self.process.returncode)
        return f"{how}, with the last words {words!r}" if words else f"{how}, without a word"

    def result(self, limit_s: float) -> str:
        """Wait for the result and return it, a text.

        Raises:
            BenchError: there is none, or none in time; the text says why.
        """
        deadline = time.monotonic() + limit_s
        while not self.done:
            if self.failed:
                raise self.reason() or BenchError(f"Its process {self.last_words()}.")
            if time.monotonic() > deadline:
                raise BenchError(f"It was not measured within {limit_s:.0f} s.")
            time.sleep(_PAUSE_S)
        return self.to.read_text(encoding="utf-8")

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
    to, log = folder / f"{name}.result", folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            python("-c", _CODE, probe, request, str(to)),
            stdin=subprocess.PIPE, stdout=file, stderr=file,
            env=environment(extra),
            start_new_session=True,  # Ctrl-C is this process's affair
        )  # fmt: skip
    return Fresh(process=process, to=to, log=log)


def end_with_the_caller() -> None:
    """Let this process, which measures, end as soon as its standard input does."""
    threading.Thread(target=_end_with_standard_input, daemon=True).start()


def _end_with_standard_input() -> None:
    # Not `sys.stdin`, whose lock would be held while the interpreter shuts down.
    while os.read(0, 1):
        pass
    os._exit(1)


def answer(to: str, measure: Callable[[], str]) -> NoReturn:
    """Write what was measured to a file, or why it could not be, and end this process.

    Args:
        to: the file.
        measure: returns the text for it.
    """
    code = 0
    try:
        write_atomically(Path(to), measure().encode())
    except BenchError as error:
        write_reason(Path(to), error)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the reason says it
        traceback.print_exc()
        write_reason(Path(to), _told(error))
        code = 1
    sys.stderr.flush()
    os._exit(code)  # TensorFlow's own end may take seconds, or hang


def _told(error: Exception) -> BenchError:
    """Return what somebody else's exception says, in a line."""
    if cause_of(error) == "out_of_memory":
        return BenchError(f"Out of memory: {memory_words(error)}. Use a smaller batch or network.")
    return BenchError(f"{in_words(error)}.")


def write_reason(to: Path, error: BenchError) -> None:
    """Write down, in a process that measures, why there is no result."""
    write_atomically(_error_file(to), json.dumps([error.exit_code, str(error)]).encode())


def _error_file(to: Path) -> Path:
    return to.with_name(f"{to.name}.error")
