"""What is wrong with a data set, all at once: one line for each fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import DataError

MOST_LISTED = 20
"""Faults that an error lists; more than a screen of them helps nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a data set.

    Attributes:
        where: the file and the line or object in it, such as "boxes.csv:7".
        what: the fault in words, without a full stop.
    """

    where: str
    what: str

    def words(self) -> str:
        """Return the fault in one line; what a terminal would obey is shown as "?"."""
        line = f"{self.where}: {self.what}"
        return "".join(char if char.isprintable() else "?" for char in line)


def raise_problems(problems: Sequence[Problem], *, source: str) -> None:
    """Raise one error that lists the faults of a data set; do nothing if there are none.

    Args:
        problems: in the order in which they are told.
        source: what the user named, such as "voc:photos".

    Raises:
        DataError: there is a fault. The text lists at most 20, says how many more there are, and
            that `--skip-bad` leaves out what is bad.
    """
    if not problems:
        return
    listed = [f"  {problem.words()}" for problem in problems[:MOST_LISTED]]
    more = len(problems) - len(listed)
    if more:
        listed.append(f"  and {more:,} more")
    faults = "1 fault" if len(problems) == 1 else f"{len(problems):,} faults"
    raise DataError(
        f"{source} must be free of faults, but has {faults}:\n"
        + "\n".join(listed)
        + "\nCorrect them, or leave out what is bad with --skip-bad."
    )
