"""`bench calibrate`: identical cells timed against each other, and the noise floor they show."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import NoReturn

from harness.cell import Cell, CellPlan, Contender
from harness.cell_processes import run_cells
from harness.cell_progress import CellProgress
from harness.cmd_run import check_step
from harness.config import RunConfig
from harness.console import console, note, on_stderr, say
from harness.data import load
from harness.disturbance import Watcher
from harness.durations import span_text
from harness.errors import BenchError, InterruptedRun
from harness.noise_floor import NoiseFloor, Pair, least_pairs
from harness.store import Store, write_atomically
from reports.speed_floor import log_limit, machine_digest, steps_differ

PROBE = "harness.calibration_probe:tell"

USUAL_ROUNDS = 5
"""Processes of each contender in `bench throughput`, for which a floor is told first."""

_TWINS = ("A", "B")

_CELL_S = 11.0
"""A process besides the training that is timed, on two cores of a server in 2026; only for the
first forecast."""

_LOOK_S = 1.5

_ENOUGH_CALLS = 10
"""Graph calls of each process: with 18 degrees of freedom Student's factor is 7 % above the normal
one's."""


def calibrate(
    config: RunConfig,
    plan: CellPlan,
    *,
    pairs: int,
    as_json: bool,
    out: Path,
    data_dir: Path | None,
    probe: str = PROBE,
) -> None:
    """Time pairs of identical cells, keep them, and say below which difference nothing is claimed.

    Args:
        config: what every cell trains; `dataset` may be "auto".
        plan: how each cell is measured.
        pairs: of processes, at least `least_pairs()`.
        as_json: print one JSON object; what else there is to say goes to standard error.
        out: folder for all results.
        data_dir: folder of MNIST's files as given, or None.
        probe: what measures a cell, see `run_cells`.

    Raises:
        UsageError: something does not fit.
        BenchError: no cell could be measured.
        InterruptedRun: it was stopped; what was measured is kept.
    """
    store = Store(out)
    store.check_writable()
    with on_stderr() if as_json else contextlib.nullcontext():
        data = load(config, data_dir, say=say)
        check_step(config, data.n_train)
        config = dataclasses.replace(config, dataset=data.dataset)
        for line in busy_lines():
            say(line)
        takes = span_text(2 * pairs * (_CELL_S + plan.seconds))
        note(f"{pairs} pairs of identical cells, {2 * pairs} processes: about {takes}")
        kept = _Kept(store, config, plan, pairs)
        _measure(kept, data_dir, probe)
        floor = kept.floor
        if floor is None:
            _give_up(kept.reasons)
        for line in floor_lines(floor):
            note(line)
        note(f"calibration {kept.path}")
    if as_json:
        console.print_json(json.dumps(document(floor), allow_nan=False), indent=1)
    _conclude(floor, kept)


class _Kept:
    """A calibration that is kept after each pair: a kill loses only the one that runs.

    Args:
        store: the output folder.
        config: what every cell trains.
        plan: how each is measured.
        pairs: that are asked for.

    Attributes:
        cells: as they were measured.
        floor: what they tell; None before the first pair.
    """

    def __init__(self, store: Store, config: RunConfig, plan: CellPlan, pairs: int) -> None:
        self._store, self._started, self._start_s = store, datetime.now(UTC), perf_counter()
        self.config, self.plan, self.pairs = config, plan, pairs
        self.cells: list[Cell] = []
        self.floor: NoiseFloor | None = None

    @property
    def reasons(self) -> list[str]:
        """Return why cells failed."""
        return [cell.reason or "" for cell in self.cells if cell.status == "failed"]

    def succeeded(self, twin: str) -> bool:
        """Return whether a twin was ever measured: after a failure before, it is not again."""
        return any(cell.contender == twin and cell.status == "finished" for cell in self.cells)

    @property
    def path(self) -> Path | None:
        """Return its file, once there is one."""
        if self.floor is None:
            return None
        return self._store.calibrations / f"{self.floor.name}.json"

    def add(self, cell: Cell) -> None:
        """Take in a cell, and keep what there is if it makes a pair."""
        self.cells.append(cell)
        found = in_pairs(self.cells)
        if cell.machine is None or len(found) == len(self.floor.pairs if self.floor else ()):
            return
        enough = len(found) >= least_pairs()
        self.floor = NoiseFloor(
            name=f"{machine_digest(cell.machine)}-{self._started:%Y%m%d-%H%M%S}",
            started_at=self._started.isoformat(timespec="milliseconds"),
            duration_s=round(perf_counter() - self._start_s, 3), config=self.config,
            seconds=self.plan.seconds, machine=cell.machine, pairs=found, asked=self.pairs,
            log_limit=log_limit([pair.log_ratio for pair in found]) if enough else None,
        )  # fmt: skip
        assert self.path is not None, "there is a floor"
        write_atomically(self.path, self.floor.dumps().encode())


