"""The memory of a worker: when it has grown so much that a new one shall take its place.

Read from Linux's `/proc`; elsewhere nothing is known of it, and no worker is replaced for it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

FIRST_JOBS = 4
"""Jobs whose memory is a worker's usual one: caches fill up, and a search over backbones needs a
few jobs until it has met most of them. Also the least that a worker does, so that replacing it,
which costs about ten seconds, is no habit."""

GROWN = 2.0
"""Times its usual memory at which a worker is replaced. Measured on a CPU: 961 MiB after the first
and 1,039 after the fiftieth trial of one backbone, which is no reason. Each further network of a
search over widths left 16 MiB behind that TensorFlow did not give back, so one that began with
850 MiB is replaced after about fifty."""

LEAST_GROWTH_MIB = 512.0
"""Growth below that is not worth a new worker, however small it began."""

COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)
"""Where Linux counts processes that it killed for lack of memory: those of this control group in
version 2 and 1, which a container has for itself, else those of the machine."""


class Growth:
    """The resident set of one worker from job to job.

    Args:
        least_mib: growth that is not worth a new worker, in MiB.
    """

    def __init__(self, least_mib: float = LEAST_GROWTH_MIB) -> None:
        self._least_mib = least_mib
        self._jobs = 0
        self._usual_mib = 0.0

    def note(self, resident_mib: float | None) -> str | None:
        """Take in what a worker holds after a job; say in words why it should go, if it should."""
        self._jobs += 1
        if resident_mib is None:
            return None
        if self._jobs <= FIRST_JOBS:
            self._usual_mib = max(self._usual_mib, resident_mib)
            return None
        usual_mib = self._usual_mib
        if resident_mib <= max(GROWN * usual_mib, usual_mib + self._least_mib):
            return None
        return (
            f"it holds {resident_mib:,.0f} MiB of memory after {self._jobs} runs, and held "
            f"{usual_mib:,.0f} MiB after its first {FIRST_JOBS}"
        )


def resident_mib(pid: int) -> float | None:
    """Return the resident set of a process in MiB; None if that cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def oom_kills(counters: Sequence[Path] = COUNTERS) -> int:
    """Return how many processes the kernel has killed for lack of memory; 0 if it does not say."""
    for path in counters:
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        counts = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
        if counts:
            return int(counts[0])
    return 0
