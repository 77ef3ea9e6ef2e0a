"""Work spread over several cores: pictures take most of a report's time.

The processes come from a server that imports the plotting libraries while this one still imports
and fetches. A process that was forked from this one would be ready at once, but might inherit a
lock that another thread holds.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from harness.lean import collect_seldom

T = TypeVar("T")
R = TypeVar("R")

_MOST = 8  # processes: each takes some 200 MB


class Spread(Protocol):
    """Calls a function of a module with each item; results come in the order of the items."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> Iterator[R]:
        """Begin now, where there are processes for it, and return the results to wait for."""


def one_by_one(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Call the function in this process, each time when its result is asked for."""
    return map(function, items)


@contextmanager
def several_at_once(cores: int | None = None, *, preload: Sequence[str] = ()) -> Iterator[Spread]:
    """Yield a `Spread` over all cores; processes start now, so that they are ready then.

    Without a second core, or where processes cannot be had, it works one by one. The results are
    the same.

    Args:
        cores: how many to use; None for those that this process may use, 8 at most.
        preload: modules that the functions will need, beside those of the pictures.
    """
    count = min(_MOST, _cores()) if cores is None else cores
    pool = _pool(count, preload) if count > 1 else None
    if pool is None:
        yield one_by_one
        return

    def spread(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        try:
            results = pool.map(function, items)
        except (BrokenProcessPool, OSError):  # no process could be had
            return one_by_one(function, items)
        return _or_alone(function, items, results)

    try:
        yield spread
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _or_alone(function: Callable[[T], R], items: Sequence[T], results: Iterator[R]) -> Iterator[R]:
    """Yield the results of processes; what they leave undone is done here."""
    done = 0
    with suppress(BrokenProcessPool, OSError):  # killed, perhaps for want of memory
        for result in results:
            done += 1
            yield result
    yield from one_by_one(function, items[done:])


def _pool(count: int, preload: Sequence[str]) -> ProcessPoolExecutor | None:
    """Return as many waiting processes, or None where that cannot be done."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "reports.pictures", "seaborn", *preload])
    try:
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_attend)
    except (OSError, ImportError, NotImplementedError):  # a system without semaphores
        return None
    # The first call returns when the server has imported everything.
    threading.Thread(target=_wake, args=(pool,), daemon=True).start()
    return pool


def _wake(pool: ProcessPoolExecutor) -> None:
    with suppress(OSError, RuntimeError):  # no more processes, or all is over already
        pool.submit(int)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _attend() -> None:
    """Leave Ctrl-C to the process that is asked, and end with it, even if it is killed."""
    collect_seldom()
    gc.freeze()  # what was imported stays
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a worker of a pool waits for ever for what nobody sends
