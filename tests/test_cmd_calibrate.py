"""`bench calibrate`: what it keeps and says; stopped, failing, and given nonsense."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from calibrated import floor
from timed import cell

from harness.cell import CellPlan
from harness.cmd_calibrate import busy_lines, calibrate, floor_lines, in_pairs
from harness.config import RunConfig
from harness.errors import BenchError
from harness.noise_floor import NoiseFloor, Pair, noise_floors
from harness.record import Measure
from harness.store import Store

Bench = Callable[[str], tuple[int, str, str]]

# The command with stand-ins for what measures: as the command line calls it.
STAND_IN = """
import signal, sys
from pathlib import Path
from harness import cli, cmd_calibrate
from harness.cell import CellPlan
from harness.config import RunConfig
signal.signal(signal.SIGTERM, cli._interrupt)
out, probe, pairs, as_json = sys.argv[1:]
sys.exit(cli._exit_code(lambda: cmd_calibrate.calibrate(
    RunConfig(dataset="digits"), CellPlan(seconds=0.1), pairs=int(pairs), out=Path(out),
    as_json=as_json == "json", data_dir=None, probe="calibration_probes:" + probe,
)))
"""


def start(out: Path, probe: str, pairs: int = 20, form: str = "text") -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "NOTES": str(out / "notes"), "COLUMNS": "80",
    }  # fmt: skip
    out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(out), probe, str(pairs), form],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kept(out: Path) -> NoiseFloor:
    (found,) = noise_floors(Store(out).calibrations)
    return found


def stopped(out: Path, probe: str) -> tuple[str, str]:
    """Press Ctrl-C once a process hangs; return what was said, and prove that none is left."""
    with start(out, probe) as process:
        deadline = time.monotonic() + 120
        while not (out / "notes").exists() or not (out / "notes").read_text():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(2)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not Path(f"/proc/{(out / 'notes').read_text()}").exists()
    return said, errors


@pytest.mark.slow
def test_it_stores_a_floor_and_prints_one_json_object(tmp_path: Path) -> None:
    with start(tmp_path, "tell", 20, "json") as process:
        said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    found, printed = kept(tmp_path), json.loads(said)
    # Every pair is 1 % apart: see the test of the value.
    assert found.relative() == pytest.approx(0.0209731, rel=1e-4)
    assert (printed["pairs"], printed["asked"], printed["disturbed_pairs"]) == (20, 20, 1)
    assert printed["relative_one_process"] == found.relative()
    assert "20 pairs of identical cells, 40 processes: about" in errors
    assert (
        "noise floor 0.9 %: differences below it are not claimed, of 5 processes each; of one "
        "process each 2.1 %"
    ) in errors


@pytest.mark.slow
def test_stopped_it_keeps_the_pairs_but_no_floor(tmp_path: Path) -> None:
    _, errors = stopped(tmp_path, "hang")
    assert errors.startswith(
        "Interrupted: Stopped from outside after 2 of 20 pairs. A noise floor needs 19, so there "
        "is none; see "
    )
    found = kept(tmp_path)
    assert (len(found.pairs), found.asked, found.log_limit) == (2, 20, None)


@pytest.mark.slow
def test_killed_it_loses_the_running_pair_alone(tmp_path: Path) -> None:
    with start(tmp_path, "hang") as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "notes").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    assert len(kept(tmp_path).pairs) == 2


@pytest.mark.slow
def test_stopped_before_a_pair_it_keeps_nothing(tmp_path: Path) -> None:
    _, errors = stopped(tmp_path, "hang_at_once")
    assert errors == ("Interrupted: Stopped from outside before a pair of cells was measured.\n")
    assert not Store(tmp_path).calibrations.exists()


@pytest.mark.slow
def test_a_network_that_cannot_be_trained_is_told_after_one_cell(tmp_path: Path) -> None:
    with start(tmp_path, "fail") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors == "Error: No pair of cells could be measured: `width` must be odd.\n"


def calibrated(out: Path, probe: str) -> None:
    calibrate(
        RunConfig(dataset="digits"), CellPlan(seconds=0.1), pairs=3, as_json=False, out=out,
        data_dir=None, probe=f"calibration_probes:{probe}",
    )  # fmt: skip


def test_a_twin_is_not_timed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    words = "No pair of cells could be measured: `width` must be odd."
    with pytest.raises(BenchError, match=words):
        calibrated(tmp_path, "fail_but_a")
    assert (tmp_path / "notes").read_text() == "AB"


def test_a_cell_that_fails_between_others_loses_its_pair_alone(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^2 of 3 pairs were measured, others failed"):
        calibrated(tmp_path, "fail_at_times")
    assert len(kept(tmp_path).pairs) == 2


def test_pairs_are_rounds_of_both() -> None:
    cells = [
        cell("notebook-cnn", number, rate, contender=name)
        for name, number, rate in (
            ("A", 1, 110.0), ("B", 1, 100.0), ("B", 2, 100.0), ("B", 3, 90.0), ("A", 3, 99.0),
        )
    ]  # fmt: skip
    assert [pair.ratio for pair in in_pairs(cells)] == pytest.approx([1.1, 1.1])


def test_what_a_calibration_found_in_words() -> None:
    lines = list(floor_lines(floor()))
    assert lines[0].startswith("noise floor 0.9 %: differences below it are not claimed, of 5")
    assert lines[1] == (
        "a t-test on the steps of two processes calls 10 of 20 identical pairs different, where "
        "its level of 5 % allows 1.0"
    )
    # The pairs written by hand have two samples on each side.
    assert lines[2].startswith("some of these processes timed 2 graph calls only, too few")
    assert len(lines) == 3
    samples = tuple(float(rate) for rate in range(400, 410))
    many = Pair(
        first=Measure(value=404.5, samples=samples), second=Measure(value=404.5, samples=samples),
        called=False,
    )  # fmt: skip
    assert len(list(floor_lines(floor(pairs=(many,) * 20)))) == 2
    assert not any(line.startswith("noise floor") for line in floor_lines(floor([1.01] * 3)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of load")
def test_a_busy_machine_is_told() -> None:
    # Processes of another session are not of this one's making: a shell starts and leaves them.
    spin = "import time; end = time.time() + 6\nwhile time.time() < end: pass"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {spin!r}]).pid)"
    for _ in range(os.cpu_count() or 1):
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    first, second = busy_lines()
    assert "This machine is busy: " in first
    assert "others used " in first
    assert "better calibrate an idle one" in second


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--pairs 18", "--pairs must be at least 19, got 18: one more identical pair"),
        ("--backbone notebok-cnn", "Did you mean 'notebook-cnn'?"),
        ("--seconds 0", "--seconds must be above 0"),
        ("--seconds nan", "--seconds must be above 0"),
        ("--jit auto", "`bench calibrate` needs `jit` on or off"),
        ("--strategy multiworker", "no use for `multiworker`"),
    ],
)
def test_nonsense_is_refused_before_anything_starts(
    bench: Bench, store: Store, options: str, words: str
) -> None:
    code, said, errors = bench(f"calibrate {options}")
    assert (code, said) == (2, "")
    assert words in errors
    assert not store.root.exists()
