"""What a report says of the speeds of runs: nothing below the noise floor, nothing without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from calibrated import floor
from records import MACHINE, fabricate

from harness.config import RunConfig
from harness.noise_floor import NoiseFloor
from harness.record import Machine
from reports.compare import compare
from reports.evidence import load
from reports.run_speeds import run_speed_lines

NAMES = ("notebook-cnn", "readme-cnn", "patch-s")


def said(
    folder: Path, speeds: Sequence[float], floors: Sequence[NoiseFloor], *,
    seeds: int = 1, machines: Sequence[Machine] = (MACHINE, MACHINE, MACHINE),
) -> list[str]:  # fmt: skip
    """Return the lines of a report on backbones with these images/s."""
    runs = [
        fabricate(folder, f"{name}-{seed}", images_per_s=speed, machine=machine,
                  config=RunConfig(backbone=name, dataset="mnist", epochs=5, seed=seed))
        for name, speed, machine in zip(NAMES, speeds, machines, strict=False)
        for seed in range(seeds)
    ]  # fmt: skip
    comparison = compare(load(*run) for run in runs)
    board = comparison.tables[0]
    links = {row.name: f"`{row.name}`" for row in board.contenders}
    lines = run_speed_lines(board, links, dict(comparison.machines), floors)
    return [line for line in lines if line.startswith("- ")]


def test_without_a_floor_nothing_is_claimed(tmp_path: Path) -> None:
    words = (
        "- No difference of images/s on M1 is claimed: no noise floor of that machine is stored. "
        "`bench calibrate` measures one."
    )
    assert said(tmp_path, (400, 800), []) == [words]


def test_only_what_is_beyond_the_floor_is_claimed(tmp_path: Path) -> None:
    # Three rows are three pairs: t(1 - 0.05 / 6, 20) = 2.613 x ln 1.01 gives 2.6 %. The spans of
    # five epochs have a standard deviation of 5 images/s: 1,000 and 990 differ by about 1 %.
    lines = said(tmp_path, (1000, 990, 500), [floor()])
    assert len(lines) == 3
    assert lines[0].startswith("- Cannot separate ")
    assert lines[0].endswith(": below the noise floor of 2.6 %.")
    assert "trained 2.0" in lines[1]
    assert lines[1].endswith(" times as many images/s as `patch-s`.")
    assert lines[2] == (
        "- Noise floor of M1 for single processes: 2.1 %, for these 3 rows together 2.6 %; "
        "20 identical pairs, 2026-01-02."
    )


def test_seeds_that_overlap_are_not_told_apart(tmp_path: Path) -> None:
    # Two seeds of 40 and of 42 images/s, each the mean of 5 epochs with a standard deviation of 5.
    lines = said(tmp_path, (42, 38), [floor()], seeds=2)
    assert "their intervals over seeds overlap" in lines[0]


def test_rows_beyond_the_verdicts_are_counted(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, f"r{n}", images_per_s=2000 - 10 * n, epochs=2,
                  config=RunConfig(dataset="mnist", epochs=2, learning_rate=10**-3 / (1 + n)))
        for n in range(23)
    ]  # fmt: skip
    comparison = compare(load(*run) for run in runs)
    (board,) = comparison.tables
    links = {row.name: row.name for row in board.contenders}
    lines = run_speed_lines(board, links, dict(comparison.machines), [floor()])
    said = [line for line in lines if line.startswith("- ")]
    assert len(said) == 20 + 2
    assert said[-2] == "- Not compared with the fastest: 2 rows on M1, slower still."


def test_other_machines_are_not_compared_and_their_floors_not_used(tmp_path: Path) -> None:
    laptop = dataclasses.replace(MACHINE, host_digest="beef")
    assert said(tmp_path, (400, 800), [floor()], machines=(MACHINE, laptop)) == []
    assert "no noise floor" in said(tmp_path / "b", (400, 800), [floor(machine=laptop)])[0]


def test_cpu_and_gpu_rows_have_floors_of_their_own(tmp_path: Path) -> None:
    # Of the CPU 2.1 %, of the GPU 21 %; all three rows are of one machine, "M1".
    gpu = dataclasses.replace(MACHINE, devices=("gpu:0",), strategy="gpu")
    floors = [floor(), floor((1.1, 1 / 1.1) * 10, machine=gpu)]
    lines = said(tmp_path, (400, 5000, 4500), floors, machines=(MACHINE, gpu, gpu))
    assert len(lines) == 3
    assert lines[0] == (
        "- Cannot separate `readme-cnn` and `patch-s`: below the noise floor of 22.0 %."
    )
    assert lines[1].startswith("- Noise floor of M1 (GPU) for single processes: 22.0 %, ")
    assert lines[2] == (
        "- Rows that M1 trained on other kinds of devices are not compared: each kind has its "
        "floor."
    )


def test_a_single_row_is_compared_with_nobody(tmp_path: Path) -> None:
    assert said(tmp_path, (400,), [floor()]) == []
