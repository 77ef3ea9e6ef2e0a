"""What else a machine did while something was timed: work of others, stolen time, slow clocks.

Read from /proc and /sys of Linux twice a second, which costs about a thousandth of a core. What
was disturbed stays in the record; it is flagged, for whoever looks at it to judge.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

PERIOD_S = 0.5

STEAL_SHARE = 0.02
"""Share of the cores' time that a hypervisor gave to other guests, from which on it is flagged:
as much as the smallest difference that warm-up detection calls one."""

OTHERS_SHARE = 0.1
"""Share of the cores that other processes used, from which on it is flagged. An idle desktop or
server uses up to a twentieth; kernel counters of 10 ms and the watcher itself are far below."""

CLOCK_SHARE = 0.85
"""Share of the fastest clock seen, below which it is flagged: boost clocks differ by a tenth with
nothing wrong."""

_KEPT = 40_000  # five hours
_LONGEST = 2**20
_CLOCKS = 8  # cores whose clock is read: some kernels ask each of them by an interrupt
_BUSY = slice(0, 3), slice(5, 7)  # user, nice, system; irq, softirq. Guests are part of user.
_COUNTED, _STEAL = 8, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Seconds since boot, summed over the watched cores, and the state of now.

    Attributes:
        at_s: `perf_counter` seconds.
        total_s, busy_s, stolen_s: of the cores: all time, used by anybody, given to other guests.
        own_s: used by the watched process and its descendants.
        load: average number of processes that run or wait, over a minute.
        clock_mhz: mean over some cores; None if the system does not tell.
    """

    at_s: float
    total_s: float
    busy_s: float
    stolen_s: float
    own_s: float
    load: float
    clock_mhz: float | None


class Watcher:
    """Watches the machine while it is open.

    Args:
        pid: of the process whose work, with that of its descendants, disturbs nobody; this one
            if None.
        cores: numbers of the cores that count; those that this process may use if None.
        root: where /proc and /sys are.

    Attributes:
        reason: why nothing can be told on this system; None if it can.
    """

    def __init__(
        self, *, pid: int | None = None, cores: Collection[int] | None = None,
        root: Path = Path("/"),
    ) -> None:  # fmt: skip
        self._proc, self._cpu = str(root / "proc"), str(root / "sys/devices/system/cpu")
        self._pid = os.getpid() if pid is None else pid
        self._cores = frozenset(_usable_cores() if cores is None else cores)
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._samples: deque[_Sample] = deque(maxlen=_KEPT)
        self._fastest_mhz = 0.0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.reason = None if self.look() else "this system has no /proc that tells of all cores"

    def __enter__(self) -> Watcher:
        if self.reason is None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> bool:
        """Take a sample now; False if the system tells nothing."""
        sample = self._sample()
        if sample is None:
            return False
        with self._lock:
            self._samples.append(sample)
            self._fastest_mhz = max(self._fastest_mhz, sample.clock_mhz or 0.0)
        return True

    def between(self, start_s: float, end_s: float) -> tuple[str, ...]:
        """Return in words what disturbed a time; empty if nothing did, or nothing can be told.

        What is shorter than the watcher's period is judged by the period that it lies in.

        Args:
            start_s: `perf_counter` seconds, while the watcher was open.
            end_s: the same, not before `start_s`.
        """
        if self.reason is None and self._samples[-1].at_s < end_s:
            self.look()
        with self._lock:
            samples, fastest = list(self._samples), self._fastest_mhz
        if len(samples) < 2:
            return ()
        return _flags(samples, start_s, end_s, cores=len(self._cores), fastest_mhz=fastest)

    def _watch(self) -> None:
        while not self._over.wait(PERIOD_S):
            self.look()

    def _sample(self) -> _Sample | None:
        try:
            wanted = {f"cpu{core}" for core in self._cores}
            rows = (line.split() for line in _text(f"{self._proc}/stat").splitlines())
            counts = [
                [int(field) for field in row[1 : 1 + _COUNTED]] for row in rows if row[0] in wanted
            ]
            own = self._ticks_of(self._pid)
            load = float(_text(f"{self._proc}/loadavg").split()[0])
        except (OSError, ValueError, IndexError):
            return None
        total = sum(sum(row) for row in counts)
        if not total:
            return None  # sandboxes write zeros
        return _Sample(
            at_s=perf_counter(),
            total_s=total * self._tick_s,
            busy_s=sum(sum(row[part]) for row in counts for part in _BUSY) * self._tick_s,
            stolen_s=sum(row[_STEAL] for row in counts) * self._tick_s,
            own_s=own * self._tick_s,
            load=load,
            clock_mhz=self._clock_mhz(),
        )

    def _ticks_of(self, pid: int) -> int:
        """Return the CPU time of a process, of its ended children and of its descendants."""
        folder = f"{self._proc}/{pid}"
        # The name in brackets may hold spaces; utime, stime, cutime and cstime are fields 14-17.
        fields = _text(f"{folder}/stat").rpartition(")")[2].split()
        ticks = sum(int(field) for field in fields[11:15])
        for child in _children(f"{folder}/task"):
            with suppress(OSError):  # it ended meanwhile
                ticks += self._ticks_of(child)
        return ticks

    def _clock_mhz(self) -> float | None:
        clocks = []
        for core in sorted(self._cores)[:_CLOCKS]:
            with suppress(OSError, ValueError):
                khz = int(_text(f"{self._cpu}/cpu{core}/cpufreq/scaling_cur_freq"))
                clocks.append(khz / 1000)
        return sum(clocks) / len(clocks) if clocks else None


