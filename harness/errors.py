"""Every error a user may meet: one base, one child per reaction, caught once in `harness.cli`.

Texts follow one form: the invariant, what came, what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """An error whose text is all a user needs; the command ends with `exit_code`."""

    exit_code = 1


class UsageError(BenchError):
    """The request itself is wrong: nothing was started."""

    exit_code = 2


class DataError(BenchError):
    """Data is missing, damaged or of the wrong shape; the text names the file."""


class DeviceError(UsageError):
    """The devices asked for are not there, or cannot share the work."""


class StoreError(BenchError):
    """The output folder, or a file in it, cannot be read or written."""


class TrackingError(BenchError):
    """The tracking store (MLflow) refused or did not answer."""


class PluginError(BenchError):
    """A backbone raised while it was imported or built."""


class SweepError(UsageError):
    """A sweep cannot go on as asked: changed space or data, or another process holds it."""


class InterruptedRun(BenchError):
    """Somebody pressed Ctrl-C or sent SIGTERM; what was measured is kept."""

    exit_code = 130


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `known`: nearest match first, then the list."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UsageError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
