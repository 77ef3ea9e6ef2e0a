"""`bench doctor`: a page of facts, and exit code 1 if bench cannot work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from toy_sweep import toy_members

from harness import cli, cmd_doctor
from harness.devices import STRATEGIES
from harness.record import Measure
from sweeps.group import SweepGroup, settle_group


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "BENCH_OUT", "BENCH_DATA_DIR", "TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["doctor", "--no-peaks", *line.split()])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_a_new_machine_gets_a_page_and_nothing_is_made(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, error = doctor("", capsys)
    assert (code, error) == (0, "")
    for strategy in STRATEGIES:
        (line,) = (row for row in said.splitlines() if row.split()[:1] == [strategy])
        assert "usable: " in line or "not here: " in line
    assert "cpu          usable: cpu:0 (as asked for)" in said
    assert "multiworker  not here: `multiworker` must be told" in said
    assert "it would be downloaded" in said
    for fact in ("clock governor", "GPUs", "thread settings"):
        assert re.search(rf"^  {fact} +\S", said, re.M)
    assert said.endswith("bench can work here\n")
    assert not (home / "bench-runs").exists()


def test_what_keeps_bench_from_working_ends_in_exit_code_1(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "bench-runs" / "sweeps" / "mine").mkdir(parents=True)
    (home / "bench-runs" / "sweeps" / "mine" / "sweep.json").write_text("{")
    group = SweepGroup.of(toy_members("readme-cnn", "patch-s", name="sound"))
    settle_group(group, home / "bench-runs" / "sweeps" / "sound")
    code, said, error = doctor("--data-dir nowhere", capsys)
    assert code == 1
    assert "The data folder must hold MNIST, but" in said
    assert "sweep mine" in said
    assert error == "Error: 2 of the above must be mended before bench can work.\n"


def test_a_peak_is_told_with_its_spread_or_its_absence() -> None:
    measure = Measure(value=200.0, samples=(100.0, 200.0))
    assert cmd_doctor._peak_text(measure, "GB/s", "how") == (
        "200 GB/s (how; best of 2, slowest 100)"
    )
    assert cmd_doctor._peak_text(Measure(reason="why"), "GB/s", "how") == "absent, because why"
