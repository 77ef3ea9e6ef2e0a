"""`bench calibrate`: what it keeps and says; stopped, failing and for real."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from records import MACHINE
from simulated_timings import floor_of
from timed import cell, failed, timings

from harness.cmd_calibrate import document, floor_lines, in_pairs, known_floors
from harness.cmd_speed_tables import lines
from harness.noise_floor import NoiseFloor, Pair, noise_floors
from harness.record import Measure
from harness.store import Store
from reports.speed import pairs, speeds
from reports.speed_floor import floor_of_machine

FLOOR = floor_of(np.array([101.0, 100.0] * 10), np.array([100.0, 101.0] * 10))

# The command with stand-ins for what measures: as the command line calls it.
STAND_IN = """
import signal, sys
from pathlib import Path
from harness import cli, cmd_calibrate
from harness.cell import CellPlan
from harness.config import RunConfig
signal.signal(signal.SIGTERM, cli._interrupt)
out, probe, pairs, *as_json = sys.argv[1:]
sys.exit(cli._exit_code(lambda: cmd_calibrate.calibrate(
    RunConfig(dataset="digits"), CellPlan(seconds=0.1), pairs=int(pairs), as_json=bool(as_json),
    out=Path(out), data_dir=None, probe="cell_probes:" + probe,
)))
"""


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "NOTES": str(out / "notes"), "COLUMNS": "80",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(out), *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kept(out: Path) -> NoiseFloor:
    (found,) = noise_floors(Store(out).calibrations)
    return found


def waited_for(notes: Path, process: subprocess.Popen[str]) -> int:
    """Wait until a cell says that it hangs; return its process."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if notes.exists() and notes.read_text():
            return int(notes.read_text())
        time.sleep(0.05)
    raise AssertionError(process.communicate())


@pytest.mark.slow
def test_a_calibration_of_enough_pairs_stores_the_floor(tmp_path: Path) -> None:
    with start(tmp_path, "twins", "19", "json") as process:
        said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    found, told = kept(tmp_path), json.loads(said)
    assert (len(found.pairs), found.asked) == (19, 19)
    # Pairs are 1 % apart in turns: t(0.975, 19) = 2.093024 times ln 1.01.
    assert found.relative() == pytest.approx(math.expm1(2.093024 * math.log(1.01)), rel=1e-6)
    assert told["relative_one_process"] == found.relative()
    assert told["called_by_steps"] == sum(pair.called for pair in found.pairs)
    assert "19 pairs of identical cells, 38 processes: about " in errors
    assert "noise floor 0.9 %: differences below it are not claimed" in errors


@pytest.mark.slow
def test_stopped_it_keeps_its_pairs_but_too_few_make_no_floor(tmp_path: Path) -> None:
    with start(tmp_path, "twins_that_hang", "19") as process:
        measuring = waited_for(tmp_path / "notes", process)
        process.send_signal(2)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped from outside after 2 of 19 pairs. A noise floor needs 19, so" in errors
    assert len(errors.splitlines()) == 1
    assert "noise floor" not in said
    assert not Path(f"/proc/{measuring}").exists()
    found = kept(tmp_path)
    assert (len(found.pairs), found.asked, found.log_limit) == (2, 19, None)
    assert floor_of_machine([found], MACHINE) is None


@pytest.mark.slow
def test_killed_it_loses_the_running_pair_alone(tmp_path: Path) -> None:
    with start(tmp_path, "twins_that_hang", "19") as process:
        waited_for(tmp_path / "notes", process)
        process.kill()
    assert len(kept(tmp_path).pairs) == 2


@pytest.mark.slow
def test_what_cannot_be_measured_ends_it_at_once(tmp_path: Path) -> None:
    with start(tmp_path, "refuse", "19") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors == ("Error: No pair of cells could be measured: `width` must be odd.\n")
    assert not Store(tmp_path).calibrations.exists()


@pytest.mark.slow
def test_a_real_cell_trains_and_tells_its_rate(tmp_path: Path) -> None:
    code = (
        "from harness.cell import CellPlan, Contender; from harness.config import RunConfig;"
        "from harness.cell_processes import run_cells;"
        "config = RunConfig(backbone='nets:tiny', dataset='digits', train_examples=64,"
        " batch_size=8);"
        "cells = run_cells([Contender(name='A', config=config)], repeats=1,"
        " plan=CellPlan(seconds=0.3), probe='harness.calibration_probe:tell');"
        "print(*(cell.dumps() for cell in cells))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["status"] == "finished", found["reason"]
    assert found["measures"]["images_per_s"]["value"] > 0
    assert len(found["measures"]["images_per_s"]["samples"]) == len(found["spans"])
    assert found["machine"]["devices"] == ["cpu:0"]


def test_rounds_without_both_cells_make_no_pair() -> None:
    def twin(name: str, number: int, rate: float, **changes: object) -> object:
        return dataclasses.replace(cell(number=number, rate=rate, **changes), contender=name)

    cells = [
        twin("A", 1, 100.0), twin("B", 1, 110.0),
        twin("B", 2, 100.0, disturbances=(("steal 3 %",), ("steal 3 %",))), twin("A", 2, 120.0),
        twin("A", 3, 100.0), dataclasses.replace(failed(number=3), contender="B"),
    ]  # fmt: skip
    found = in_pairs(cells)  # type: ignore[arg-type]
    assert [pair.ratio for pair in found] == pytest.approx([100 / 110, 120 / 100])
    assert [pair.disturbed for pair in found] == [(), ("steal 3 %",)]


def test_what_is_said_of_a_calibration() -> None:
    disturbed = Pair(
        first=Measure(value=101.0), second=Measure(value=100.0), called=True,
        disturbed=("others used 0.8 cores (load 2.1)",),
    )  # fmt: skip
    floor = dataclasses.replace(FLOOR, pairs=(disturbed, *FLOOR.pairs[1:]))
    # t(0.975, 20) = 2.085963 times ln 1.01 is 0.020756; over the root of 5 it is 0.009282.
    limit, alarms, disturbance = floor_lines(floor)
    assert limit == (
        "noise floor 0.9 %: differences below it are not claimed, of 5 processes each; of one "
        "process each 2.1 %"
    )
    assert alarms == (
        "a t-test on the steps of two processes calls 1 of 20 identical pairs different; at its "
        "level of 5 % that should be 1.0"
    )
    assert disturbance == (
        "1 of 20 pairs were disturbed (others used 0.8 cores (load 2.1)); none is left out"
    )
    told = json.loads(json.dumps(document(floor), allow_nan=False))
    assert told["relative_5_processes"] == pytest.approx(math.expm1(0.009282), rel=1e-3)
    assert (told["disturbed_pairs"], told["called_by_steps"], len(told["ratios"])) == (1, 1, 20)


def test_throughput_claims_nothing_below_the_floor() -> None:
    apart = timings({"notebook-cnn": (100.0,) * 5, "patch-s": (100.5, 100.6, 100.4, 100.5, 100.6)})
    (free,), (held,) = pairs(apart), pairs(apart, FLOOR)
    assert free.outcome == "faster", "the interval alone tells them apart"
    assert (held.outcome, held.reason) == ("cannot separate", "below the noise floor of 0.9 %")
    assert "the noise floor of this machine is 0.9 % for so many processes" in list(
        lines(speeds(apart), (held,), None)
    )


def test_a_damaged_calibration_costs_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    assert known_floors(store) == []
    store.calibrations.mkdir()
    (store.calibrations / "x.json").write_text("{")
    assert known_floors(store) == []
    assert "No noise floor is used: " in capsys.readouterr().out
