"""A real disk of a few MiB that can be filled: a tmpfs in a mount namespace of its own.

Processes see it that are started with `within` before their command; everybody else reaches its
files below `outside`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


class SmallDisk:
    """The disk, seen from outside.

    Attributes:
        path: where processes within find it.
        outside: the same folder for everybody else, as long as the disk is there.
        within: what to put before a command that shall see it.
    """

    def __init__(self, path: Path, holder: int) -> None:
        self.path = path
        self.outside = Path(f"/proc/{holder}/root{path}")
        self.within = ("nsenter", "--preserve-credentials", "-U", "-m", "-t", str(holder))
        self._ballast = self.outside / "ballast"

    def free(self) -> int:
        """Return the free bytes."""
        return shutil.disk_usage(self.outside).free

    def fill(self, pages: int = 0) -> None:
        """Take all but a number of pages; what is written next is torn at the edge of a page."""
        with self._ballast.open("ab", buffering=0) as file:
            while (left := self.free() - pages * PAGE) > 0:
                try:
                    file.write(bytes(min(left, 1 << 20)))
                except OSError:  # somebody else was faster
                    return

    def clear(self) -> None:
        """Give back what was taken."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, *, mib: int) -> Iterator[SmallDisk]:
    """Mount a disk on a new folder; skip the test where the machine forbids that."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        pytest.skip("needs unshare and nsenter, to mount a disk that can be filled")
    path.mkdir(parents=True)
    mount = f"mount -t tmpfs -o size={mib}m none '{path}' && echo mounted && exec sleep 3600"
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != "mounted\n":
            assert holder.stderr is not None
            pytest.skip(f"this machine lets nobody mount a disk: {holder.stderr.read().strip()}")
        disk = SmallDisk(path, holder.pid)
        if not os.access(disk.outside, os.W_OK):
            pytest.skip("this machine lets nobody look into another mount namespace")
        yield disk
    finally:
        holder.kill()
        holder.communicate()
