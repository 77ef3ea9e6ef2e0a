"""What disturbs a measurement: told from made-up /proc files, and from this machine's own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pytest

from harness.disturbance import PERIOD_S, Watcher

TICK = os.sysconf("SC_CLK_TCK")  # per second; the counters of /proc are in these
ME, CHILD, GRANDCHILD = 100, 200, 300


class Fake:
    """A root folder whose /proc tells of three cores, of which two are ours, and three processes.

    Attributes:
        cores: of each core the seconds of user, nice, system, idle, iowait, irq, softirq, steal.
        spent: process -> seconds of utime, stime, cutime and cstime.
        khz: clock of each core, if the system tells.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cores = [[10.0, 0.0, 5.0, 900.0, 3.0, 0.0, 1.0, 0.0] for _ in range(3)]
        self.spent = {ME: [4.0, 1.0, 0.0, 0.0], CHILD: [2.0] * 4, GRANDCHILD: [0.0] * 4}
        self.khz: list[int] = []
        self.write()

    def write(self) -> None:
        proc = self.root / "proc"
        rows = [("cpu", [sum(column) for column in zip(*self.cores, strict=True)])]
        rows += [(f"cpu{number}", row) for number, row in enumerate(self.cores)]
        text = "".join(f"{n} {' '.join(str(round(v * TICK)) for v in r)} 0 0\n" for n, r in rows)
        self._file(proc / "stat", f"{text}intr 12345 0 0\nctxt 99\n")
        self._file(proc / "loadavg", "3.25 1.00 0.50 2/300 4711\n")
        children = {ME: [CHILD], CHILD: [GRANDCHILD], GRANDCHILD: []}
        for pid, spent in self.spent.items():
            ticks = " ".join(str(round(value * TICK)) for value in spent)
            self._file(
                proc / f"{pid}/stat", f"{pid} (a (b) c) S 1 1 1 0 -1 4 5 6 7 8 {ticks} 20 0 1\n"
            )
            self._file(proc / f"{pid}/task/{pid}/children", "")
            # Started by a thread of its own.
            self._file(
                proc / f"{pid}/task/{pid + 1}/children", "".join(f"{c} " for c in children[pid])
            )
        for number, khz in enumerate(self.khz):
            path = f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq"
            self._file(self.root / path, f"{khz}\n")

    def _file(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def watcher(self) -> Watcher:
        return Watcher(pid=ME, cores=(0, 1), root=self.root)

    def pass_time(self, seconds: float, **used: float) -> None:
        """Let time pass: `used` are core-seconds of both our cores together."""
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        for core in self.cores[:2]:
            for name, value in used.items():
                core[names.index(name)] += value / 2
            core[3] += seconds - sum(used.values()) / 2
        self.cores[2][0] += seconds  # the third core is always busy, and none of ours
        self.write()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def flags(watcher: Watcher, start_s: float) -> tuple[str, ...]:
    return watcher.between(start_s, perf_counter())


def test_a_quiet_time_has_no_flags(fake: Fake) -> None:
    watcher, start = fake.watcher(), perf_counter()
    fake.pass_time(10, user=0.5, iowait=4)  # waiting for a disk is no work
    assert watcher.reason is None
    assert flags(watcher, start) == ()


def test_work_of_others_is_told_in_cores(fake: Fake) -> None:
    watcher, start = fake.watcher(), perf_counter()
    # 8 core-seconds of 2 x 10 are 0.8 cores on average; a tenth of the cores is 0.2.
    fake.pass_time(10, user=4, nice=2, system=1, irq=0.5, softirq=0.5)
    assert flags(watcher, start) == ("others used 0.8 cores (load 3.2)",)


@pytest.mark.parametrize(("used", "told"), [(1.9, False), (2.1, True)])
def test_a_tenth_of_the_cores_is_the_limit(fake: Fake, used: float, told: bool) -> None:
    watcher, start = fake.watcher(), perf_counter()
    fake.pass_time(10, user=used)
    assert bool(flags(watcher, start)) == told


@pytest.mark.parametrize("pid", [ME, CHILD, GRANDCHILD])
def test_work_of_ones_own_disturbs_nobody(fake: Fake, pid: int) -> None:
    watcher, start = fake.watcher(), perf_counter()
    for part in range(4):  # utime, stime and those of children that ended
        fake.spent[pid][part] += 4
    fake.pass_time(10, user=16)
    assert flags(watcher, start) == ()
    fake.pass_time(10, user=16)
    assert flags(watcher, start) == ("others used 0.8 cores (load 3.2)",)  # 16 of 2 x 20


def test_a_child_that_ends_takes_nothing_away(fake: Fake) -> None:
    watcher, start = fake.watcher(), perf_counter()
    fake.spent[CHILD][2] += sum(fake.spent.pop(GRANDCHILD)) + 12
    for file in sorted((fake.root / f"proc/{GRANDCHILD}").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    fake.pass_time(10, user=12)
    assert flags(watcher, start) == ()


@pytest.mark.parametrize(("stolen", "words"), [(2.4, ("steal 12 %",)), (0.3, ())])
def test_stolen_time_is_a_share_of_all(fake: Fake, stolen: float, words: tuple[str, ...]) -> None:
    watcher, start = fake.watcher(), perf_counter()
    fake.pass_time(10, steal=stolen)
    assert flags(watcher, start) == words


def test_a_slow_clock_is_told_against_the_fastest_seen(fake: Fake) -> None:
    fake.khz = [3_000_000, 3_400_000, 9_000_000]  # 3.2 GHz on our two
    fake.write()
    watcher = fake.watcher()
    start = perf_counter()
    watcher.look()
    fake.khz = [2_800_000, 2_800_000]  # 0.875: boost clocks do that
    fake.pass_time(10)
    watcher.look()
    assert flags(watcher, start) == ()
    slow = perf_counter()
    fake.khz = [2_000_000, 1_000_000]
    fake.pass_time(10)
    watcher.look()
    assert flags(watcher, slow) == ("cores ran at 1.5 instead of 3.2 GHz",)


def test_each_time_is_told_by_itself(fake: Fake) -> None:
    watcher, marks = fake.watcher(), [perf_counter()]
    for used in (0.0, 8.0, 0.0):
        fake.pass_time(10, user=used)
        watcher.look()
        marks.append(perf_counter())
    told = [watcher.between(a, b) for a, b in itertools.pairwise(marks)]
    assert told == [(), ("others used 0.8 cores (load 3.2)",), ()]
    # A moment within the busy time is judged by what is known around it.
    assert watcher.between(marks[1] + 1e-9, marks[1] + 2e-9) == told[1]


def test_a_system_without_proc_tells_nothing_and_says_so(tmp_path: Path) -> None:
    with Watcher(root=tmp_path) as watcher:
        assert watcher.reason == "this system has no /proc that tells of all cores"
        assert watcher.between(0, perf_counter()) == ()


def test_counters_that_stand_still_tell_nothing(fake: Fake) -> None:
    fake.cores = [[0.0] * 8 for _ in range(3)]
    fake.write()
    assert fake.watcher().reason is not None


def test_files_that_vanish_end_no_run(fake: Fake) -> None:
    with fake.watcher() as watcher:
        start = perf_counter()
        (fake.root / "proc/stat").unlink()
        assert not watcher.look()
        assert watcher.between(start, perf_counter()) == ()


def test_the_thread_ends_with_the_watch(fake: Fake) -> None:
    before = threading.active_count()
    with fake.watcher() as watcher:
        assert threading.active_count() == before + 1
        fake.pass_time(10, user=8)
        time.sleep(2 * PERIOD_S)
        assert len(watcher._samples) >= 2, "it looks by itself"
    assert threading.active_count() == before


@contextmanager
def process(code: str) -> Iterator[int]:
    """A Python process that runs code; its id."""
    started = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
    assert started.stdout is not None
    try:
        started.stdout.readline()
        yield started.pid
    finally:
        started.kill()
        started.communicate()


BUSY = "print(flush=True)\nwhile True: pass"
IDLE = "print(flush=True)\nimport time; time.sleep(600)"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_a_busy_stranger_is_noticed_and_a_busy_child_is_not() -> None:
    # For the idle process everybody else is a stranger; for this one, its children are its own.
    core = min(os.sched_getaffinity(0))
    with process(IDLE) as idle:
        strangers, own = Watcher(pid=idle, cores=[core]), Watcher(cores=[core])
        quiet = perf_counter()
        time.sleep(1)
        if strangers.between(quiet, perf_counter()):
            pytest.skip("the machine is so busy that a busy process would not be seen")
        with process(f"import os; os.sched_setaffinity(0, [{core}])\n{BUSY}"):
            time.sleep(0.2)  # until it is at work
            strangers.look()
            own.look()
            start, before = perf_counter(), own._samples[-1].own_s
            time.sleep(1)
            seen = strangers.between(start, perf_counter())
            own.look()
        # Whoever else came meanwhile is a stranger too: the core was busy all the time.
        assert len(seen) == 1
        assert seen[0].startswith(("others used 0.9 cores", "others used 1.0 cores"))
        assert own._samples[-1].own_s - before > 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_here_the_counters_grow_with_the_work_of_this_process() -> None:
    watcher = Watcher()
    start, before = watcher._samples[-1], time.process_time()
    while time.process_time() - before < 0.5:
        pass
    watcher.look()
    end = watcher._samples[-1]
    assert end.own_s - start.own_s == pytest.approx(0.5, abs=0.1)
    elapsed_s = end.at_s - start.at_s
    cores = len(os.sched_getaffinity(0))
    assert end.total_s - start.total_s == pytest.approx(cores * elapsed_s, rel=0.1, abs=0.1)
