"""Pictures drawn on several cores at once: they take most of a report's time.

The processes come from a server that imports the plotting libraries while this one still imports
and fetches. A process that was forked from this one would be ready at once, but might inherit a
lock that another thread holds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its libraries take seconds, and are imported by others while this one waits
    from reports.style import Plot

Draw = Callable[[Sequence["Plot"]], Sequence[bytes]]
"""Plots in, a PNG for each out."""

_MOST = 8  # processes: each takes some 200 MB
_FEW = 6  # pictures that one process draws before others are there


def one_by_one(plots: Sequence[Plot]) -> list[bytes]:
    """Return the pictures, drawn in this process."""
    return [plot.png() for plot in plots]


@contextmanager
def several_at_once(cores: int | None = None) -> Iterator[Draw]:
    """Yield a function that draws on all cores; processes start now, so that they are ready then.

    Without a second core, or where processes cannot be had, it draws one by one. The bytes are
    the same.

    Args:
        cores: how many to use; None for those that this process may use, 8 at most.
    """
    count = min(_MOST, _cores()) if cores is None else cores
    pool = _pool(count) if count > 1 else None
    if pool is None:
        yield one_by_one
        return

    def draw(plots: Sequence[Plot]) -> Sequence[bytes]:
        if len(plots) <= _FEW:
            return one_by_one(plots)
        try:
            return list(pool.map(_png, plots))
        except (BrokenProcessPool, OSError):  # killed, perhaps for want of memory; or never there
            return one_by_one(plots)

    try:
        yield draw
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pool(count: int) -> ProcessPoolExecutor | None:
    """Return as many waiting processes, or None where that cannot be done."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "reports.pictures"])
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a worker of a pool waits for ever for what nobody sends


def _png(plot: Plot) -> bytes:
    return plot.png()
