"""Baselines: whole or not there, checked byte by byte, never overwritten by accident."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from records import fabricate

from harness.baselines import (
    BASELINE_FILE,
    Baseline,
    baselines,
    read_baseline,
    save_baseline,
)
from harness.errors import StoreError, UsageError
from harness.predictions import predictions_file
from harness.store import RECORD_FILE

AT = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    runs = [fabricate(tmp_path / "runs", name) for name in ("one", "two")]
    save_baseline(tmp_path / "baselines", "main", runs, source="one,two", saved_at=AT)
    return tmp_path / "baselines"


def test_a_baseline_comes_back_as_it_was_saved(root: Path, tmp_path: Path) -> None:
    found = read_baseline(root / "main")
    assert (found.name, found.saved_at, found.source) == ("main", AT, "one,two")
    assert [record.run_id for record, _ in found.runs] == ["one", "two"]
    for record, folder in found.runs:
        assert folder == root / "main" / record.run_id
        for name in (RECORD_FILE, predictions_file("test")):
            original = tmp_path / "runs" / record.run_id / name
            assert (folder / name).read_bytes() == original.read_bytes()
    assert [path.name for path in root.iterdir()] == ["main"]


def test_it_can_be_moved(root: Path, tmp_path: Path) -> None:
    (root / "main").rename(tmp_path / "elsewhere")
    assert len(read_baseline(tmp_path / "elsewhere").runs) == 2


@pytest.mark.parametrize("name", [RECORD_FILE, predictions_file("test")])
def test_one_changed_byte_anywhere_is_found(root: Path, name: str) -> None:
    path = root / "main" / "two" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=f"two/{name} was changed. Save it again"):
        read_baseline(root / "main")
    path.unlink()
    with pytest.raises(StoreError, match=f"two/{name} is missing"):
        read_baseline(root / "main")


def test_a_damaged_list_is_an_error_that_names_the_file(root: Path) -> None:
    path = root / "main" / BASELINE_FILE
    values = json.loads(path.read_text())
    for broken in (
        "{", "[]", json.dumps(values | {"version": 2}),
        json.dumps(values | {"runs": [values["runs"][0] | {"run_id": "../one"}]}),
        json.dumps(values | {"runs": [{"run_id": "one", "files": {}}]}),
    ):  # fmt: skip
        path.write_text(broken)
        with pytest.raises(StoreError, match=f"{BASELINE_FILE} must be a baseline"):
            read_baseline(root / "main")


def test_one_that_cannot_be_replaced_stays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = Path.rename, iter((1, 2, 3))

    def second_fails(path: Path, target: Path) -> Path:
        if next(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    newer = [fabricate(tmp_path / "runs", "newer")]
    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(StoreError, match=r"main cannot be written: Input/output error"):
        save_baseline(root, "main", newer, source="newer", saved_at=AT, replace=True)
    assert read_baseline(root / "main").source == "one,two"
    assert [path.name for path in root.iterdir()] == ["main"]


def test_a_damaged_one_does_not_hide_the_others(root: Path, tmp_path: Path) -> None:
    save_baseline(root, "broken", [fabricate(tmp_path / "runs", "x")], source="x", saved_at=AT)
    (root / "broken" / "x" / RECORD_FILE).unlink()
    found = dict(baselines(root))
    assert isinstance(found["broken"], StoreError)
    assert isinstance(found["main"], Baseline)


def test_an_older_one_is_replaced_only_if_that_is_asked_for(root: Path, tmp_path: Path) -> None:
    runs = [fabricate(tmp_path / "runs", "three")]
    with pytest.raises(UsageError, match="There is a baseline 'main' already"):
        save_baseline(root, "main", runs, source="three", saved_at=AT)
    assert len(read_baseline(root / "main").runs) == 2
    save_baseline(root, "main", runs, source="three", saved_at=AT, replace=True)
    assert [record.run_id for record, _ in read_baseline(root / "main").runs] == ["three"]
    assert [path.name for path in root.iterdir()] == ["main"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "x" * 101, "a b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="A baseline's name must be"):
        save_baseline(tmp_path, name, [], source="x", saved_at=AT)


def test_a_save_that_fails_leaves_nothing(root: Path, tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path / "runs", "torn")
    (folder / predictions_file("test")).unlink()
    with pytest.raises(StoreError, match="new cannot be written"):
        save_baseline(root, "new", [(record, folder)], source="torn", saved_at=AT)
    assert [path.name for path in root.iterdir()] == ["main"]
