"""Checkpoints on disk: whole or refused, few, held by one process, and found again."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import DATA, MACHINE

from harness import checkpoint as checkpoint_module
from harness.checkpoint import (
    KEPT,
    Checkpoint,
    Shelf,
    changes,
    find_unfinished,
    last_epoch,
    obstacle,
)
from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import EpochPoint, Measure, RunRecord
from harness.store import Store

CONFIG = RunConfig(dataset="mnist")
STATE = (
    np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 3, 2),
    np.array([7], np.int64),
    np.array([[1, 2]], np.uint32),
    np.zeros((1, 0), np.float32),
)


def checkpoint(epochs: int = 1, run_id: str = "r", **changes: Any) -> Checkpoint:
    history = tuple(
        EpochPoint(epoch=e, images=100, train_s=1 / 3 + e, metrics={"validation_score": 0.1 * e})
        for e in range(1, epochs + 1)
    )
    values: dict[str, Any] = {
        "run_id": run_id, "role": "run", "config": CONFIG, "status": "interrupted",
        "started_at": "2026-01-02T03:04:05.678+00:00", "duration_s": 12.5, "data": DATA,
        "machine": MACHINE, "history": history, "measures": {"compile_s": Measure(value=0.1)},
    }  # fmt: skip
    return Checkpoint(record=RunRecord(**values | changes), state=STATE, best=STATE[:1])


def same(one: Checkpoint, other: Checkpoint) -> bool:
    arrays = zip((*one.state, *one.best), (*other.state, *other.best), strict=True)
    return one.record == other.record and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in arrays
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def shelf(tmp_path: Path, said: list[str]) -> Iterator[Shelf]:
    with Shelf(Store(tmp_path).checkpoint_dir("r"), say=said.append) as shelf:
        yield shelf


def kept(store: Store, point: Checkpoint) -> Shelf:
    """Keep a checkpoint of a run whose process is gone."""
    with Shelf(store.checkpoint_dir(point.record.run_id)) as shelf:
        shelf.keep(point)
    return shelf


def test_what_is_saved_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    point = checkpoint(3)
    point.save(tmp_path / "c")
    again = Checkpoint.load(tmp_path / "c")
    assert same(point, again)
    assert again.epoch == 3


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "c"
    checkpoint().save(path)
    return path.read_bytes()


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_changed_byte_is_found_or_changes_nothing(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(content[:at] + bytes([content[at] ^ other]) + content[at + 1 :])
    try:
        found = Checkpoint.load(path)
    except StoreError:
        return
    # Bytes that say nothing of the content, such as the time in a header.
    assert same(found, checkpoint())


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_file_is_refused(content: bytes, tmp_path: Path, share: float) -> None:
    (tmp_path / "torn").write_bytes(content[: int(share * len(content))])
    with pytest.raises(StoreError, match="torn must be a checkpoint, but is damaged"):
        Checkpoint.load(tmp_path / "torn")


def test_only_the_last_ones_are_kept(shelf: Shelf) -> None:
    for epoch in range(1, 6):
        shelf.keep(checkpoint(epoch))
        assert len(shelf.paths()) == min(epoch, KEPT)
    assert [path.name for path in shelf.paths()] == ["epoch-000004.npz", "epoch-000005.npz"]
    assert last_epoch(shelf.folder) == 5
    newest = shelf.newest()
    assert newest is not None
    assert newest.epoch == 5


def test_a_damaged_one_falls_back_to_the_one_before_aloud(shelf: Shelf, said: list[str]) -> None:
    for epoch in (4, 6):
        shelf.keep(checkpoint(epoch))
    torn = shelf.paths()[-1]
    torn.write_bytes(torn.read_bytes()[:-50])
    newest = shelf.newest()
    assert newest is not None
    assert newest.epoch == 4
    assert len(said) == 1
    assert said[0].startswith(f"{torn} must be a checkpoint, but is damaged: ")
    assert said[0].endswith(" It is removed, and the one before is used.")
    # Else it would count as one of the last two, and the next would be removed at once.
    shelf.keep(checkpoint(5))
    assert [path.name for path in shelf.paths()] == ["epoch-000004.npz", "epoch-000005.npz"]


def test_with_all_damaged_there_is_none(shelf: Shelf, said: list[str]) -> None:
    for epoch in (1, 2):
        shelf.keep(checkpoint(epoch))
    for path in shelf.paths():
        path.write_bytes(b"")
    assert shelf.newest() is None
    assert len(said) == 2
    assert shelf.paths() == []


def unreadable(shelf: Shelf) -> Path:
    """Make the newest file one that cannot be opened, by root neither: a link to itself."""
    path = shelf.paths()[-1]
    path.unlink()
    path.symlink_to(path)
    return path


def test_one_that_cannot_be_read_now_is_kept(shelf: Shelf, said: list[str]) -> None:
    for epoch in (4, 6):
        shelf.keep(checkpoint(epoch))
    path = unreadable(shelf)
    words = r"epoch-000006\.npz cannot be read now: Too many levels of symbolic links\. It is kept"
    with pytest.raises(StoreError, match=words):
        shelf.newest()
    assert path.is_symlink()
    assert [path.name for path in shelf.paths()] == ["epoch-000004.npz", "epoch-000006.npz"]
    assert said == []


SHORT = """
import resource
import sys
from pathlib import Path
from harness.checkpoint import Shelf
from harness.errors import StoreError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, used + 2**25))
try:
    Shelf(Path(sys.argv[1])).newest()
