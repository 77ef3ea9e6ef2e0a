"""One coordinator per sweep: who holds a sweep's folder, and how to ask that process to stop."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import StoreError, SweepError
from harness.store import cannot_write

LOCK_FILE = "lock"

GLANCES = 5
"""Times that the lock is tried for: whoever asks for the holder has it for a moment."""

GLANCE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a sweep's folder, by its own account.

    Attributes:
        pid: its process id on its host; None if it has not written it yet.
        host: where it runs; None in lock files of older releases.
        since: when it took the folder, ISO 8601 in UTC.
    """

    pid: int | None = None
    host: str | None = None
    since: str | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs on another host that shares the folder."""
        return self.host not in {None, platform.node()}

    def words(self) -> str:
        """Return "process 123", with its host if that is another one."""
        process = f"process {'?' if self.pid is None else self.pid}"
        return f"{process} on {self.host}" if self.is_elsewhere else process


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
        if not _taken(handle):
            raise SweepError(
                f"A sweep can be run by one process at a time, but {_holder(handle).words()} "
                f"is running {folder.name!r}. Wait for it, end it with `bench stop`, or give "
                "this one another --name."
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        account = {"host": platform.node(), "pid": os.getpid(), "since": now}
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{json.dumps(account)}\n".encode(), 0)
        except OSError as error:
            raise cannot_write(folder / LOCK_FILE, error) from error
        try:
            yield
        finally:
            # The next holder must not be taken for this one before it has written its own name.
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(folder: Path) -> Holder | None:
    """Return who runs the sweep in a folder, None if nobody does.

    What the file says counts only while somebody holds it: a killed process leaves its id behind.
    """
    try:
        handle = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(handle)
    else:
        return None
    finally:
        os.close(handle)


def ask_to_stop(folder: Path, asked: Holder) -> bool:
    """Send SIGTERM to the process that holds a folder; False if it holds it no more.

    Raises:
        SweepError: that process cannot be told from here with certainty, or belongs to another
            user; nothing was sent.
    """
    if asked.pid is None or asked.is_elsewhere:
        raise SweepError(f"{folder.name!r} is run by {asked.words()}, out of reach from here.")
    try:
        # Of Linux: names this very process, though its number may go to another one meanwhile.
        process = os.pidfd_open(asked.pid) if hasattr(os, "pidfd_open") else -1
    except ProcessLookupError:
        return False
    try:
        if holder(folder) != asked:
            return False
        if not _has_open(asked.pid, folder / LOCK_FILE):
            raise SweepError(
                f"{folder.name!r} is held by process {asked.pid} of another user, another "
                "container or another host: stop it from there."
            )
        if process < 0:
            os.kill(asked.pid, signal.SIGTERM)
        else:
            signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        return False
    finally:
        if process >= 0:
            os.close(process)
    return True


def _taken(handle: int) -> bool:
    for glance in range(GLANCES):
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if glance < GLANCES - 1:
            time.sleep(GLANCE_S)
    return False


def _has_open(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open; True where the system does not say (no /proc)."""
    if not Path("/proc/self/fd").is_dir():
        return True
    wanted = path.stat()
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for handle in handles:
        with suppress(OSError):  # closed since the folder was listed
            if os.path.samestat(handle.stat(), wanted):
                return True
    return False


def _holder(handle: int) -> Holder:
    text = os.pread(handle, 4096, 0).decode(errors="replace").strip()
    if text.isdigit():  # of an older release, which wrote nothing else
        return Holder(pid=int(text))
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return Holder()
