"""From each number of a report to the runs that it came from.

A contender's name leads to the row that lists its runs, a run's id to its line in the list of
runs, and from there to MLflow's page or to the evidence beside the report, where those are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reports.compare import Table
from reports.wording import code

_RUNS = "all-runs"

RunLinks = Mapping[str, Sequence[tuple[str, str]]]
"""Run id -> (title, address) of each place where more of it is to be seen."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def run_link(run_id: str) -> str:
    """Return a run's id as a link to its line in the list of runs."""
    return f"[{code(run_id)}](#{_run_anchor(run_id)})"


def run_links(run_ids: Sequence[str]) -> str:
    """Return the ids of runs, each as a link."""
    return ", ".join(run_link(run_id) for run_id in run_ids)


def run_place(run_id: str) -> str:
    """Return a run's id as the place that its links lead to."""
    return f"{_place(_run_anchor(run_id))}{code(run_id)}"


def list_link() -> str:
    """Return a link to the list of runs."""
    return f"[list of runs](#{_RUNS})"


def list_place() -> str:
    """Return the place that such links lead to."""
    return _place(_RUNS)


def row_links(board: Table, place: int) -> dict[str, str]:
    """Return the name of each contender -> it as a link to the row that lists its runs.

    Args:
        board: a leaderboard.
        place: which of the report, from 0.
    """
    return {
        row.name: f"[{code(row.name)}](#{_row_anchor(place, at)})"
        for at, row in enumerate(board.contenders)
    }


def row_places(board: Table, place: int) -> dict[str, str]:
    """Return the name of each contender -> it as the place that its links lead to."""
    return {
        row.name: f"{_place(_row_anchor(place, at))}{code(row.name)}"
        for at, row in enumerate(board.contenders)
    }


def outward(run_id: str, links: RunLinks) -> str:
    """Return links to all places where more of a run is to be seen."""
    return ", ".join(f"[{title}]({address})" for title, address in links.get(run_id, ()))


def _place(anchor: str) -> str:
    return f'<a id="{anchor}"></a>'


def _run_anchor(run_id: str) -> str:
    return f"run-{_UNSAFE.sub('-', run_id)}"


def _row_anchor(place: int, at: int) -> str:
    return f"row-{place + 1}-{at + 1}"