except StoreError as error:
    print(error)
"""


def test_short_memory_removes_none(shelf: Shelf) -> None:
    shelf.keep(dataclasses.replace(checkpoint(1), best=(np.zeros(2**26, np.uint8),)))
    shelf.release()
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(shelf.folder)], text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert "cannot be read now: " in done.stdout, done.stderr
    assert last_epoch(shelf.folder) == 1


def test_what_a_killed_writer_left_half_is_removed(shelf: Shelf) -> None:
    shelf.keep(checkpoint(1))
    half = shelf.folder / ".epoch-000002.npz.0123456789abcdef"
    half.write_bytes(b"half")
    assert shelf.newest() is not None
    assert not half.exists()


def test_nothing_is_left_after_clearing_and_it_can_begin_anew(shelf: Shelf) -> None:
    shelf.clear()
    assert not shelf.folder.exists(), "there was nothing, and nothing is made"
    shelf.keep(checkpoint(1))
    shelf.clear()
    assert not shelf.folder.exists()
    shelf.keep(checkpoint(2))
    assert not Shelf(shelf.folder).claim(), "the new folder is held as well"


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 1 KiB: writing more fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_said_once_and_costs_no_older_checkpoint(
    shelf: Shelf, said: list[str]
) -> None:
    shelf.keep(checkpoint(1))
    with full_disk():
        for epoch in (2, 3):
            shelf.keep(checkpoint(epoch))
    assert len(said) == 1
    assert "epoch-000002.npz cannot be written: File too large" in said[0]
    assert said[0].endswith("The run goes on, but after a kill it could not from here.")
    assert {path.name for path in shelf.folder.iterdir()} == {"epoch-000001.npz", "lock"}
    shelf.keep(checkpoint(4))
    assert last_epoch(shelf.folder) == 4, "it tries again, in case there is room"


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "runs").write_bytes(b"")
    shelf = Shelf(Store(tmp_path).checkpoint_dir("r"), say=said.append)
    for epoch in (1, 2):
        shelf.keep(checkpoint(epoch))
    assert len(said) == 1
    assert "checkpoint must be writable: Not a directory. The run goes on" in said[0]


def test_short_runs_pay_nothing_and_slow_disks_less_often(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(checkpoint_module, "perf_counter", lambda: now_s[0])
    assert shelf.newest() is None
    now_s[0] += 4.9
    assert not shelf.is_due()
    now_s[0] += 0.1
    assert shelf.is_due()
    shelf.keep(checkpoint(1))
    assert not shelf.is_due(), "the next is 5 s later"
    now_s[0] += 5
    assert shelf.is_due()

    slow = dataclasses.replace(checkpoint(2))
    write = checkpoint_module.write_atomically

    def slowly(path: Path, data: bytes) -> None:
        now_s[0] += 1.0
        write(path, data)

    monkeypatch.setattr(checkpoint_module, "write_atomically", slowly)
    shelf.keep(slow)
    now_s[0] += 49.9  # 1 s of writing is 2 % of 50 s
    assert not shelf.is_due()
    now_s[0] += 0.2
    assert shelf.is_due()


HOLD = """
import sys
from pathlib import Path
from harness.checkpoint import Shelf
print(Shelf(Path(sys.argv[1])).claim(), flush=True)
sys.stdin.read()
"""


def test_one_process_holds_a_run_until_it_is_killed(shelf: Shelf) -> None:
    shelf.keep(checkpoint(1))
    shelf.release()
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(shelf.folder)], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path},
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert not shelf.claim()
        assert shelf.newest() is None, "what another process does is not ours to go on with"
        shelf.clear()
        assert last_epoch(shelf.folder) == 1, "nor to remove"
        other.kill()
        other.wait()
        assert shelf.claim()
        assert shelf.newest() is not None


def find(store: Store, said: list[str], **asked: Any) -> Shelf | None:
    values = {"config": CONFIG, "data_digest": DATA.digest, "replicas": 1} | asked
    return find_unfinished(store, say=said.append, **values)


def test_the_newest_unfinished_run_is_found_and_held(tmp_path: Path, said: list[str]) -> None:
    store = Store(tmp_path)
    assert find(store, said) is None
    for run_id in ("20260101-a", "20260102-b"):
        kept(store, checkpoint(2, run_id))
    # A record of an interrupted or failed attempt changes nothing.
    for status in ("interrupted", "failed"):
        end = {"run_id": "20260102-b", "status": status, "reason": "x"}
        store.write_record(dataclasses.replace(checkpoint(2).record, **end))
        with find(store, said) as found:  # type: ignore[union-attr]  # there is one
            assert found.run_id == "20260102-b"
            with find(store, said) as second:  # type: ignore[union-attr]
                assert second.run_id == "20260101-a", "the newest is taken"
                assert find(store, said) is None, "two commands never share a run"
    assert said == []


def test_runs_that_are_no_concern_of_the_command_are_left_alone(
    tmp_path: Path, said: list[str]
) -> None:
    store = Store(tmp_path)
    other = dataclasses.replace(CONFIG, seed=1)
    kept(store, checkpoint(2, "other", config=other))
    kept(store, checkpoint(2, "trial", role="trial", sweep="s", trial=0))
    empty = Shelf(store.checkpoint_dir("about-to-begin"))
    empty.folder.mkdir(parents=True)
    damaged = kept(store, checkpoint(2, "damaged"))
    damaged.paths()[0].write_bytes(b"x")
    assert find(store, said) is None
    assert said == []
    assert not (empty.folder / "lock").exists(), "its owner would find it held"
    assert last_epoch(store.checkpoint_dir("other")) == 2
    found = find(store, said, config=other)
    assert found is not None
    found.release()


def test_a_run_that_cannot_be_read_now_is_left_aloud(tmp_path: Path, said: list[str]) -> None:
    store = Store(tmp_path)
    path = unreadable(kept(store, checkpoint(2)))
    assert find(store, said) is None
    assert [line.partition(": Too many")[0] for line in said] == [
        f"Run r is left as it is: The checkpoint {path} cannot be read now"
    ]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"data_digest": "0123"}, f"it saw other data ({DATA.digest} instead of 0123)"),
        ({"replicas": 2}, "its steps were shared by 1 replicas instead of 2"),
    ],
)
def test_other_data_or_steps_are_refused_aloud(
    tmp_path: Path, said: list[str], asked: dict[str, Any], reason: str
) -> None:
    store = Store(tmp_path)
    kept(store, checkpoint(2))
    assert find(store, said, **asked) is None
    assert said == [f"Run r is unfinished, but this command cannot go on with it: {reason}."]
    assert last_epoch(store.checkpoint_dir("r")) == 2, "for a command that can"


def test_a_fixed_global_batch_may_be_shared_by_more() -> None:
    config = dataclasses.replace(CONFIG, global_batch_size=64)
    saved = checkpoint(1, config=config).record
    assert obstacle(saved, config, data_digest=DATA.digest, replicas=2) is None
    reason = obstacle(saved, CONFIG, data_digest=DATA.digest, replicas=1)
    assert reason == "it is of another configuration"


@pytest.mark.parametrize(
    ("status", "role", "left"),
    [
        ("finished", "run", False),
        ("pruned", "trial", False),
        ("failed", "trial", False),
        ("failed", "final", True),
    ],
)
def test_what_an_ended_run_left_behind_is_removed(
    tmp_path: Path, said: list[str], status: Any, role: Any, left: bool
) -> None:
    store = Store(tmp_path)
    point = checkpoint(2, role=role)
    kept(store, point)
    store.write_record(dataclasses.replace(point.record, status=status, reason=None))
    assert find(store, said) is None
    assert store.checkpoint_dir("r").exists() == left


def test_another_layout_is_put_into_words() -> None:
    assert changes(MACHINE, MACHINE) == []
    assert changes(None, MACHINE) == []
    packages = {**MACHINE.packages, "tensorflow": "2.22.0"}
    now = dataclasses.replace(MACHINE, strategy="gpu", cpu_cores=99, packages=packages)
    assert changes(MACHINE, now) == [
        "strategy gpu instead of cpu", "tensorflow 2.22.0 instead of 2.21.0",
    ]  # fmt: skip
    before, after = (dataclasses.replace(MACHINE, threads=0, cpu_cores=n) for n in (2, 4))
    assert changes(before, after) == ["cpu_cores 4 instead of 2"], "so many threads"
