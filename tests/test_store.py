"""The output folder: atomic writes, and folders and files that cannot be used."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import stat
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import StoreError, TrackingError
from harness.record import RunRecord
from harness.store import (
    RECORD_FILE,
    Store,
    cannot_write,
    file_digest,
    is_full,
    read_record,
    write_atomically,
)

RECORD = RunRecord(
    run_id="b", role="run", config=RunConfig(), status="failed",
    started_at="2026-01-02T03:04:05+00:00", duration_s=1.0, reason="x",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def test_records_come_back_in_the_order_of_their_ids(store: Store) -> None:
    other = dataclasses.replace(RECORD, run_id="a")
    path = store.write_record(RECORD)
    store.write_record(other)
    assert path == store.run_dir("b") / RECORD_FILE
    assert store.read_record("b") == RECORD
    assert list(store.records()) == [other, RECORD]


def test_a_run_without_a_record_has_not_ended(store: Store) -> None:
    assert store.read_record("b") is None
    assert list(store.records()) == []
    store.run_dir("b").mkdir(parents=True)
    (store.root / "runs" / ".DS_Store").write_bytes(b"")
    assert store.read_record("b") is None
    assert list(store.records()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"version": 99}'])
def test_a_damaged_record_is_named(store: Store, content: bytes) -> None:
    path = store.write_record(RECORD)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=str(path)):
        store.read_record("b")
    with pytest.raises(StoreError, match=str(path)):
        list(store.records())


def test_a_folder_in_place_of_a_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).mkdir()
    with pytest.raises(StoreError, match=f"{RECORD_FILE} cannot be read"):
        read_record(tmp_path / RECORD_FILE)


def test_the_root_is_absolute_and_home_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Store(Path("out")).root == Path.cwd() / "out"
    monkeypatch.setenv("HOME", "/some/home")
    assert Store(Path("~/out")).root == Path("/some/home/out")
    store = Store(Path("/o"))
    assert (store.sweep_dir("s"), store.report_dir("r")) == (
        Path("/o/sweeps/s"), Path("/o/reports/r"),
    )  # fmt: skip


def test_check_writable_makes_the_folder_and_leaves_nothing_in_it(store: Store) -> None:
    store.check_writable()
    store.check_writable()
    assert list(store.root.iterdir()) == []


# The tests may run as root, who may write everywhere: a file in place of the folder stops him too.
@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_file_in_place_of_the_output_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "out").write_text("a file")
    store = Store(tmp_path / "out" / below)
    with pytest.raises(StoreError, match=r"must be writable, but .*out.* is not .*--out"):
        store.check_writable()
    with pytest.raises(StoreError, match="cannot be written"):
        store.write_record(RECORD)
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        Store(tmp_path).check_writable()


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    write_atomically(path, b"a longer old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    expected = StoreError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised:
        write_atomically(path, b"new")
    if expected is StoreError:
        said = str(raised.value)
        assert said.startswith(f"{path} cannot be written: No space left on device. ")
        assert re.search(rf"The disk of {tmp_path} has \d+\.\d MiB free\. Make room there", said)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert file_digest(tmp_path / "file") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_full_disk_is_known_by_whatever_was_raised_from_it(tmp_path: Path) -> None:
    full, torn = OSError(errno.ENOSPC, "No space left"), OSError(errno.EIO, "Input/output error")
    for cause, expected in ((full, True), (torn, False), (OSError(errno.EDQUOT, "Quota"), True)):
        written = cannot_write(tmp_path / "record.json", cause)
        written.__cause__ = cause
        sent = TrackingError("The run could not be sent.")
        sent.__cause__ = written
        assert [is_full(error) for error in (cause, written, sent)] == [expected] * 3
    assert not is_full(StoreError("No space left on device."))
