"""Numbers, tables and names in Markdown, so that they read alike everywhere in a report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.record import DataIdentity
from harness.scene_spec import PLAIN
from reports.statistics import Estimate

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$])")
_LONGEST_REASON = 240  # characters; a traceback belongs into the record


def text(words: object) -> str:
    """Return any words as plain Markdown text on one line."""
    line = " ".join(str(words).split())
    if len(line) > _LONGEST_REASON:
        line = line[: _LONGEST_REASON - 3] + "..."
    return _SPECIAL.sub(r"\\\1", line)


def code(words: object) -> str:
    """Return words as inline code that is safe in a table."""
    line = " ".join(str(words).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> list[str]:
    """Return the lines of a table, with an empty line behind it.

    Args:
        head: titles.
        rows: cells, already Markdown.
        right: one letter for each column: "r" for right-aligned, anything else for left.
    """
    marks = ["--:" if place < len(right) and right[place] == "r" else "---"
             for place in range(len(head))]  # fmt: skip
    lines = [_row(head), _row(marks), *(_row(row) for row in rows)]
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float, digits: int = 4) -> str:
    """Return a number with fixed decimals; never "-0.0000"."""
    written = f"{value:.{digits}f}"
    return written.lstrip("-") if float(written) == 0 else written


def interval(estimate: Estimate, digits: int = 4) -> str:
    """Return "[low, high]", or "" if there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def with_interval(estimate: Estimate, digits: int = 4) -> str:
    """Return the value and its interval for a sentence; the reason if one is missing."""
    if estimate.value is None:
        return f"absent ({text(estimate.absent)})"
    ends = interval(estimate, digits) or f"(no interval: {text(estimate.absent)})"
    return f"{number(estimate.value, digits)} {ends}"


def what_varied(estimate: Estimate) -> str:
    """Return over what an interval looks, such as "3 seeds"."""
    if estimate.varied is None:
        return "nothing"
    if estimate.varied == "seeds and images":
        return estimate.varied
    return f"{estimate.n:,} {estimate.varied}"


def scene_words(data: DataIdentity) -> str:
    """Return, led by a comma, of what scenes were made; nothing for plain ones."""
    return "" if data.scene == PLAIN.name else f", scene {code(data.scene)}"


def count(n: int, noun: str) -> str:
    """Return "1 run" or "3 runs"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


class Notes:
    """Numbered notes below a table; equal notes share a number."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def mark(self, note: str) -> str:
        """Return the mark of a note and remember it."""
        if note not in self._texts:
            self._texts.append(note)
        return f"<sup>{self._texts.index(note) + 1}</sup>"

    def lines(self) -> list[str]:
        """Return the notes as lines, with an empty line behind them."""
        if not self._texts:
            return []
        notes = (f"<sup>{n}</sup> {text(note)}." for n, note in enumerate(self._texts, 1))
        return ["<br>\n".join(notes), ""]


def cell(estimate: Estimate, notes: Notes, digits: int = 4) -> str:
    """Return the value above its interval, for a table; what is missing gets a note."""
    if estimate.value is None:
        return f"absent{notes.mark(estimate.absent or '')}"
    ends = interval(estimate, digits).replace(" ", "&nbsp;")  # keeps an interval on one line
    if not ends:
        note = notes.mark(f"no interval: {estimate.absent}")
        return f"{number(estimate.value, digits)}{note}"
    return f"{number(estimate.value, digits)}<br>{ends}"
