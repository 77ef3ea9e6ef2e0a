"""The report's text: byte for byte against golden/report.md, and what must never be in it."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from records import DATA, MACHINE, fabricate, fabricate_sweep

from harness.config import RunConfig
from harness.record import RunRecord
from reports.compare import compare
from reports.evidence import load
from reports.markdown import Gallery, MissingPicture, Picture, render
from reports.statistics import Estimate
from reports.wording import Notes, cell, code, number, table, text

GOLDEN = Path(__file__).parent / "golden" / "report.md"


def golden_runs(folder: Path) -> list[tuple[RunRecord, Path]]:
    """Return two backbones, a sweep, other data and a failed run."""
    runs = fabricate_sweep(folder, "tune", trials=14)
    for backbone, accuracy in (("notebook-cnn", 0.97), ("readme-cnn", 0.9)):
        for seed in range(3):
            config = RunConfig(backbone=backbone, dataset="mnist", seed=seed, epochs=5)
            runs.append(
                fabricate(folder, f"{backbone}-{seed}", config=config, accuracy=accuracy,
                          minute=30 + seed)
            )  # fmt: skip
    digits = dataclasses.replace(DATA, source="digits", digest="d1" * 8, n_test=180)
    laptop = dataclasses.replace(MACHINE, host_digest="beef", cpu_model="Synthetic Laptop")
    config = RunConfig(dataset="digits", epochs=5)
    runs.append(fabricate(folder, "lone", config=config, data=digits, machine=laptop, minute=40))
    runs.append(
        fabricate(folder, "boom", status="failed", reason="no | such *file*\n<b>", minute=41)
    )
    return runs


def golden_report(folder: Path) -> str:
    """Return the report of all of them."""
    shown = Picture(title="Scores", file="scores.png", csv="scores.csv", alt="Scores [of] two",
                    caption="Test scores.")  # fmt: skip
    missing = MissingPicture(title="Right against wrong", reason="none was wrong")
    gallery = Gallery(tables=((shown, missing),), searches=((shown,),), networks=(shown,))
    return render(
        compare(load(*run) for run in golden_runs(folder)),
        title="Two backbones",
        gallery=gallery,
        numbers="report.json",
        links={
            "lone": [("MLflow", "http://mlflow.example:5000/#/experiments/1/runs/ab")],
            "readme-cnn-0": [("evidence", "evidence/readme-cnn-0/")],
        },
        commands={"tune": "bench sweep --trials 14"},
    )


def test_the_report_is_the_golden_one(tmp_path: Path) -> None:
    assert golden_report(tmp_path) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_no_locale_time_zone_or_hash_seed_changes_a_byte(tmp_path: Path, hash_seed: str) -> None:
    script = (
        "import sys; from pathlib import Path; from test_markdown import golden_report; "
        "sys.stdout.buffer.write(golden_report(Path(sys.argv[1])).encode())"
    )
    tests = Path(__file__).parent
    environment = dict(os.environ) | {
        "PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo", "LC_ALL": "C",
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, capture_output=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == GOLDEN.read_bytes()


def test_tables_are_well_formed(tmp_path: Path) -> None:
    """Each row of a table has as many cells as its head: no name or reason breaks it."""
    widths: list[int] = []
    for line in [*golden_report(tmp_path).splitlines(), ""]:
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []


def test_every_link_has_its_place_and_every_run_a_line(tmp_path: Path) -> None:
    report = golden_report(tmp_path)
    places = re.findall(r'<a id="([^"]+)"></a>', report)
    assert len(places) == len(set(places))
    targets = set(re.findall(r"\]\(#([^)]+)\)", report))
    assert targets <= set(places)
    assert {place for place in places if place.startswith("row-")} <= targets
    runs = {f"run-{record.run_id}" for record, _ in golden_runs(tmp_path / "again")}
    assert {place for place in places if place.startswith("run-")} == runs


def test_each_row_of_numbers_names_its_runs(tmp_path: Path) -> None:
    report = golden_report(tmp_path)
    (row,) = re.findall(r"^.*0\.7723<br>.*$", report, re.M)  # the leaderboard's line of readme-cnn
    (anchor,) = re.findall(r"\(#(row-[^)]+)\)", row)
    (listed,) = re.findall(rf'^.*<a id="{anchor}"></a>.*$', report, re.M)
    assert re.findall(r"\(#run-([^)]+)\)", listed) == [f"readme-cnn-{seed}" for seed in range(3)]
    (gap,) = re.findall(r"^\| optimism gap: .*$", report, re.M)
    assert re.findall(r"\(#run-([^)]+)\)", gap) == [
        "tune-t012", *(f"tune-final-{again}" for again in range(3))
    ]  # fmt: skip


def test_what_is_missing_is_never_a_nan_or_none(tmp_path: Path) -> None:
    report = golden_report(tmp_path)
    assert not re.search(r"\b(nan|None|inf)\b", report)


def test_runs_without_test_make_a_report_that_says_so(tmp_path: Path) -> None:
    run = fabricate(tmp_path, "dry", config=RunConfig(evaluate_test=False), tested=False)
    report = render(compare([load(*run)]), title="Dry", gallery=Gallery())
    assert "nothing can be ranked, because no run has a test result" in report
    assert (
        "| [`dry`](#run-dry) | `notebook-cnn`, seed 0 | finished | run with --no-test |" in report
    )


def test_a_lone_contender_is_not_called_better(tmp_path: Path) -> None:
    run = fabricate(tmp_path, "one", config=RunConfig(dataset="mnist"))
    report = render(compare([load(*run)]), title="One", gallery=Gallery())
    assert "it stands alone" in report
    assert "400 images (one seed)" in report
    assert "### Verdicts" not in report


def test_one_seed_wins_are_called_partly_believable(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, name, config=RunConfig(backbone=name, dataset="mnist"), accuracy=share)
        for name, share in (("a-cnn", 0.98), ("b-cnn", 0.6))
    ]
    report = render(compare(load(*run) for run in runs), title="T", gallery=Gallery())
    assert "luck of training is not ruled out. Run more seeds." in report
    assert "**[`a-cnn`](#row-1-1) > [`b-cnn`](#row-1-2)**" in report


def test_words_cannot_break_out_of_their_place() -> None:
    assert text("a|b *c* <i>\nd") == r"a\|b \*c\* \<i\> d"
    assert code("a`b|c\nd") == r"`a'b\|c d`"
    assert len(text("x" * 1000)) == 240


def test_numbers_and_cells() -> None:
    assert number(-0.00001) == "0.0000"
    assert number(-0.5, 2) == "-0.50"
    notes = Notes()
    assert cell(Estimate(absent="not run"), notes) == "absent<sup>1</sup>"
    assert cell(Estimate(value=0.5, absent="one seed"), notes) == "0.5000<sup>2</sup>"
    assert cell(Estimate(absent="not run"), notes) == "absent<sup>1</sup>"
    full = Estimate(value=0.5, low=0.4, high=0.6, varied="seeds", n=3)
    assert cell(full, notes, 2) == "0.50<br>[0.40,&nbsp;0.60]"
    assert notes.lines() == [
        "<sup>1</sup> not run.<br>\n<sup>2</sup> no interval: one seed.", ""
    ]  # fmt: skip


def test_table_lines() -> None:
    assert table(["a", "b"], [["1", "2"]], right="r") == [
        "| a | b |", "| --: | --- |", "| 1 | 2 |", ""
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"host_digest": "beef"}, {"governor": "powersave"}, {"gpus": ("NVIDIA A2",)},
        {"thread_settings": {"OMP_NUM_THREADS": "1"}}, {"git_commit": "beef" * 10},
    ],
)  # fmt: skip
def test_speeds_of_other_fingerprints_are_marked(tmp_path: Path, changes: dict[str, Any]) -> None:
    laptop = dataclasses.replace(MACHINE, **changes)
    runs = [
        fabricate(tmp_path, name, config=RunConfig(backbone=name, dataset="mnist"),
                  machine=machine, minute=minute)
        for minute, (name, machine) in enumerate([("a-cnn", MACHINE), ("b-cnn", laptop)])
    ]  # fmt: skip
    report = render(compare(load(*run) for run in runs), title="T", gallery=Gallery())
    assert "those speeds are not compared with each other" in report
    rows = [line for line in report.splitlines() if re.match(r"\| \d(.\d)? \|.*<br>", line)]
    assert sorted(re.findall(r"<br>on (M\d)", "".join(rows))) == ["M1", "M2"]
    first, second = (
        {line for line in report.splitlines() if line.startswith(f"| {label} |")}.pop()
        for label in ("M1", "M2")
    )
    assert first.removeprefix("| M1") != second.removeprefix("| M2"), (
        "the report says what differs"
    )


def test_what_disturbed_ranked_runs_is_told(tmp_path: Path) -> None:
    runs = []
    for minute, name in enumerate(["calm", "busy"]):
        config = RunConfig(seed=minute, dataset="mnist")
        record, folder = fabricate(tmp_path, name, config=config, minute=minute)
        if name == "busy":
            first = dataclasses.replace(record.history[0], disturbed=("steal 12 %",))
            record = dataclasses.replace(record, history=(first, *record.history[1:]))
        runs.append(load(record, folder))
    report = render(compare(runs), title="T", gallery=Gallery())
    assert "| [`busy`](#run-busy) | `notebook-cnn`, seed 1 | 1 of 5 epochs: steal 12 % |" in report
    calm = render(compare(runs[:1]), title="T", gallery=Gallery())
    assert "isturbed" not in calm


def test_the_table_of_machines_has_what_is_known(tmp_path: Path) -> None:
    server = dataclasses.replace(
        MACHINE, governor="performance", gpus=("NVIDIA A2", "NVIDIA A2"), driver="550.54",
        thread_settings={"OMP_NUM_THREADS": "1", "intra_op": "8"},
    )  # fmt: skip
    run = fabricate(tmp_path, "a", config=RunConfig(dataset="mnist"), machine=server)
    report = render(compare([load(*run)]), title="T", gallery=Gallery())
    assert "| Python | host | GPUs | governor | settings |" in report
    assert "| 2 x NVIDIA A2, driver 550.54 | performance | OMP\\_NUM\\_THREADS=1 |" in report
