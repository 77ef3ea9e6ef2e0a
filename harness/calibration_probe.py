"""Measures, in a fresh process, how fast one cell of a calibration trains; nothing else of it.

The same training as in a cell of `bench throughput` (`harness.timed_cell`), without what comes
behind it there: a calibration needs many processes, not many quantities.
"""

from __future__ import annotations

import json

from harness.cell import Cell
from harness.disturbance import Watcher
from harness.fresh_process import answer, end_with_the_caller
from harness.timed_cell import Request, TimedCell
from harness.timed_training import Training


def tell(request: str, to: str) -> None:
    """Measure as a request (JSON) says; write the cell to a file, or why there is none."""
    end_with_the_caller()
    answer(to, lambda: measure(Request.from_json(json.loads(request))).dumps())


def measure(request: Request, trainer: type[Training] = Training) -> Cell:
    """Train until the pace is stationary, then for as long as is timed; in a fresh process.

    Args:
        request: what to measure.
        trainer: what trains.

    Raises:
        BenchError: devices or data cannot be had, or the network cannot be trained.
    """
    timed = TimedCell(request)
    with Watcher() as watcher:
        timed.train(trainer)
        return timed.cell(watcher)
