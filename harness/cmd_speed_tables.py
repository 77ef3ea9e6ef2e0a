"""What `bench throughput` shows at its end: tables, verdicts, notes, or one JSON object."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.record import METRICS
from harness.timings import Timings
from reports.speed import Pair, Speed
from reports.speed_words import floor_words, overhead_words, remarks, verdict_words
from reports.statistics import Estimate

JSON_VERSION = 1

LONGEST_NAME = 12
"""Of a contender in a table 80 columns wide; longer ones are told once, beside a letter."""


def with_letters(timings: Timings) -> tuple[Timings, list[str]]:
    """Return timings whose contenders are called A, B, ... if a name is long, and who is who."""
    names = [each.name for each in timings.contenders]
    if max(map(len, names)) <= LONGEST_NAME or len(names) > len(ascii_uppercase):
        return timings, []
    letters = dict(zip(names, ascii_uppercase, strict=False))
    overhead = timings.overhead
    called = replace(
        timings,
        contenders=tuple(replace(each, name=letters[each.name]) for each in timings.contenders),
        cells=tuple(replace(cell, contender=letters[cell.contender]) for cell in timings.cells),
        overhead=overhead and replace(overhead, contender=letters[overhead.contender]),
    )
    return called, [f"{letter}: {name}" for name, letter in letters.items()]


def training_table(speeds: Sequence[Speed]) -> Table:
    """Return how fast contenders train, the first one's ratio left out: it is 1."""
    table = _table("training", speeds)
    table.add_column("contender", overflow="fold")
    several = len(speeds) > 1
    columns = ["images/s", *(["ratio"] if several else []), "step p50", "p90 ms", "MFU"]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in speeds:
        ratio = [_with_interval(row.ratio, 3)] if several else []
        table.add_row(
            Text(row.name), _with_interval(_of(row, "images_per_s"), 0), *ratio,
            _cell(row, "step_p50_ms"), _cell(row, "step_p90_ms"), _share(_of(row, "mfu")),
        )  # fmt: skip
    return table


def other_table(speeds: Sequence[Speed]) -> Table:
    """Return inference, memory, and what comes before the first step."""
    table = _table("inference, memory, start", speeds)
    table.add_column("contender", overflow="fold")
    columns = {
        "images/s": "inference_images_per_s", "latency p50": "latency_p50_ms",
        "p90": "latency_p90_ms", "p99 ms": "latency_p99_ms", "RSS MiB": "peak_rss_mib",
        "device MiB": "peak_device_mib", "compile s": "compile_s", "first s": "first_batch_s",
    }  # fmt: skip
    if not any(_of(row, "peak_device_mib").value for row in speeds):
        del columns["device MiB"]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in speeds:
        table.add_row(Text(row.name), *(_cell(row, name) for name in columns.values()))
    return table


def lines(
    speeds: Sequence[Speed], pairs: Sequence[Pair], overhead: Estimate | None
) -> Iterator[str]:
    """Yield verdicts, what the harness costs, and what a reader of the tables has to know."""
    yield from verdict_words(pairs)
    if pairs:
        yield floor_words(pairs)
    if overhead is not None:
        yield overhead_words(overhead)
    yield from remarks(speeds)


def document(
    name: str, speeds: Sequence[Speed], pairs: Sequence[Pair], overhead: Estimate | None
) -> dict[str, Any]:
    """Return all of it as plain JSON values, for scripts."""
    return {
        "version": JSON_VERSION,
        "name": name,
        "contenders": [
            dataclasses.asdict(row) | {"config": row.config.to_json()} for row in speeds
        ],
        "pairs": [dataclasses.asdict(pair) for pair in pairs],
        "overhead": None if overhead is None else dataclasses.asdict(overhead),
        "notes": list(lines(speeds, pairs, overhead)),
    }


def _table(title: str, speeds: Sequence[Speed]) -> Table:
    processes = {row.processes for row in speeds}
    over = f"{max(processes)} process{'' if max(processes) == 1 else 'es'}"
    return Table(
        title=Text(f"{title}: medians over {over} each"), title_justify="left", box=None,
        padding=(0, 1, 0, 0),
    )  # fmt: skip


def _of(row: Speed, name: str) -> Estimate:
    return row.measures.get(name, Estimate(absent="no process got so far"))


def _cell(row: Speed, name: str) -> str:
    value = _of(row, name).value
    return "absent" if value is None else f"{value:,.{METRICS[name].digits}f}"


def _share(estimate: Estimate) -> str:
    return "absent" if estimate.value is None else f"{estimate.value:.0%}".replace("%", " %")


def _with_interval(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return ""
    value = f"{estimate.value:,.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:,.{digits}f}, {estimate.high:,.{digits}f}]"
