"""`bench throughput`: contenders timed in turns, in processes of their own; kept and compared."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from harness.cell import Cell, CellPlan, Contender
from harness.cell_processes import PROBE, run_cells
from harness.cell_progress import CellProgress
from harness.cmd_floors import known_floors
from harness.cmd_run import check_step, opened_tracker
from harness.cmd_speed_tables import (
    document,
    lines,
    other_table,
    training_table,
    with_letters,
)
from harness.console import console, note, on_stderr, say, waiting
from harness.data import load
from harness.errors import BenchError, InterruptedRun, TrackingError
from harness.noise_floor import NoiseFloor
from harness.overhead import measure_overhead
from harness.store import Store, write_atomically
from harness.timings import TIMINGS_FILE, Overhead, Timings
from harness.tracking_uri import resolve_uri
from reports.speed import overhead_share, pairs, speeds
from reports.speed_floor import floor_of_machine
from reports.statistics import Estimate


def throughput(
    contenders: Sequence[Contender],
    plan: CellPlan,
    *,
    repeats: int,
    observer: bool,
    as_json: bool,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
    data_dir: Path | None,
    probe: str = PROBE,
) -> None:
    """Time contenders in turns, keep every cell, and say which differences are real.

    Args:
        contenders: the first is what the others are compared with; `dataset` may be "auto".
        plan: how each cell is measured.
        repeats: processes of each contender.
        observer: whether to measure what the harness costs, too.
        as_json: print one JSON object; what else there is to say goes to standard error.
        out: folder for all results.
        tracking_uri: MLflow store as given, or None.
        experiment: name in MLflow.
        data_dir: folder of MNIST's files as given, or None.
        probe: what measures a cell, see `run_cells`.

    Raises:
        UsageError: something does not fit.
        BenchError: no contender could be measured.
        InterruptedRun: it was stopped; what was measured is kept and shown.
    """
    store = Store(out)
    uri = resolve_uri(tracking_uri, store.root)
    store.check_writable()
    with on_stderr() if as_json else contextlib.nullcontext():
        contenders = _with_data(contenders, data_dir)
        with opened_tracker(uri, store, experiment) as tracker:
            record = _Record(store, contenders, plan, repeats)
            _measure(record, data_dir, observer=observer, probe=probe)
            timings = record.timings
            if timings.cells:
                note(f"timings {record.path}")
                with waiting("sending the timings to MLflow ..."):
                    try:
                        tracker.log_timings(record.path)
                    except TrackingError as error:
                        say(f"The timings are kept, and `bench sync` sends them: {error}")
        floor = floor_of_machine(known_floors(store), timings.machine)
        if not as_json:
            _show(timings, floor)
    if as_json:
        console.print_json(json.dumps(_document(timings, floor), allow_nan=False), indent=1)
    _conclude(timings, record.path)


class _Record:
    """Timings that are kept after each cell: a kill loses only the one that runs.

    Args:
        store: the output folder.
        contenders: what is timed.
        plan: how.
        repeats: rounds.
    """

    def __init__(
        self, store: Store, contenders: Sequence[Contender], plan: CellPlan, repeats: int
    ) -> None:
        started = datetime.now(UTC)
        self._start_s = perf_counter()
        self.timings = Timings(
            name=f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            started_at=started.isoformat(timespec="milliseconds"), duration_s=0.0,
            status="interrupted", plan=plan, repeats=repeats, contenders=tuple(contenders),
        )  # fmt: skip
        self.path = store.timings / self.timings.name / TIMINGS_FILE

    def add(self, cell: Cell) -> None:
        """Keep a cell."""
        self._keep(dataclasses.replace(self.timings, cells=(*self.timings.cells, cell)))

    def finish(self, overhead: Overhead | None) -> None:
        """Keep that all is measured."""
        self._keep(dataclasses.replace(self.timings, status="finished", overhead=overhead))

    def _keep(self, timings: Timings) -> None:
        seconds = round(perf_counter() - self._start_s, 3)
        self.timings = dataclasses.replace(timings, duration_s=seconds)
        write_atomically(self.path, self.timings.dumps().encode())


def _with_data(contenders: Sequence[Contender], data_dir: Path | None) -> tuple[Contender, ...]:
    """Return the contenders with their data sets named, after these were found to be usable."""
    found, known = [], {}
    for each in contenders:
        config = each.config
        asked = config.dataset, config.data_seed, config.train_examples, config.skip_bad
        if asked not in known:  # what there is to say of it is said once
            data = load(config, data_dir, say=say)
            known[asked] = data.dataset, data.n_train
        source, n_train = known[asked]
        check_step(config, n_train)
        config = dataclasses.replace(config, dataset=source)
        found.append(dataclasses.replace(each, config=config))
    return tuple(found)


def _measure(record: _Record, data_dir: Path | None, *, observer: bool, probe: str) -> None:
    """Measure cell after cell, and then the harness itself, until all is done or Ctrl-C."""
    asked = record.timings
    with CellProgress(asked.repeats) as progress, contextlib.suppress(KeyboardInterrupt):
        cells = run_cells(
            asked.contenders, repeats=asked.repeats, plan=asked.plan, data_dir=data_dir,
            on_turn=progress.begun, probe=probe,
        )  # fmt: skip
        with contextlib.closing(cells):
            for cell in cells:
                record.add(cell)
                progress.ended(cell)
        overhead = None
        works = {cell.contender for cell in record.timings.cells if cell.status == "finished"}
        usable = [each for each in asked.contenders if each.name in works]
        if observer and usable:
            progress.doing(f"what the harness costs beside {usable[0].name}")
            overhead = measure_overhead(usable[0], data_dir)
        record.finish(overhead)


def _show(timings: Timings, floor: NoiseFloor | None) -> None:
    timings, letters = with_letters(timings)
    rows = [row for row in speeds(timings) if row.processes]
    if not rows:
        return
    for line in letters:
        note(line)
    console.print(training_table(rows))
    console.print(other_table(rows))
    for line in lines(speeds(timings), pairs(timings, floor), _overhead(timings)):
        note(line)
    if floor is not None and len(timings.contenders) > 1:
        note(f"calibrated with {len(floor.pairs)} pairs, {floor.age_words(datetime.now(UTC))}")


def _document(timings: Timings, floor: NoiseFloor | None) -> dict[str, object]:
    return document(timings.name, speeds(timings), pairs(timings, floor), _overhead(timings))


def _overhead(timings: Timings) -> Estimate | None:
    return None if timings.overhead is None else overhead_share(timings.overhead)


def _conclude(timings: Timings, path: Path) -> None:
    """End with an error unless every contender was measured.

    Raises:
        BenchError: one could not be measured at all.
        InterruptedRun: it was stopped.
    """
    if timings.status == "interrupted":
        if not timings.cells:
            raise InterruptedRun("Stopped from outside before anything was measured.")
        kept = f"{len(timings.cells)} cells are" if len(timings.cells) > 1 else "1 cell is"
        raise InterruptedRun(f"Stopped from outside; {kept} kept in {path}.")
    works = {cell.contender for cell in timings.cells if cell.status == "finished"}
    failed = [each.name for each in timings.contenders if each.name not in works]
    if failed:
        raise BenchError(
            f"{len(failed)} of {len(timings.contenders)} contenders could not be measured: "
            f"{', '.join(failed)}. See the reasons above."
        )
