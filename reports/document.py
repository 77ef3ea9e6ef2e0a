"""The report as JSON: every number that its text shows, and those behind it, at full precision.

Pure and byte-stable, as the text is. A number that is missing is null with its reason in `absent`
beside it; there is no NaN.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.certificate import Certificate
from harness.noise_floor import NoiseFloor
from harness.timings import Timings
from reports.compare import Comparison, Table
from reports.links import RunLinks
from reports.searches import Search
from reports.speed import overhead_share, pairs, speeds
from reports.speed_floor import floor_of_machine
from reports.verdicts import Verdict

DOCUMENT_VERSION = 1


def document(
    comparison: Comparison,
    *,
    title: str,
    certificates: Sequence[Certificate] = (),
    timings: Sequence[Timings] = (),
    floors: Sequence[NoiseFloor] = (),
    links: RunLinks | None = None,
) -> dict[str, Any]:
    """Return all that a report says as plain JSON values.

    Args:
        comparison: what was compared.
        title: heading of the report.
        certificates: those that the report shows.
        timings: likewise.
        floors: noise floors, of any machines.
        links: where more of a run is to be seen.
    """
    return {
        "version": DOCUMENT_VERSION,
        "title": title,
        "tables": [_table(board) for board in comparison.tables],
        "searches": [_searched(search) for search in comparison.searches],
        "machines": {label: _plain(machine) for label, machine in comparison.machines},
        "runs": [
            _plain(run) | {"links": dict((links or {}).get(run.run_id, ()))}
            for run in comparison.runs
        ],
        "timings": [_timed(each, floors) for each in timings],
        "certificates": [each.to_json() for each in certificates],
    }


def dumps(values: Mapping[str, Any]) -> str:
    """Return a document as JSON text: keys sorted, newline at the end.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(values, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def _table(board: Table) -> dict[str, Any]:
    runs, ranges = {row.name: row.run_ids for row in board.contenders}, board.ranges
    return {
        "data": _plain(board.data),
        "budget": _plain(board.budget),
        "contenders": [
            _plain(row) | {"ranks": _plain(ranges[row.name])} for row in board.contenders
        ],
        "verdicts": [_verdict(each, runs) for each in board.verdicts],
    }


def _searched(search: Search) -> dict[str, Any]:
    """Return a search with the runs behind each of its numbers."""
    trials = [trial.run_id for trial in search.trials]
    values: dict[str, Any] = _plain(search)
    return values | {
        "granted": search.granted,
        "runs": {
            "best": [] if search.best is None else [search.best.run_id],
            "trial_size": trials,
            "consumed": trials,
            "granted": trials,
            "validation": list(search.trained_ids),
            "test": list(search.final_ids),
            "rerun": list(search.rerun_ids),
            "gap": list(search.gap_ids),
        },
    }


def _verdict(verdict: Verdict, runs: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    score = verdict.score
    return {
        **_plain(verdict),
        "runs": {name: list(runs[name]) for name in (verdict.first, verdict.second)},
        "better": verdict.better,
        "worse": verdict.worse,
        "detectable": None
        if score is None
        else score.test.noise.detectable(alarms=verdict.alarms),
    }


def _timed(timings: Timings, floors: Sequence[NoiseFloor]) -> dict[str, Any]:
    floor = floor_of_machine(floors, timings.machine)
    return {
        "name": timings.name,
        "status": timings.status,
        "machine": _plain(timings.machine),
        "contenders": _plain(speeds(timings)),
        "pairs": _plain(pairs(timings, floor)),
        "overhead": None if timings.overhead is None else _plain(overhead_share(timings.overhead)),
    }


def _plain(value: Any) -> Any:
    """Return dataclasses, mappings and sequences as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
