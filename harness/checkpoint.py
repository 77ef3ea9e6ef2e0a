"""Checkpoints: all that decides the rest of a run, so that the same command goes on after a kill.

A run keeps its last two in `runs/<run_id>/checkpoint/`, beside a lock that its process holds: the
kernel frees it with the process, however that ends. They are removed once the run has ended and
would not go on; an interrupted or killed run keeps them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import Machine, RunRecord
from harness.store import Store, write_atomically

KEPT = 2
"""Checkpoints of a run: one more than needed, should the newest be damaged."""

EVERY_S = 5.0
"""Shortest time between two. A kill costs no more than that or one epoch, whichever is longer, and
a trial of a few seconds pays nothing."""

SHARE = 0.02
"""Largest share of the time that writing may take: a large network on a slow disk waits longer."""

LOCK_FILE = "lock"

_HEAD = "checkpoint.json"
_PACKAGES = ("locbench", "tensorflow", "keras", "numpy")  # those that decide a number

Arrays = Sequence[NDArray[Any]]
Say = Callable[[str], None]


class _Damaged(StoreError):
    """The bytes of a checkpoint are not what was written, and never will be again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A run as it stood after an epoch.

    Attributes:
        record: what is known so far, `interrupted` after that epoch: configuration, data and
            machine tell whether it fits, history and times are those of the run that goes on.
        state: of the engine, see `harness.engine.Engine.state`.
        best: weights of the best epoch so far; empty unless the run has patience.
    """

    record: RunRecord
    state: Arrays
    best: Arrays = ()

    @property
    def epoch(self) -> int:
        """Return the last epoch that was trained."""
        return len(self.record.history)

    def save(self, path: Path) -> None:
        """Write it atomically.

        Raises:
            StoreError: the folder cannot be written or the disk is full.
        """
        buffer = io.BytesIO()
        # Not compressed: weights are noise to a compressor, and training waits.
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            # The sizes, for a directory of the archive with an entry less looks as sound.
            sizes = {"state": len(self.state), "best": len(self.best)}
            archive.writestr(_HEAD, json.dumps(sizes | {"record": self.record.to_json()}))
            for kind, arrays in (("state", self.state), ("best", self.best)):
                for i, array in enumerate(arrays):
                    archive.writestr(f"{kind}/{i}.npy", _bytes(array))
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what `save` wrote; a checksum of each part finds damaged bytes.

        Raises:
            StoreError: the file is torn, damaged or something else, or cannot be read now.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                head = json.loads(archive.read(_HEAD))
                record = RunRecord.from_json(head["record"])
                state, best = (_arrays(archive, k, head[k]) for k in ("state", "best"))
        # Damaged bytes raise whatever zipfile and NumPy's header parser come across.
        except Exception as error:
            if _may_pass(error):
                raise _unreadable(path, error) from error
            raise _Damaged(f"{path} must be a checkpoint, but is damaged: {error}.") from error
        return cls(record=record, state=state, best=best)


class Shelf:
    """The checkpoints of one run.

    Args:
        folder: of the checkpoints; made when the first is kept.
        say: gets a line if one is damaged or cannot be written.
    """

    def __init__(self, folder: Path, *, say: Say = lambda _text: None) -> None:
        self.folder = folder
        self._say = say
        self._lock = -1
        self._due_s = perf_counter() + EVERY_S
        self._complained = False

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def run_id(self) -> str:
        """Return the run that it belongs to."""
        return self.folder.parent.name

    def paths(self) -> list[Path]:
        """Return the files of the checkpoints, the newest last."""
        return sorted(self.folder.glob("epoch-*.npz"))

    def claim(self) -> bool:
        """Hold the run for this process; False if another one holds it.

        Raises:
            StoreError: the folder cannot be written.
        """
        if self._lock >= 0:
            return True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(
                f"{self.folder} must be writable: {error.strerror or error}."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Let another process have the run; calling it again does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def newest(self) -> Checkpoint | None:
        """Return the newest sound checkpoint, None if there is none; remove damaged ones, aloud.

        The time to the next checkpoint counts from here.

        Raises:
            StoreError: one cannot be read now; none is removed then.
        """
        self._due_s = perf_counter() + EVERY_S
        if not (self.paths() and self.claim()):
            return None
        for half_written in self.folder.glob(".epoch-*"):
            half_written.unlink(missing_ok=True)
        for path in reversed(self.paths()):
            try:
                return Checkpoint.load(path)
            except _Damaged as error:
                self._say(f"{error} It is removed, and the one before is used.")
                path.unlink(missing_ok=True)
        return None

    def is_due(self) -> bool:
        """Tell whether it is time for another checkpoint."""
        return perf_counter() >= self._due_s

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and remove all but the last `KEPT`.

        Training is worth more than its checkpoints: what cannot be written is said once.
        """
        start_s = perf_counter()
        try:
            if self.claim():
                checkpoint.save(self.folder / f"epoch-{checkpoint.epoch:06}.npz")
                for path in self.paths()[:-KEPT]:
                    path.unlink(missing_ok=True)
        except (OSError, StoreError) as error:
            if not self._complained:
                self._say(f"{error} The run goes on, but after a kill it could not from here.")
            self._complained = True
        now_s = perf_counter()
        self._due_s = now_s + max(EVERY_S, (now_s - start_s) / SHARE)

    def clear(self) -> None:
        """Remove the checkpoints and let go of the run, unless another process holds it."""
        with contextlib.suppress(StoreError):
            if self.folder.is_dir() and self.claim():
                shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def find_unfinished(
    store: Store, config: RunConfig, *, data_digest: str, replicas: int | None, say: Say
) -> Shelf | None:
    """Return the checkpoints of the newest run that a command can go on with, and hold it.

    That is a run of its own, not one of a sweep, of this configuration and data, that no living
    process does and that has a checkpoint. What runs that have ended left behind is removed.

    Args:
        store: where to look.
        config: of the command, its data set named.
        data_digest: of the training pool.
        replicas: that would train; None if that is not known before the run.
        say: is told why a run of this configuration cannot go on.
    """
    for folder in sorted(store.root.glob("runs/*/checkpoint"), reverse=True):
        shelf = Shelf(folder, say=say)
        try:
            # The lock of an empty folder is for its owner, who is about to take it.
            if not (shelf.paths() and shelf.claim()):
                continue
            if _fits(shelf, store, config, data_digest, replicas, say):
                return shelf
        except StoreError as error:
            # What is wrong with another run must not stop this command.
            say(f"Run {shelf.run_id} is left as it is: {error}")
        shelf.release()
    return None


