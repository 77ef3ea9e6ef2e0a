"""One coordinator per sweep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import StoreError, SweepError
from harness.store import cannot_write

LOCK_FILE = "lock"


@contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder for this process; the kernel lets go when the process dies.

    Raises:
        SweepError: another process holds it; the text names its process id.
        StoreError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not inherited by workers, so an orphan of a killed coordinator holds nothing.
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"{folder} must be writable: {error.strerror or error}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SweepError(
                f"A sweep can be run by one process at a time, but process {_holder(handle)} "
                f"is running {folder.name!r}. Wait for it, or give this one another --name."
            ) from error
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise cannot_write(folder / LOCK_FILE, error) from error
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    return os.pread(handle, 32, 0).decode(errors="replace").strip() or "?"


def holder(folder: Path) -> int | None:
    """Return the process id that runs the sweep in a folder, None if nobody does."""
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = _holder(handle)
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(handle)