def busy_lines() -> list[str]:
    """Return a warning if the machine does something else just now; it looks for a second."""
    with Watcher() as watcher:
        start = perf_counter()
        time.sleep(_LOOK_S)
        reasons = watcher.between(start, perf_counter())
    if not reasons:
        return []
    return [
        f"This machine is busy: {', '.join(reasons)}.",
        "So will be the floor, and only large differences claimed: better calibrate an idle one.",
    ]


def in_pairs(cells: Iterable[Cell]) -> tuple[Pair, ...]:
    """Return the rounds in which both twins were measured, in their order."""
    by_round: dict[int, dict[str, Cell]] = {}
    for cell in cells:
        if cell.value("images_per_s"):
            by_round.setdefault(cell.round, {})[cell.contender] = cell
    return tuple(
        _pair(*(both[name] for name in _TWINS))
        for _, both in sorted(by_round.items())
        if len(both) == len(_TWINS)
    )


def floor_lines(floor: NoiseFloor) -> Iterator[str]:
    """Yield what a calibration found, in sentences."""
    n, called = len(floor.pairs), sum(pair.called for pair in floor.pairs)
    usual, single = floor.relative(USUAL_ROUNDS), floor.relative()
    if usual is not None and single is not None:
        yield (
            f"noise floor {100 * usual:.1f} %: differences below it are not claimed, of "
            f"{USUAL_ROUNDS} processes each; of one process each {100 * single:.1f} %"
        )
    yield (
        f"a t-test on the steps of two processes calls {called} of {n} identical pairs different, "
        f"where its level of {100 * floor.false_alarms:.0f} % allows {floor.false_alarms * n:.1f}"
    )
    disturbed = [pair.disturbed[0] for pair in floor.pairs if pair.disturbed]
    fewest = min(len(side.samples) for pair in floor.pairs for side in (pair.first, pair.second))
    if fewest < _ENOUGH_CALLS:
        yield (
            f"some of these processes timed {fewest} graph calls only, too few for that t-test to "
            "find much; a longer --seconds gives more, and does not change what the floor means"
        )
    if disturbed:
        yield f"{len(disturbed)} of {n} pairs were disturbed ({disturbed[0]}); none is left out"


def document(floor: NoiseFloor) -> dict[str, object]:
    """Return the result as plain JSON values, for scripts; the file has the raw samples."""
    return {
        "version": floor.version,
        "name": floor.name,
        "pairs": len(floor.pairs),
        "asked": floor.asked,
        "false_alarms": floor.false_alarms,
        "relative_one_process": floor.relative(),
        f"relative_{USUAL_ROUNDS}_processes": floor.relative(USUAL_ROUNDS),
        "ratios": [pair.ratio for pair in floor.pairs],
        "called_by_steps": sum(pair.called for pair in floor.pairs),
        "disturbed_pairs": sum(bool(pair.disturbed) for pair in floor.pairs),
    }


def _measure(kept: _Kept, data_dir: Path | None, probe: str) -> None:
    """Measure cell after cell, until all is done or Ctrl-C."""
    twins = [Contender(name=name, config=kept.config) for name in _TWINS]
    with CellProgress(kept.pairs) as progress, contextlib.suppress(KeyboardInterrupt):
        running = run_cells(
            twins, repeats=kept.pairs, plan=kept.plan, data_dir=data_dir,
            on_turn=progress.begun, probe=probe,
        )  # fmt: skip
        with contextlib.closing(running):
            for cell in running:
                kept.add(cell)
                progress.ended(cell)
                if not kept.succeeded(cell.contender):
                    return  # its twin would fail alike, or make no pair


def _pair(first: Cell, second: Cell) -> Pair:
    reasons = [why for cell in (first, second) for each in cell.disturbances for why in each]
    rates = [cell.measures["images_per_s"] for cell in (first, second)]
    return Pair(
        first=rates[0], second=rates[1], disturbed=tuple(dict.fromkeys(reasons)),
        called=steps_differ(rates[0].samples, rates[1].samples),
    )  # fmt: skip


def _give_up(reasons: Sequence[str]) -> NoReturn:
    """End with why no pair was measured.

    Raises:
        BenchError: the first cell failed.
        InterruptedRun: it was stopped before.
    """
    if reasons:
        raise BenchError(f"No pair of cells could be measured: {reasons[0]}")
    raise InterruptedRun("Stopped from outside before a pair of cells was measured.")


def _conclude(floor: NoiseFloor, kept: _Kept) -> None:
    """End with an error unless every pair was measured.

    Raises:
        BenchError: some failed.
        InterruptedRun: it was stopped.
    """
    if len(floor.pairs) == floor.asked:
        return
    done = f"{len(floor.pairs)} of {floor.asked} pairs"
    what = f"The noise floor rests on these; see {kept.path}."
    if floor.log_limit is None:
        what = f"A noise floor needs {least_pairs()}, so there is none; see {kept.path}."
    if kept.reasons:
        raise BenchError(f"{done} were measured, others failed: {kept.reasons[0]} {what}")
    raise InterruptedRun(f"Stopped from outside after {done}. {what}")
