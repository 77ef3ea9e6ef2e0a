"""`bench throughput`: what it keeps, shows and says; stopped, killed, or given nonsense, too."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from timed import cell, failed, timings

from harness.cell_progress import cell_line
from harness.cmd_speed_tables import (
    document,
    lines,
    other_table,
    training_table,
    with_letters,
)
from harness.mlflow_client import open_client
from harness.mlflow_names import ROLE, TIMINGS_ROLE
from harness.store import Store
from harness.timings import Overhead, Timings, all_timings
from harness.tracking_uri import resolve_uri
from reports.speed import pairs, speeds

Bench = Callable[[str], tuple[int, str, str]]

BENCH = "from harness.cli import main; main()"

# The command with stand-ins for what measures: as the command line calls it.
STAND_IN = """
import signal, sys
from pathlib import Path
from harness import cli, cmd_throughput
from harness.cell import CellPlan
from timed import contender
signal.signal(signal.SIGTERM, cli._interrupt)
out, probe, *names = sys.argv[1:]
sys.exit(cli._exit_code(lambda: cmd_throughput.throughput(
    [contender(name) for name in names], CellPlan(seconds=0.1), repeats=3, observer=False,
    as_json=False, out=Path(out), tracking_uri=None, experiment="bench", data_dir=None,
    probe="cell_probes:" + probe,
)))
"""


def start(out: Path, probe: str, *names: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "NOTES": str(out / "notes"), "COLUMNS": "80",
    }  # fmt: skip
    for name in ("MLFLOW_TRACKING_URI", "BENCH_OUT"):
        environment.pop(name, None)
    out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(out), probe, *names],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kept(out: Path) -> Timings:
    (found,) = all_timings(Store(out).timings)
    return found


def tracked(out: Path) -> list[tuple[str, list[str]]]:
    """Return status and artifacts of the timings in MLflow."""
    client = open_client(resolve_uri(None, Store(out).root))
    experiment = client.get_experiment_by_name("bench")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{ROLE}` = '{TIMINGS_ROLE}'")
    return [
        (run.info.status, [a.path for a in client.list_artifacts(run.info.run_id, "timings")])
        for run in runs
    ]


@pytest.mark.slow
def test_who_fails_is_told_and_the_others_are_compared(tmp_path: Path) -> None:
    with start(tmp_path, "fail_once", "notebook-cnn", "readme-cnn", "patch-s") as process:
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors == (
        "Error: 1 of 3 contenders could not be measured: readme-cnn. See the reasons above.\n"
    )
    assert "round 1 of 3, notebook-cnn: 101 images/s, step 634 ms; took " in said
    assert "readme-cnn failed in round 1: `width` must be odd." in said
    assert "patch-s failed in round 2: ZeroDivisionError: division by zero." in said
    # 121/101 and 123/103: the second round has no partner.
    assert "patch-s is faster than notebook-cnn by 20 % [1" in said
    assert "no noise floor is known here: `bench calibrate` measures it" in said
    which = "readme-cnn from notebook-cnn, patch-s from readme-cnn"
    assert f"cannot separate {which}: there is no round in which" in said
    found = kept(tmp_path)
    assert (found.status, len(found.cells), found.overhead) == ("finished", 7, None)
    assert tracked(tmp_path) == [("FINISHED", ["timings/timings.json"])]


@pytest.mark.slow
def test_stopped_it_keeps_shows_and_sends_what_was_measured(tmp_path: Path) -> None:
    with start(tmp_path, "hang", "notebook-cnn", "patch-s") as process:
        measuring = waited_for(tmp_path / "notes", process)
        process.send_signal(2)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted: Stopped from outside; 2 cells are kept in " in errors
    assert len(errors.splitlines()) == 1
    assert "notebook-cnn" in said
    assert not Path(f"/proc/{measuring}").exists()
    found = kept(tmp_path)
    assert (found.status, len(found.cells)) == ("interrupted", 2)
    assert tracked(tmp_path) == [("KILLED", ["timings/timings.json"])]


@pytest.mark.slow
def test_killed_it_loses_the_running_cell_alone_and_sync_sends_the_rest(tmp_path: Path) -> None:
    with start(tmp_path, "hang", "notebook-cnn", "patch-s") as process:
        waited_for(tmp_path / "notes", process)
        process.kill()
    assert len(kept(tmp_path).cells) == 2
    words = [sys.executable, "-c", BENCH, "sync", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 sent")
    assert tracked(tmp_path) == [("KILLED", ["timings/timings.json"])]


@pytest.mark.slow
def test_the_real_command_times_a_real_network_for_scripts(tmp_path: Path) -> None:
    words = (
        "throughput --backbone nets:tiny --dataset digits --train-examples 64 --batch-size 8 "
        "--repeats 2 --seconds 0.3 --latency-samples 5 --no-observer --json"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", BENCH, *words.split()], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": path, "BENCH_OUT": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert "round 2 of 2, nets:tiny: " in done.stderr, "what is for people"
    found = kept(tmp_path)
    assert said["name"] == found.name
    (row,) = said["contenders"]
    assert row["measures"]["images_per_s"]["n"] == 2
    assert "at least 662 samples" in row["measures"]["latency_p99_ms"]["absent"]
    assert said["pairs"] == []
    assert [cell.status for cell in found.cells] == ["finished"] * 2
    assert [cell.config.dataset for cell in found.cells] == ["digits"] * 2
    assert tracked(tmp_path) == [("FINISHED", ["timings/timings.json"])]


def waited_for(notes: Path, process: subprocess.Popen[str]) -> int:
    """Wait until a cell says that it hangs; return its process."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if notes.exists() and notes.read_text():
            return int(notes.read_text())
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def drawn(table: Table) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_tables_fit_a_terminal_of_80_columns() -> None:
    rates = {"notebook-cnn": (11_234.0, 11_500.0), "patch-s": (12_120.0, 13_300.0)}
    rows = speeds(timings(rates))
    for table in (training_table(rows), other_table(rows)):
        assert "…" not in drawn(table)
        assert "notebook-cnn " in drawn(table), "in one piece"
    assert "12,710 [12,120, 13,300]" in drawn(training_table(rows))


