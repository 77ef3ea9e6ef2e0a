"""A report that was tampered with is caught, whatever was changed, and what is whole holds."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import fabricate

from harness.config import RunConfig
from harness.predictions import Predictions
from reports.evidence import load
from reports.folder import DOCUMENT_FILE, EVIDENCE, MANIFEST_FILE
from reports.publish import publish
from reports.verify import Findings, verify

Bench = Callable[[str], tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three contenders: three seeds, two seeds, and one."""
    folder = tmp_path_factory.mktemp("verify")
    runs = [
        fabricate(folder / "runs", f"{name}-{seed}", accuracy=accuracy, noise=noise,
                  config=RunConfig(backbone=name, dataset="mnist", seed=seed))
        for name, accuracy, noise, seeds in (
            ("a-cnn", 0.97, 0.01, 3), ("b-cnn", 0.9, 0.03, 2), ("c-cnn", 0.93, 0.02, 1),
            ("d-cnn", 0.92, 0.02, 1),
        )
        for seed in range(seeds)
    ]  # fmt: skip
    publish(runs, folder / "report", title="Three")
    return folder / "report"


@pytest.fixture
def report(made: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    copy = tmp_path / "report"
    for path in made.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return copy


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def signed(folder: Path, name: str, content: bytes) -> None:
    """Write a file and put its digest into the manifest, as somebody who cheats would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["files"][name] = [hashlib.sha256(content).hexdigest()]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def test_a_whole_report_holds(made: Path) -> None:
    found = verify(made)
    assert (found.broken, found.unchecked) == ([], [])
    assert found.files == len(files(made)) - 1
    assert found.images == 7 * 400
    # 7 runs x 5 measures; 4 rows x 4 qualities and 2 shifts x 3 numbers and 2 ranks; 6 pairs x 3
    # measures x 5 numbers and a verdict.
    assert found.numbers == 7 * 5 + 4 * (6 * 3 + 2) + 6 * (3 * 5 + 1)


def test_one_changed_byte_anywhere_is_named(report: Path) -> None:
    for name in files(report):
        path = report / name
        whole = path.read_bytes()
        every = name in (MANIFEST_FILE, DOCUMENT_FILE, "report.md")
        for place in (0, len(whole) // 2, len(whole) - 1) if every else (len(whole) // 2,):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            broken = verify(report).broken
            assert broken, (name, place)
            if name != MANIFEST_FILE:
                assert any(name in line for line in broken), (name, broken)
        path.write_bytes(whole)
    assert verify(report).broken == []


def test_a_missing_file_is_named(report: Path) -> None:
    for name in files(report)[::5]:
        whole = (report / name).read_bytes()
        (report / name).unlink()
        assert any(name in line for line in verify(report).broken)
        (report / name).write_bytes(whole)


def numbers(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all numbers that verdicts and leaderboards consist of."""
    if isinstance(value, dict):
        return [p for key, item in value.items() for p in numbers(item, (*path, key))]
    if isinstance(value, list):
        return [p for place, item in enumerate(value) for p in numbers(item, (*path, place))]
    return [path] if isinstance(value, float) else []


def test_a_number_that_was_changed_and_signed_is_found(report: Path) -> None:
    document = json.loads((report / DOCUMENT_FILE).read_text())
    wanted = {"value", "low", "high", "p_value", "p_holm"}
    places = [
        place for place in numbers(document["tables"], ("tables",))
        if place[-1] in wanted and "images_per_s" not in place
    ]  # fmt: skip
    # Two rows of one seed have no interval of their shifts.
    assert len(places) == 4 * 4 * 3 + 2 * 2 * 3 + 2 * 2 + 6 * 3 * 5
    for place in places[::7]:  # of each kind some: 7 is no multiple of their period
        changed = json.loads((report / DOCUMENT_FILE).read_text())
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        whole = (report / DOCUMENT_FILE).read_bytes()
        holder[place[-1]] += 0.001
        signed(report, DOCUMENT_FILE, json.dumps(changed).encode())
        assert len(verify(report).broken) >= 1, place
        signed(report, DOCUMENT_FILE, whole)


def test_a_verdict_or_rank_that_was_changed_and_signed_is_found(report: Path) -> None:
    document = json.loads((report / DOCUMENT_FILE).read_text())
    verdict = document["tables"][0]["verdicts"][0]
    verdict["better"] = None if verdict["better"] else verdict["first"]
    document["tables"][0]["contenders"][0]["ranks"] = [2, 2]
    signed(report, DOCUMENT_FILE, json.dumps(document).encode())
    broken = "\n".join(verify(report).broken)
    assert "the verdict on score of a-cnn against c-cnn is" in broken
    assert "best rank of a-cnn" in broken


def test_predictions_that_were_changed_and_signed_are_found(report: Path) -> None:
    name = f"{EVIDENCE}/a-cnn-1/predictions-test.npz"
    predictions = Predictions.load(report / name)
    predictions.predicted_boxes[7] = [0, 0, 1, 1]
    predictions.save(report / name)
    signed(report, name, (report / name).read_bytes())
    broken = "\n".join(verify(report).broken)
    assert "test mean_iou of run a-cnn-1 is" in broken
    assert "mean_iou of a-cnn is" in broken


def test_other_images_are_found(report: Path) -> None:
    name = f"{EVIDENCE}/c-cnn-0/predictions-test.npz"
    predictions = Predictions.load(report / name)
    predictions.ids[:] += 1
    predictions.save(report / name)
    signed(report, name, (report / name).read_bytes())
    assert "the runs did not predict the same images" in "\n".join(verify(report).broken)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"tables": 1, "runs": []}', b'{"tables": [{}], "runs": [1]}']
)
def test_a_document_beyond_reading_is_a_finding(report: Path, content: bytes) -> None:
    signed(report, DOCUMENT_FILE, content)
    assert any("report.json cannot be read" in line for line in verify(report).broken)


