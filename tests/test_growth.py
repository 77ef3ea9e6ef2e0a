"""When a worker's memory asks for a new one, and what the kernel says of its kills."""

import os
import sys

import pytest

from sweeps.growth import FIRST_JOBS, Growth, oom_kills, resident_mib


def judged(sizes_mib, **options):
    growth = Growth(**options)
    return [growth.note(size) is not None for size in sizes_mib]


def test_a_worker_that_stays_as_it_is_stays():
    # 961 MiB after the first of 50 trials of one backbone, 1,039 after the last: as measured.
    assert not any(judged([961 + 78 * i / 49 for i in range(50)]))


def test_a_worker_that_leaks_goes_once_it_has_doubled():
    # 16 MiB a network from 850 on: its usual size is that after 4 jobs, 898; 1,796 is its double.
    said = judged([850 + 16 * i for i in range(100)])
    assert said.index(True) == next(i for i in range(100) if 850 + 16 * i > 2 * 898) == 60


def test_the_first_jobs_say_what_is_usual_whatever_they_take():
    assert judged([100, 5000, 200, 300, 5100, 9999, 10001]) == [False] * 6 + [True]
    assert judged([100] * FIRST_JOBS + [100_000]) == [False] * FIRST_JOBS + [True]


def test_a_small_worker_may_grow_by_half_a_gibibyte():
    assert judged([30] * 4 + [500, 542, 543]) == [False] * 6 + [True]
    assert judged([30] * 4 + [500], least_mib=100) == [False] * 4 + [True]


def test_what_cannot_be_read_replaces_nobody():
    assert not any(judged([None] * 10))


def test_the_reason_has_numbers():
    growth = Growth()
    for _ in range(4):
        growth.note(1000)
    assert growth.note(2500.4) == (
        "it holds 2,500 MiB of memory after 5 runs, and held 1,000 MiB after its first 4"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_resident_set_is_that_of_the_process():
    before = resident_mib(os.getpid())
    block = b"x" * (64 << 20)
    after = resident_mib(os.getpid())
    assert before is not None
    assert after is not None
    assert 60 < after - before < 80
    assert len(block) == 64 << 20
    assert resident_mib(2**30) is None


def test_the_kernels_kills_are_read_from_the_first_that_says_so(tmp_path):
    second, first = tmp_path / "vmstat", tmp_path / "memory.events"
    paths = (first, second)
    assert oom_kills(paths) == 0
    second.write_text("nr_free_pages 7\noom_kill 4\n")
    assert oom_kills(paths) == 4
    first.write_text("low 0\noom 9\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills(paths) == 2
    first.write_text("low 0\n")
    assert oom_kills(paths) == 4