def test_long_names_become_letters_that_are_told() -> None:
    long = "backbone=patch-s,batch_size=128,jit=on"
    made = timings()
    renamed = dataclasses.replace(
        made,
        contenders=(made.contenders[0], dataclasses.replace(made.contenders[1], name=long)),
        cells=tuple(
            dataclasses.replace(c, contender=long if c.contender == "patch-s" else c.contender)
            for c in made.cells
        ),
        overhead=Overhead(contender=long, pairs=((1.0, 2.0),)),
    )
    called, who = with_letters(renamed)
    assert who == ["A: notebook-cnn", f"B: {long}"]
    assert "…" not in drawn(training_table(speeds(called)))
    first, *_ = lines(speeds(called), pairs(called), None)
    assert first == "B is faster than A by 20 % [19, 22]"
    assert called.overhead is not None
    assert called.overhead.contender == "B"
    assert with_letters(made) == (made, [])


def test_alone_a_contender_has_no_ratio() -> None:
    rows = speeds(timings({"notebook-cnn": (100.0, 102.0)}))
    assert "ratio" not in drawn(training_table(rows))
    first, *_ = lines(rows, (), None)
    assert first.startswith("in brackets: 95 % intervals over processes")


def test_the_document_is_plain_json() -> None:
    made = timings()
    shaken = cell("patch-s", 4, 130.0, flags=("slow",), phases={"latency": ("steal 3 %",)})
    made = timings(cells=(*made.cells, shaken))
    values = json.loads(json.dumps(document(made.name, speeds(made), pairs(made), None)))
    assert values["overhead"] is None
    second = values["contenders"][1]
    assert (second["ratio"]["varied"], second["ratio"]["n"]) == ("rounds", 3)
    assert (second["flags"], second["disturbed_phases"]) == ({"slow": 1}, {"latency": 1})


def test_a_line_of_a_cell_tells_what_disturbed_it() -> None:
    shaken = cell(rate=100.0, disturbances=(("steal 12 %",), ("others used 0.8 cores",)),
                  flags=("never became stationary within 60 s",))  # fmt: skip
    assert cell_line(shaken, 5) == (
        "round 1 of 5, notebook-cnn: 100 images/s, step 640 ms, 100 % of it disturbed (steal 12 % "
        "and 1 more), never became stationary within 60 s; took 20 s"
    )
    assert failed().reason == "No such luck."


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--repeats 1", "--repeats must be at least 2, because an interval over processes needs"),
        ("--seconds 0", "--seconds must be above 0"),
        ("--seconds nan", "--seconds must be above 0"),
        ("--inference-batch 0", "--inference-batch must be 1 to"),
        ("--latency-samples -1", "--latency-samples must be 1 to"),
        ("--backbone notebok-cnn", "Did you mean 'notebook-cnn'?"),
        ("--contender batch_sise=3", "Did you mean 'batch_size'?"),
        ("--batch-size 5000", "must not exceed the 1197 training examples"),
        ("--epochs 3", "No such option '--epochs'"),
    ],
)
def test_bad_input_is_refused_at_once(words: str, reason: str, bench: Bench, store: Store) -> None:
    code, _, said = bench(f"throughput --dataset digits {words}")
    assert code == 2
    assert reason in said
    assert said.count("\n") == 1
    assert not store.timings.exists()
