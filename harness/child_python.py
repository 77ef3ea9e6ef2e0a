"""Child processes that run Python: how each is started, and in words how it ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

LAST_WORDS = 300
"""Characters of the last line in a dead process's log that are quoted."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


def python(*arguments: str) -> list[str]:
    """Return the command that runs this Python with arguments; goes with `environment`."""
    # -P: the folder the user happens to stand in is no place to import from.
    return [sys.executable, "-P", *arguments]


def environment(extra: Mapping[str, str] = _NOTHING) -> dict[str, str]:
    """Return the variables of a child that finds modules exactly where this process does.

    Args:
        extra: variables beside this process's own.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **extra}


def exit_text(code: int) -> str:
    """Return in words how a process ended, such as "was killed by SIGKILL"."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def last_words(log: Path, start: int = 0) -> str:
    """Return the last line of a log that is not blank, shortened; empty if there is none.

    Of a traceback that is the exception.

    Args:
        log: the file.
        start: where in it the process began to write, in bytes.
    """
    with suppress(OSError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - 4 * LAST_WORDS))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")[:LAST_WORDS]
    return ""