def _usable_cores() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _children(tasks: str) -> list[int]:
    """Return the children of a process, which the kernel tells for each of its threads."""
    found: list[int] = []
    for thread in os.listdir(tasks):  # noqa: PTH208 - five times as fast, and there are many
        with suppress(OSError):  # it ended meanwhile, or the kernel does not tell
            found += map(int, _text(f"{tasks}/{thread}/children").split())
    return found


def _text(path: str) -> str:
    """Read a small file at once; five times as fast as a `Path` does, which the watcher needs."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, _LONGEST).decode()
    finally:
        os.close(file)


def _flags(
    samples: Sequence[_Sample], start_s: float, end_s: float, *, cores: int, fastest_mhz: float
) -> tuple[str, ...]:
    if not samples[0].at_s <= end_s or not start_s <= samples[-1].at_s:
        return ()

    def spent(name: str) -> float:
        return _at(samples, end_s, name) - _at(samples, start_s, name)

    total_s = spent("total_s")
    if not total_s > 0:
        return ()
    flags = []
    stolen, others = spent("stolen_s") / total_s, (spent("busy_s") - spent("own_s")) / total_s
    if stolen >= STEAL_SHARE:
        flags.append(f"steal {100 * stolen:.0f} %")
    if others >= OTHERS_SHARE:
        load = _at(samples, end_s, "load")
        flags.append(f"others used {others * cores:.1f} cores (load {load:.1f})")
    clocks = [s.clock_mhz for s in samples if start_s <= s.at_s <= end_s and s.clock_mhz]
    clock = sum(clocks) / len(clocks) if clocks else fastest_mhz
    if clock < CLOCK_SHARE * fastest_mhz:
        flags.append(f"cores ran at {clock / 1000:.1f} instead of {fastest_mhz / 1000:.1f} GHz")
    return tuple(flags)


def _at(samples: Sequence[_Sample], at_s: float, name: str) -> float:
    """Return a field at a time between samples, as if it had grown evenly there."""
    after = bisect.bisect_left(samples, at_s, key=lambda sample: sample.at_s)
    after = min(max(after, 1), len(samples) - 1)
    one, two = samples[after - 1], samples[after]
    share = min(max((at_s - one.at_s) / (two.at_s - one.at_s), 0.0), 1.0)
    before, then = float(getattr(one, name)), float(getattr(two, name))
    return before + share * (then - before)