def test_damaged_evidence_is_a_finding(report: Path) -> None:
    name = f"{EVIDENCE}/c-cnn-0/predictions-test.npz"
    signed(report, name, b"not a zip")
    assert any("evidence of run c-cnn-0 cannot be read" in line for line in verify(report).broken)


def test_a_broken_stream_inside_a_sound_archive_is_a_finding(report: Path) -> None:
    name = f"{EVIDENCE}/c-cnn-0/predictions-test.npz"
    content = bytearray((report / name).read_bytes())
    with zipfile.ZipFile(report / name) as archive:
        entry = max(archive.infolist(), key=lambda each: each.compress_size)
        assert entry.compress_type == zipfile.ZIP_DEFLATED
    start = entry.header_offset + 30 + len(entry.filename)
    content[start : start + entry.compress_size] = b"\xff" * entry.compress_size
    (report / name).write_bytes(content)
    assert any("evidence of run c-cnn-0 cannot be read" in line for line in verify(report).broken)


def test_a_manifest_cannot_lead_out_of_the_folder(report: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    signed(report, "../outside", b"x")
    assert any("../outside leads out of the report" in line for line in verify(report).broken)


def test_runs_without_predictions_are_told_apart(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path / "runs", "one", config=RunConfig(dataset="mnist"))
    (folder / "predictions-test.npz").unlink()
    assert load(record, folder).outcomes is None
    publish([(record, folder)], tmp_path / "report", title="One")
    found = verify(tmp_path / "report")
    assert found.broken == []
    assert found.unchecked[0] == "run one: its predictions are not in the report"


def test_findings_count_what_agrees() -> None:
    found = Findings()
    found.hold("a", 1.0, 1.0 + 1e-9)
    found.hold("b", None, None)
    found.hold("c", 0.5, None)
    found.hold("d", "x", 0.5)
    assert found.numbers == 2
    assert found.broken == [
        "c is 0.5 in the report, but absent", "d is x in the report, but 0.5",
    ]  # fmt: skip


def test_it_needs_numpy_and_nothing_heavier() -> None:
    script = (
        "import sys, reports.verify; print([name for name in ('scipy', 'pandas', 'mlflow', "
        "'tensorflow', 'keras', 'optuna', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_command_says_what_is_broken(report: Path, bench: Bench) -> None:
    code, said, errors = bench(f"verify {report}")
    assert (code, errors) == (0, "")
    assert "numbers were computed again from 2,800 predictions and agree" in said
    path = report / "report.md"
    path.write_text(path.read_text() + " ")
    code, said, errors = bench(f"verify {report}")
    assert code == 1
    assert "report.md was changed after it was written" in said
    assert errors == f"Error: {report} is not what bench wrote: 1 thing no longer holds.\n"
    code, _, errors = bench(f"verify {report.parent}")
    assert code == 2
    assert "must be the folder of a report" in errors


def test_arrays_of_another_shape_do_not_pass(report: Path) -> None:
    name = f"{EVIDENCE}/c-cnn-0/predictions-test.npz"
    np.savez(report / name, labels=np.zeros(3))
    signed(report, name, (report / name).read_bytes())
    assert any("evidence of run c-cnn-0" in line for line in verify(report).broken)


def test_what_only_records_tell_must_be_what_they_say(report: Path) -> None:
    document = json.loads((report / DOCUMENT_FILE).read_text())
    document["tables"][0]["contenders"][0]["shift"]["shift_box_px"]["value"] += 0.01
    signed(report, DOCUMENT_FILE, json.dumps(document).encode())
    broken = verify(report).broken
    assert [line.split(" is ")[0] for line in broken] == ["shift_box_px of a-cnn"]
