"""Lets a process keep some of the memory that it frees, instead of asking for it again and again.

Scenes for a graph call and the maps of a network are blocks of 5 to 30 MB. By default glibc gives
them back to the system and gets fresh pages for the next ones, 0.45 page faults per image, and the
thread that makes scenes took twice as long for them (docs/performance.md).
"""

from __future__ import annotations

import numpy as np

_BLOCK_BYTES = (32 << 20) - 8192
"""The largest that glibc learns from (`DEFAULT_MMAP_THRESHOLD_MAX` in malloc/malloc.c, and its own
bytes around it)."""


def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of freed memory in each of its arenas; no other library minds.

    It keeps twice the largest block that was freed so far. This block is never written to, so it
    costs nothing. Variables such as `MALLOC_TRIM_THRESHOLD_` go first.
    """
    np.empty(_BLOCK_BYTES, np.uint8)
