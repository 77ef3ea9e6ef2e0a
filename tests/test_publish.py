"""A report folder: complete, repeatable, and nobody else's files touched."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from records import fabricate, fabricate_sweep

from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import RunRecord
from reports.folder import EVIDENCE, MANIFEST_FILE, REPORT_FILE
from reports.publish import publish

Runs = list[tuple[RunRecord, Path]]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return [fabricate(tmp_path / "runs", "one", config=RunConfig(dataset="mnist"))]


@pytest.fixture
def failed(tmp_path: Path) -> Runs:
    """Of these a report has no pictures, which take seconds, but words and tables."""
    return [fabricate(tmp_path / "runs", "lost", status="failed", reason="no luck")]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_whole_report(tmp_path: Path) -> None:
    runs = fabricate_sweep(tmp_path / "runs", "tune", trials=20)
    for seed in range(2):
        config = RunConfig(backbone="readme-cnn", dataset="mnist", seed=seed)
        runs.append(fabricate(tmp_path / "runs", f"r{seed}", config=config))
    folder = tmp_path / "report"

    def importances(sweeps: Sequence[str]) -> Iterator[Mapping[str, float]]:
        assert sweeps == ["tune"]
        return iter([{"learning_rate": 1.0}])

    report = publish(
        runs, folder, title="All", importances=importances,
        commands={"tune": "bench sweep --trials 20"}, made_at="2026-01-02",
    )  # fmt: skip
    text = report.path.read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)#]+)\)", text))
    beside = {name for name in linked if name.startswith(f"{EVIDENCE}/")}
    linked -= beside
    written = set(contents(folder))
    kept = {name for name in written if name.startswith(f"{EVIDENCE}/")}
    assert beside == {f"{name.rpartition('/')[0]}/" for name in kept}
    assert linked == written - {REPORT_FILE, MANIFEST_FILE} - kept
    assert {path.relative_to(folder).as_posix() for path in report.files} == written - {
        MANIFEST_FILE
    }
    tested = [record.run_id for record, _ in runs if record.value("test_score") is not None]
    assert kept == {
        f"{EVIDENCE}/{run_id}/{name}"
        for run_id in tested
        for name in ("record.json", "predictions-test.npz")
    }
    for name in ("scores", "curves", "race", "scenes", "boxes", "confusion", "iou", "layers-1",
                 "sweep-1-trials", "sweep-1-fields", "sweep-1-importances", "expected-best",
                 "classes", "reliability", "worst", "pareto"):  # fmt: skip
        assert f"{name}.png" in written
        rows = list(csv.reader((folder / f"{name}.csv").read_text("utf-8").splitlines()))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}
    assert "Made at 2026-01-02." in text
    assert "bench sweep --trials 20" in text


def test_a_search_over_networks_shows_the_one_that_was_tested(tmp_path: Path) -> None:
    # Five widths were tried; the second was the best and is tested, the plain net stands beside.
    plain = RunConfig(dataset="mnist")
    runs = [
        fabricate(tmp_path / "runs", f"t{n}", role="trial", sweep="s", trial=n,
                  accuracy=0.9 if n == 1 else 0.5,
                  config=dataclasses.replace(plain, width=0.2 + n / 10, head="soft-argmax"))
        for n in range(5)
    ]  # fmt: skip
    searched = publish(runs, tmp_path / "searched", title="T").path.read_text("utf-8")
    assert networks(searched) == ["notebook-cnn head=soft-argmax width=0.3"]
    best = dataclasses.replace(runs[1][0].config, seed=1)
    runs += [
        fabricate(tmp_path / "runs", "f", role="final", sweep="s", trial=1, config=best),
        fabricate(tmp_path / "runs", "r", config=plain, accuracy=0.3),
    ]
    tested = publish(runs, tmp_path / "tested", title="T").path.read_text("utf-8")
    assert networks(tested) == ["notebook-cnn head=soft-argmax width=0.3", "notebook-cnn"]


def test_of_many_sweeps_those_that_stand_highest_are_drawn(tmp_path: Path) -> None:
    runs = [
        run
        for name in ("a", "b", "c")
        for run in fabricate_sweep(tmp_path / "runs", name, trials=6, seed=ord(name))
    ]
    whole = publish(runs, tmp_path / "whole", title="T")
    report = publish(runs, tmp_path / "r", title="T", most_drawn=1)
    best = whole.comparison.tables[0].contenders[0].sweeps[0]
    place = "abc".index(best) + 1
    drawn = {path.name for path in report.files if path.name.startswith("sweep-")}
    assert {name.split("-")[1] for name in drawn} == {str(place)}
    text = report.path.read_text("utf-8")
    for name in sorted({"a", "b", "c"} - {best}):
        assert f"bench report --sweep {name} draws this one." in text
    assert report.comparison == whole.comparison


def networks(text: str) -> list[str]:
    _, _, part = text.partition("## Networks")
    return re.findall("^### (.+)$", part.partition("\n## ")[0], re.MULTILINE)


def test_the_same_runs_give_the_same_bytes(tmp_path: Path, runs: Runs) -> None:
    publish(runs, tmp_path / "a", title="T")
    publish(runs, tmp_path / "b", title="T")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_old_report_is_replaced_without_rest(tmp_path: Path, failed: Runs) -> None:
    folder = tmp_path / "report"
    sweep = fabricate_sweep(tmp_path / "runs", "s", trials=6)
    publish([*failed, *sweep], folder, title="Big")
    assert (folder / "sweep-1-trials.png").exists()
    publish(failed, folder, title="Small")
    publish(failed, tmp_path / "fresh", title="Small")
    assert contents(folder) == contents(tmp_path / "fresh")


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, runs: Runs) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "report.md").write_text("my own words")
    with pytest.raises(StoreError, match=r"report\.md, which bench did not write"):
        publish(runs, folder, title="T")
    assert contents(folder) == {"report.md": b"my own words"}


def test_a_changed_report_is_not_overwritten(tmp_path: Path, failed: Runs) -> None:
    folder = tmp_path / "report"
    report = publish(failed, folder, title="T")
    report.path.write_text("my remarks")
    with pytest.raises(StoreError, match="was changed since bench wrote it"):
        publish(failed, folder, title="T")
    assert report.path.read_text() == "my remarks"


def test_files_laid_beside_a_report_stay(tmp_path: Path, failed: Runs) -> None:
    folder = tmp_path / "report"
    publish(failed, folder, title="T")
    (folder / "notes.txt").write_text("mine")
    (folder / "sweep-1-trials.png").write_text("mine too")
    publish(failed, folder, title="T")
    assert (folder / "notes.txt").read_text() == "mine"
    sweep = fabricate_sweep(tmp_path / "runs", "s", trials=6)
    with pytest.raises(StoreError, match=r"sweep-1-trials\.png was not written by bench"):
        publish([*failed, *sweep], folder, title="T")
    assert (folder / "sweep-1-trials.png").read_text() == "mine too"


def test_a_report_cut_off_while_written_is_taken_up_again(tmp_path: Path, runs: Runs) -> None:
    """The state after the first manifest and half of the files, made by hand."""
    folder = tmp_path / "report"
    publish(runs, folder, title="Old")
    publish(runs, tmp_path / "new", title="New")
    old = json.loads((folder / MANIFEST_FILE).read_text())
    new = json.loads((tmp_path / "new" / MANIFEST_FILE).read_text())
    old["files"] = {n: [*old["files"][n], *new["files"][n]] for n in old["files"]}
    (folder / MANIFEST_FILE).write_text(json.dumps(old))
    (folder / REPORT_FILE).write_bytes((tmp_path / "new" / REPORT_FILE).read_bytes())
    (folder / "curves.png").unlink()
    publish(runs, folder, title="New")
    assert contents(folder) == contents(tmp_path / "new")


@pytest.mark.parametrize(
    "manifest",
    ["{", "[]", '{"version": 1}', '{"version": 9, "files": {}}',
     '{"version": 1, "files": {"../runs/one/record.json": ["x"]}}'],
)  # fmt: skip
def test_a_forged_manifest_deletes_nothing(tmp_path: Path, runs: Runs, manifest: str) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / MANIFEST_FILE).write_text(manifest)
    with pytest.raises(StoreError, match="Choose another folder"):
        publish(runs, folder, title="T")
    assert (tmp_path / "runs" / "one" / "record.json").exists()


def test_a_file_in_place_of_the_folder(tmp_path: Path, runs: Runs) -> None:
    (tmp_path / "report").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        publish(runs, tmp_path / "report", title="T")


def test_a_sweep_without_an_end_has_a_report(tmp_path: Path) -> None:
    sweep = fabricate_sweep(tmp_path / "runs", "s", trials=6)
    trials = [run for run in sweep if run[0].role == "trial"]
    text = publish(trials, tmp_path / "r", title="T").path.read_text(encoding="utf-8")
    assert "nothing can be ranked" in text
    assert "(curves.png)" in text
    assert "(boxes.png)" in text


def test_only_failures_make_a_report_too(tmp_path: Path) -> None:
    run = fabricate(tmp_path / "runs", "f", status="failed", reason="no luck")
    text = publish([run], tmp_path / "r", title="T").path.read_text(encoding="utf-8")
    assert "| [`f`](#run-f) | `notebook-cnn`, seed 0 | failed | no luck |" in text
    assert "- Training curves: no run finished." in text
