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
        config = dataclasses.replace(config, dataset=data.source)
        for line in busy_lines():
            say(line)
        seconds = 2 * pairs * (_CELL_S + plan.seconds)
        note(
            f"{pairs} pairs of identical cells, {2 * pairs} processes: about {span_text(seconds)}"
        )
        started, start = datetime.now(UTC), perf_counter()
        cells, reasons = _measured(config, plan, pairs, data_dir, probe)
        found = in_pairs(cells)
        machine = next((cell.machine for cell in cells if cell.machine is not None), None)
        if machine is None or not found:
            _give_up(reasons)
        assert machine is not None, "a cell that was measured has one"
        enough = len(found) >= least_pairs()
        floor = NoiseFloor(
            name=f"{machine_digest(machine)}-{started:%Y%m%d-%H%M%S}",
            started_at=started.isoformat(timespec="milliseconds"),
            duration_s=round(perf_counter() - start, 3), config=config, seconds=plan.seconds,
            machine=machine, pairs=found, asked=pairs,
            log_limit=log_limit([pair.log_ratio for pair in found]) if enough else None,
        )  # fmt: skip
        path = store.calibrations / f"{floor.name}.json"
        write_atomically(path, floor.dumps().encode())
        for line in floor_lines(floor):
            note(line)
        note(f"calibration {path}")
    if as_json:
        console.print_json(json.dumps(document(floor), allow_nan=False), indent=1)
    _conclude(floor, path, reasons)


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
    disturbed = [pair.disturbed[0] for pair in floor.pairs if pair.disturbed]
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


def _measured(
    config: RunConfig, plan: CellPlan, pairs: int, data_dir: Path | None, probe: str
) -> tuple[list[Cell], list[str]]:
    """Return the cells that were measured until Ctrl-C, and why others were not."""
    twins = [Contender(name=name, config=config) for name in _TWINS]
    cells: list[Cell] = []
    with CellProgress(pairs) as progress, contextlib.suppress(KeyboardInterrupt):
        running = run_cells(
            twins, repeats=pairs, plan=plan, data_dir=data_dir, on_turn=progress.begun, probe=probe
        )
        with contextlib.closing(running):
            for cell in running:
                cells.append(cell)
                progress.ended(cell)
                if cell.status == "failed" and len(cells) == 1:
                    break  # its twin would fail alike
    return cells, [cell.reason or "" for cell in cells if cell.status == "failed"]


def _pair(first: Cell, second: Cell) -> Pair:
    reasons = [why for cell in (first, second) for each in cell.disturbances for why in each]
    rates = [cell.measures["images_per_s"] for cell in (first, second)]
    return Pair(
        first=rates[0], second=rates[1], disturbed=tuple(dict.fromkeys(reasons)),
        called=steps_differ(rates[0].samples, rates[1].samples),
    )  # fmt: skip


def _give_up(reasons: Sequence[str]) -> None:
    """End with why no pair was measured.

    Raises:
        BenchError: the first cell failed.
        InterruptedRun: it was stopped before.
    """
    if reasons:
        raise BenchError(f"No pair of cells could be measured: {reasons[0]}")
    raise InterruptedRun("Stopped from outside before a pair of cells was measured.")


def _conclude(floor: NoiseFloor, path: Path, reasons: Sequence[str]) -> None:
    """End with an error unless every pair was measured.

    Raises:
        BenchError: some failed.
        InterruptedRun: it was stopped.
    """
    if len(floor.pairs) == floor.asked:
        return
    what = (
        f"A noise floor needs {least_pairs()} pairs, so none is stored"
        if floor.log_limit is None
        else "The noise floor rests on these"
    )
    done = f"{len(floor.pairs)} of {floor.asked} pairs"
    if reasons:
        raise BenchError(f"{done} were measured, others failed: {reasons[0]} {what}; see {path}.")
    raise InterruptedRun(f"Stopped from outside after {done}. {what}; all is kept in {path}.")
