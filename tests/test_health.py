"""What is kept is looked at, never mended: folder, store, dead runs, unsent runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tracked import CONFIG, new_store, record

from harness import health
from harness.health import Finding, examine
from harness.liveness import Owner
from harness.store import Store
from harness.track import Tracker

EXPERIMENT = "bench"


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return new_store(tmp_path / "out", tmp_path_factory)


def uri(store: Store) -> str:
    return f"sqlite:///{store.root / 'mlflow.db'}"


def look(store: Store) -> dict[str, Finding]:
    return {f.what: f for f in examine(store, uri(store), EXPERIMENT)}


def test_before_the_first_run_nothing_is_made(tmp_path: Path) -> None:
    found = look(Store(tmp_path / "new"))
    assert set(found) == {"output folder", "tracking store"}
    assert all(f.ok and f.text.endswith(": the first run makes it") for f in found.values())
    assert not (tmp_path / "new").exists()


def test_a_sound_store_is_said_to_answer(store: Store) -> None:
    with Tracker(uri(store), store, experiment=EXPERIMENT) as tracker:
        tracker.finish(record())
    found = look(store)
    assert set(found) == {"output folder", "tracking store"}
    assert all(f.ok for f in found.values())
    assert "writable" in found["output folder"].text
    assert found["tracking store"].text.endswith("mlflow.db answers")


def test_runs_that_died_or_were_never_sent_are_counted(store: Store) -> None:
    tracker = Tracker(uri(store), store, experiment=EXPERIMENT)
    tracker.begin("r1", "run", None, None, CONFIG)
    assert tracker.flush()
    assert "dead runs" not in look(store), "its process lives"
    assert tracker._owner is not None
    tracker._owner.release()  # as the kernel does when the process dies
    store.write_record(record("r2"))
    found = look(store)
    assert "1 read RUNNING though their process is gone" in found["dead runs"].text
    assert "1 have not reached the tracking store" in found["unsent runs"].text
    tracker._owner = Owner(store.root)
    tracker.close()


def test_a_store_that_cannot_be_read_is_no_use(store: Store) -> None:
    (store.root / "mlflow.db").write_bytes(b"not a database, for sure" * 100)
    found = look(store)
    assert not found["tracking store"].ok
    assert "must answer" in found["tracking store"].text


def test_a_folder_in_the_way_and_a_full_disk(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not look(Store(tmp_path / "file"))["output folder"].ok
    monkeypatch.setattr(health, "LEAST_FREE_GIB", shutil.disk_usage(tmp_path).total / 2**30 + 1)
    full = look(store)["output folder"]
    assert not full.ok
    assert "make room or use --out" in full.text
