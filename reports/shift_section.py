"""What a move by one pixel does to class and box, as a table below the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping

from harness.record import METRICS
from reports.compare import Table
from reports.contenders import SHIFTS
from reports.wording import Notes, cell, table

_MEANING = (
    "Test images moved by one pixel to each of the four sides: the share of moves after which the "
    "most probable class is another, and how far the sides of the box are, on average, from "
    "having moved along. A network that follows has 0 in both; one that says the same of every "
    "image has 0 and half a pixel. In brackets: 95 % interval over seeds."
)


def shift_lines(board: Table, links: Mapping[str, str]) -> list[str]:
    """Return the table as Markdown lines; nothing if no contender was moved.

    Args:
        board: the leaderboard.
        links: name of a contender -> it as a link to its runs.
    """
    if not any(row.shift for row in board.contenders):
        return []
    notes = Notes()
    head = ["contender", *(_title(name) for name in SHIFTS)]
    rows = [
        [links[row.name], *(cell(row.shift[name], notes, METRICS[name].digits) for name in SHIFTS)]
        for row in board.contenders
        if row.shift
    ]
    lines = ["### Moved by one pixel", "", *table(head, rows, right="lrr"), *notes.lines()]
    return [*lines, _MEANING, ""]


def _title(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title
