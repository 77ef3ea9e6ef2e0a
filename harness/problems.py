"""What is wrong with a data set: all of it is found first, then said at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import DataError

MOST_SHOWN = 20
"""Problems that an error lists; a thousand alike say no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: the file, with the line or the number of the image if there is one.
        what: what must hold and what came, without a full stop.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """Return it in one line; what a terminal would obey is shown as "?"."""
        line = f"{self.where}: {self.what}"
        return "".join(char if char.isprintable() else "?" for char in line)


def raise_problems(
    problems: Sequence[Problem], *, skip_bad: bool, kept: int, of: str = "The data",
    skippable: bool = True,
) -> None:  # fmt: skip
    """Raise one error that names them all, unless they may be left out and something is left.

    Args:
        problems: what is wrong, in the order of the files.
        skip_bad: whether the user asked to leave out what is bad.
        kept: how many good examples there are.
        of: what has these problems, to begin a sentence with.
        skippable: whether leaving out what is bad would help.

    Raises:
        DataError: there are problems, and they cannot or shall not be passed over.
    """
    if not problems or (skip_bad and skippable and kept):
        return
    if not skippable:
        advice = "Mend it." if len(problems) == 1 else "Mend them."
    elif not kept:
        advice = "Nothing is left without it." if len(problems) == 1 else "Nothing else is left."
    else:
        them = "it" if len(problems) == 1 else "them"
        advice = f"Mend {them}, or leave {them} out with --skip-bad."
    if len(problems) == 1:
        raise DataError(f"{problems[0]}. {advice}")
    raise DataError(
        f"{of} must be without fault, but has {len(problems):,} problems:\n"
        f"{listed(problems)}\n{advice}"
    )


def listed(problems: Sequence[Problem], most: int = MOST_SHOWN) -> str:
    """Return the first problems, one on each line, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:most]]
    if len(problems) > most:
        lines.append(f"  and {len(problems) - most:,} more")
    return "\n".join(lines)
