"""What a process frees it may use again, without new pages from the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, numpy as np
from harness.freed_memory import keep_freed_memory
{first}
def take():
    some = [np.ones(7_000_000, np.uint8) for _ in range(4)]
take(), take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(first: str) -> int:
    environment = {name: x for name, x in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(first=first)], env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told so")
def test_freed_blocks_need_no_new_pages() -> None:
    needed = 10 * 4 * 7_000_000 / os.sysconf("SC_PAGE_SIZE")
    assert page_faults("") > needed / 10  # huge pages may make them fewer
    assert page_faults("keep_freed_memory()") < needed / 1_000
