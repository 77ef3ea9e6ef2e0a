"""A function over many items in a few threads, a chunk at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from harness.machine import cpu_cores

MOST_THREADS = 8
"""More wait for each other: Pillow works without the interpreter's lock, what is around it not."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(
    function: Callable[[Item], Result], items: Sequence[Item], *, chunk: int
) -> Iterator[list[Result]]:
    """Yield the results chunk by chunk, in the order of the items.

    Args:
        function: called in several threads at once; an exception it raises is raised here.
        items: at most one chunk of them is worked on.
        chunk: items in a chunk, at least 1.
    """
    with ThreadPoolExecutor(min(cpu_cores(), MOST_THREADS)) as pool:
        for start in range(0, len(items), chunk):
            yield list(pool.map(function, items[start : start + chunk]))
