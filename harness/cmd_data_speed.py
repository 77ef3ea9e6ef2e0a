"""`bench throughput --data-only`: how fast scenes are made, as a table or for scripts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.table import Table
from rich.text import Text

from harness.cell_plan import Contender
from harness.console import console, note, say, waiting
from harness.data import load
from harness.data_speed import rounds, scenes_made
from reports.statistics import Estimate, t_interval

JSON_VERSION = 1


def data_speed(
    contenders: Sequence[Contender], *, repeats: int, seconds: float, as_json: bool,
    data_dir: Path | None,
) -> None:  # fmt: skip
    """Time how scenes are made for each contender, in turns, and show it.

    Raises:
        UsageError: `train_examples` does not fit.
        DataError: the data cannot be read.
    """
    known: dict[str, None] = {}  # what there is to say of a data set is said once

    def once(line: str) -> None:
        if line not in known and not as_json:
            say(line)
        known[line] = None

    makers = [
        scenes_made(each.config, load(each.config, data_dir, say=once)) for each in contenders
    ]
    with waiting("making scenes ...") as now:
        rates = rounds(
            makers, repeats=repeats, seconds=seconds,
            on_turn=lambda k, i: now(f"round {k + 1} of {repeats}: {contenders[i].name} ..."),
        )  # fmt: skip
    found = [t_interval(some, varied="rounds", bounds=(0, math.inf)) for some in rates]
    if as_json:
        console.print_json(json.dumps(_document(contenders, rates, found), allow_nan=False))
        return
    console.print(table([each.name for each in contenders], rates, found, repeats))
    note("one thread makes them beside the training, which takes what `bench throughput` says")


def table(
    names: Sequence[str], rates: Sequence[Sequence[float]], found: Sequence[Estimate], repeats: int
) -> Table:
    """Return a row for each contender: mean with interval, median, and time of one scene."""
    shown = Table(
        title=Text(f"training scenes alone: {repeats} rounds in turns, one thread"),
        title_justify="left", box=None, padding=(0, 2, 0, 0),
    )  # fmt: skip
    shown.add_column("contender", overflow="fold")
    for column in ("scenes/s, mean", "95 % interval", "median", "µs each"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, some, estimate in zip(names, rates, found, strict=True):
        middle = median(some)
        mean = sum(some) / len(some)
        ends = "none"
        if estimate.low is not None and estimate.high is not None:
            ends = f"{estimate.low:,.0f} to {estimate.high:,.0f}"
        shown.add_row(Text(name), f"{mean:,.0f}", ends, f"{middle:,.0f}", f"{1e6 / middle:.1f}")
    return shown


def _document(
    contenders: Sequence[Contender], rates: Sequence[Sequence[float]], found: Sequence[Estimate]
) -> dict[str, object]:
    rows = [
        {
            "name": each.name,
            "config": each.config.to_json(),
            "scene": each.config.scene_spec().words(),
            "scenes_per_s": dataclasses.asdict(estimate) | {"samples": list(some)},
        }
        for each, some, estimate in zip(contenders, rates, found, strict=True)
    ]
    return {"version": JSON_VERSION, "contenders": rows}
