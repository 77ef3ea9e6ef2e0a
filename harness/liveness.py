"""Whose run is it, and does that process still live?

MLflow has no such notion: a run whose process was killed reads RUNNING for ever. So each process
that tracks runs holds a lock on a file named after it; the kernel frees the lock with the process,
however that ends. Unlike a process id it is never given to somebody else, and it means the same
in every container that shares the folder.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from harness.errors import StoreError


class Owner:
    """The mark of this process in an output folder, held until `release` or death.

    Args:
        root: the output folder.

    Attributes:
        name: unique; starts with the process id, for people.

    Raises:
        StoreError: the folder cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._path = _lock_file(root, self.name)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"{self._path.parent} must be writable: {error.strerror or error}."
            ) from error

    def release(self) -> None:
        """Give the mark up; calling it again does nothing."""
        if self._handle >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def is_alive(root: Path, owner: str) -> bool:
    """Tell whether the process with this mark lives; the file of a dead one is removed."""
    path = _lock_file(root, owner)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _lock_file(root: Path, owner: str) -> Path:
    # Owners come back from tags that anybody can edit: never let one leave the folder.
    return root / ".owners" / Path(owner).name
