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


class DivergedRun(BenchError):
    """Training left the finite numbers, and would again: there is nothing to go on from."""


class ClusterError(BenchError):
    """A worker of a cluster died, hung, never came or runs something else; the text names it."""


class FailFast(BenchError):
    """A run of a sweep failed, and the user asked to stop at the first that does."""


class RegressionFound(BenchError):
    """What was compared is worse beyond noise, and the user asked to be told by the exit code."""


class ReportBroken(BenchError):
    """A report is not what bench wrote, or its numbers do not follow from its evidence."""


class ExportError(BenchError):
    """A trained network cannot be written for others, or would predict something else."""


class SweepError(UsageError):
    """A sweep cannot go on as asked: changed space or data, or another process holds it."""


class InterruptedRun(BenchError):
    """Somebody pressed Ctrl-C or sent SIGTERM; what was measured is kept."""

    exit_code = 130


MOST_NAMED = 30
"""Names that an error lists; more than a screen of them helps nobody."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, listed_by: str = "") -> UsageError:
    """Return the error for a name that is not in `known`: nearest match first, then the list.

    Args:
        kind: what it should name, such as "backbone".
        name: what came.
        known: every name.
        listed_by: command that lists them, for errors that cannot.
    """
    names = sorted(known)
    few = len(names) <= MOST_NAMED or not listed_by
    hint = did_you_mean(name, names, most=1 if few else 3)
    if few:
        return UsageError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
    return UsageError(f"Unknown {kind} {name!r}.{hint} `{listed_by}` lists all {len(names)}.")


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """Return, led by a space, the question which near name is meant; empty for none.

    The only name whose last words were typed is nearer than any other: `float16` means
    `mixed_float16`, not `float32`.

    Args:
        name: what came.
        known: every name.
        most: how many to offer.
    """
    names = sorted(known)
    ending = [other for other in names if other.endswith((f"_{name}", f"-{name}"))]
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    nearest = ending if len(ending) == 1 else close
    return f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