def last_epoch(folder: Path) -> int:
    """Return the epoch of the newest checkpoint in a folder; 0 if there is none."""
    paths = Shelf(folder).paths()
    return int(paths[-1].stem.removeprefix("epoch-")) if paths else 0


def obstacle(
    saved: RunRecord, config: RunConfig, *, data_digest: str, replicas: int | None
) -> str | None:
    """Return in words why a run must not go on from what was saved; None if it may."""
    if saved.config.digest() != config.digest():
        return "it is of another configuration"
    if saved.data is None or saved.data.digest != data_digest:
        found = saved.data.digest if saved.data else "none"
        return f"it saw other data ({found} instead of {data_digest})"
    before = saved.machine.replicas if saved.machine else 0
    if replicas not in (None, before) and config.global_batch_size is None:
        return f"its steps were shared by {before} replicas instead of {replicas}"
    return None


def changes(before: Machine | None, now: Machine | None) -> list[str]:
    """Return in words what differs between two machines and may round numbers differently."""
    if before is None or now is None:
        return []
    names = ["strategy", "replicas", "devices", "cpu_model", "threads", "shards"]
    if not now.threads:
        names.append("cpu_cores")  # that many threads
    found = [(name, getattr(before, name), getattr(now, name)) for name in names]
    found += [(name, before.packages.get(name), now.packages.get(name)) for name in _PACKAGES]
    return [f"{name} {new} instead of {old}" for name, old, new in found if old != new]


def _fits(
    shelf: Shelf, store: Store, config: RunConfig, data_digest: str, replicas: int | None, say: Say
) -> bool:
    if _has_ended(store, shelf.run_id):
        shelf.clear()  # its process was killed just before that
        return False
    saved = _newest_record(shelf)
    if saved is None or saved.role != "run" or saved.config.digest() != config.digest():
        return False
    reason = obstacle(saved, config, data_digest=data_digest, replicas=replicas)
    if reason:
        say(f"Run {shelf.run_id} is unfinished, but this command cannot go on with it: {reason}.")
    return reason is None


def _has_ended(store: Store, run_id: str) -> bool:
    """Tell whether a run has a record and would not go on; failed trials never do."""
    record = store.read_record(run_id)
    if record is None:
        return False
    failed = record.status == "failed" and record.role == "trial"
    return failed or record.status in {"finished", "pruned"}


def _newest_record(shelf: Shelf) -> RunRecord | None:
    """Return the record in the newest file that has a sound one; arrays are not read.

    Raises:
        StoreError: a file cannot be read now.
    """
    for path in reversed(shelf.paths()):
        try:
            with zipfile.ZipFile(path) as archive:
                return RunRecord.from_json(json.loads(archive.read(_HEAD))["record"])
        except Exception as error:
            if _may_pass(error):
                raise _unreadable(path, error) from error
            continue  # damaged; `newest` says so, if it is to be used
    return None


def _may_pass(error: Exception) -> bool:
    """Tell whether reading failed for another reason than the bytes of the file."""
    # A damaged offset lets zipfile seek to before the start of the file, which is EINVAL.
    of_system = isinstance(error, OSError) and error.errno != errno.EINVAL
    return of_system or isinstance(error, MemoryError)


def _unreadable(path: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error) or "out of memory"
    return StoreError(
        f"The checkpoint {path} cannot be read now: {reason}. It is kept: give the same command "
        "again when it can be read, or remove it to begin anew."
    )


def _bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _arrays(archive: zipfile.ZipFile, kind: str, count: int) -> tuple[NDArray[Any], ...]:
    members = (archive.read(f"{kind}/{i}.npy") for i in range(count))
    return tuple(np.lib.format.read_array(io.BytesIO(m), allow_pickle=False) for m in members)
