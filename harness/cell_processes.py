"""Measures contenders in turns, each time in a process of its own, and ends them all.

Within a process the steps of a training agree to a per cent or less, but the next process may run
several per cent faster or slower: where its memory lies, which cores it gets, what the machine
does meanwhile. Only repeating processes shows that spread, and it decides what can be separated.

A machine also changes over minutes: it heats up, a neighbour starts to work. So contenders are not
measured one after the other but in rounds, each of them once a round, and are compared within
rounds. Somebody is first in a round, though, and while a machine slows down that is an advantage:
every second round runs backwards, which makes up for a steady drift, and every second pair of
rounds begins one contender later, so that each takes each place. Two contenders so are measured in
the order A B, B A, B A, A B, that of Thue and Morse, which makes up for a bent drift as well.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cell import Cell, CellPlan, Contender
from harness.errors import BenchError
from harness.fresh_process import start

PROBE = "harness.cell_probe:tell"

TIME_LIMIT_S = 1800.0
"""For all of a cell but the training that is timed: the largest networks compile for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A cell that is about to be measured.

    Attributes:
        contender: whose turn it is.
        round, place: of the cell, counted from 1.
        done, of: cells that are done, and all, those of failed contenders left out.
    """

    contender: Contender
    round: int
    place: int
    done: int
    of: int


def run_cells(
    contenders: Sequence[Contender],
    *,
    repeats: int,
    plan: CellPlan,
    data_dir: Path | None = None,
    on_turn: Callable[[Turn], None] = lambda _turn: None,
    probe: str = PROBE,
    environment: Mapping[str, str] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> Generator[Cell, None, None]:
    """Yield the cells as they are measured, one process at a time.

    A contender that fails before it ever succeeded is not measured again; the others go on. A
    process that runs is killed when the iterator is closed, and ends by itself when this one dies.

    Args:
        contenders: of different names; the first is no different from the others here.
        repeats: rounds, at least 1.
        plan: how each is measured.
        data_dir: folder of MNIST's files as given, or None.
        on_turn: is told of each cell before it begins.
        probe: "module:function" that runs in the processes, given a `timed_cell.Request` (JSON)
            and the file to write the cell to.
        environment: variables for the processes, beside this one's own.
        time_limit_s: of a cell, beside the training that is timed.
    """
    left, done, of = list(contenders), 0, repeats * len(contenders)
    succeeded: set[str] = set()
    for number in range(1, repeats + 1):
        turns = order(left, number)
        for place, contender in enumerate(turns, start=1):
            on_turn(Turn(contender=contender, round=number, place=place, done=done, of=of))
            cell = _measured(
                contender, number, place, plan, data_dir, probe, environment or {},
                time_limit_s + plan.seconds,
            )  # fmt: skip
            done += 1
            if cell.status == "finished":
                succeeded.add(contender.name)
            elif contender.name not in succeeded:
                left.remove(contender)
                of -= repeats - number
            yield cell


def order(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Return who is measured when in a round, counted from 1; see the module for why."""
    if not contenders:
        return []
    pair, backwards = divmod(number - 1, 2)
    first = pair % len(contenders)
    turns = [*contenders[first:], *contenders[:first]]
    return turns[::-1] if backwards else turns


def _measured(
    contender: Contender, number: int, place: int, plan: CellPlan, data_dir: Path | None,
    probe: str, environment: Mapping[str, str], time_limit_s: float,
) -> Cell:  # fmt: skip
    """Measure one cell in a process that is gone afterwards, however this ends."""
    request: dict[str, Any] = {
        "contender": contender.name, "config": contender.config.to_json(), "round": number,
        "place": place, "plan": dataclasses.asdict(plan),
        "data_dir": str(data_dir.absolute()) if data_dir else None,
    }  # fmt: skip
    begun, started = time.monotonic(), datetime.now(UTC)
    extra = {"TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    with tempfile.TemporaryDirectory(prefix="bench-cell-") as folder:
        process = start(probe, json.dumps(request), Path(folder), name="cell", extra=extra)
        try:
            cell = Cell.from_json(json.loads(process.result(time_limit_s)))
        except BenchError as error:
            cell = Cell(
                contender=contender.name, config=contender.config, round=number, place=place,
                started_at=started.isoformat(timespec="milliseconds"), duration_s=0.0,
                status="failed", reason=str(error),
            )  # fmt: skip
        finally:
            process.end()
    return dataclasses.replace(cell, duration_s=round(time.monotonic() - begun, 3))
