"""`bench stop`: end a running sweep in good order, from another terminal."""

from __future__ import annotations

import time
from pathlib import Path

from harness.cmd_status import asked_names, head_line
from harness.console import note, waiting
from harness.durations import span_text
from harness.errors import BenchError, SweepError, UsageError
from harness.options import DEFAULT_EXPERIMENT, places
from harness.store import Store
from sweeps.lock import Holder, ask_to_stop, holder
from sweeps.standing import running, standing

LOOK_S = 0.2
"""How often the lock is looked at."""


def stop(name: str | None, *, timeout_s: float, out: Path) -> None:
    """Ask a running sweep or group to stop, and wait until it has.

    Args:
        name: of it; None for the only one that runs.
        timeout_s: how long to wait.
        out: the output folder.

    Raises:
        UsageError: there is no such sweep, several run, or it cannot be reached from here.
        BenchError: it has not ended in time.
    """
    store = Store(out)
    held = running(store)
    if name is None:
        name = _the_only_one(held, store)
    elif name not in held:
        names = asked_names(store, name)  # refuses what does not exist
        # Of a group that runs, a member is held by the same process: ask for the member itself.
        process = holder(store.sweep_dir(name))
        if process is None:
            for each in names:
                note(f"not running, so there is nothing to stop. {_told(store, each)}")
            return
        held = {name: process}
    if name is None:
        note(f"no sweep runs in {store.root}")
        return
    _end(store, name, held[name], timeout_s, places(out, None, DEFAULT_EXPERIMENT))


def _the_only_one(held: dict[str, Holder], store: Store) -> str | None:
    if len(held) > 1:
        raise UsageError(
            f"One sweep can be stopped at a time, but {len(held)} run in {store.root}: "
            f"{', '.join(held)}. Name one of them."
        )
    return next(iter(held), None)


def _end(store: Store, name: str, process: Holder, timeout_s: float, where: str) -> None:
    """Send the signal and wait for the lock."""
    folder = store.sweep_dir(name)
    if process.is_elsewhere:
        raise SweepError(
            f"{name!r} can be stopped on its own host alone, but is {process.words()}. Type "
            f"`bench stop {name} --out {store.root}` there."
        )
    if not ask_to_stop(folder, process):
        note(f"it ended just now. {_told(store, name)}")
        return
    note(f"asked {process.words()} to stop {name}; a second `bench stop` interrupts it at once")
    begun = time.monotonic()
    with waiting("waiting for it to end ..."):
        while holder(folder) == process:
            if time.monotonic() - begun > timeout_s:
                raise BenchError(
                    f"{name!r} must end within {span_text(timeout_s)}, but {process.words()} "
                    f"still holds it. `bench stop {name}{where}` again interrupts it at once; "
                    f"after `kill -9 {process.pid}` too the same command goes on."
                )
            time.sleep(LOOK_S)
    note(f"stopped after {span_text(time.monotonic() - begun)}. {_told(store, name)}")


def _told(store: Store, name: str) -> str:
    """Return how a sweep or group stands, in a sentence or two."""
    try:
        names = asked_names(store, name)
        stands = [standing(store, each) for each in names]
    except BenchError as error:
        return str(error)
    left = not all(each.is_complete for each in stands)
    lines = "; ".join(head_line(each) for each in stands)
    return f"{lines}. The same command goes on." if left else f"{lines}."
