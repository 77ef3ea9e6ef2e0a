"""`bench ui`, `bench status` and `bench sync`."""

from __future__ import annotations

from pathlib import Path

from harness.console import console, note, say, waiting
from harness.errors import BenchError, UsageError
from harness.store import Store
from harness.sweep_display import trial_table
from harness.tracking_uri import public_uri, resolve_uri
from harness.ui import serve
from sweeps.group import read_group
from sweeps.lock import holder
from sweeps.study import load_table


def ui(*, port: int, out: Path, tracking_uri: str | None, experiment: str) -> None:
    """Show the tracking store in MLflow's pages until Ctrl-C.

    Raises:
        UsageError: `port` is none.
        TrackingError: there is no store yet, or the server did not start.
    """
    uri = resolve_uri(tracking_uri, Store(out).root)
    note(f"starting MLflow's pages on {public_uri(uri)}; this can take half a minute ...")
    serve(
        uri, port=port, experiment=experiment, ready=lambda url: say(f"open {url}  (Ctrl-C ends)")
    )


def status(name: str | None, *, out: Path) -> None:
    """Show how sweeps stand, from their folders alone.

    Raises:
        UsageError: there is no such sweep.
    """
    store = Store(out)
    folder = store.root / "sweeps"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if name is not None and name not in names:
        raise UsageError(
            f"There is no sweep {name!r} in {store.root}. It has: {', '.join(names) or 'none'}."
        )
    if not names:
        note(f"no sweep in {store.root} yet: start with `bench sweep`")
    group = read_group(store.sweep_dir(name)) if name else None
    for each in [name, *(group.members if group else ())] if name else names:
        members = read_group(store.sweep_dir(each))
        if members is not None:
            note(f"{each}: group of {', '.join(members.members)}")
            continue
        plan, rows = load_table(store, each)
        states = [row.status for row in rows]
        counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states)) or "no trials"
        pid = holder(store.sweep_dir(each))
        alive = f"running (process {pid})" if pid else "not running"
        note(f"{each}: {alive}; {counts}")
        if name:
            console.print(trial_table(plan, rows))


def sync(*, out: Path, tracking_uri: str | None, experiment: str) -> None:
    """Send what is missing in the tracking store.

    Raises:
        TrackingError: it does not answer.
        BenchError: something could not be sent.
    """
    store = Store(out)
    resolve_uri(tracking_uri, store.root)
    with waiting("loading MLflow ..."):
        from harness.track import Tracker
        from reports.illustrate import illustrate
    with Tracker(
        tracking_uri, store, experiment=experiment, illustrate=illustrate, notify=say
    ) as tracker:
        result = tracker.sync()
    note(f"{result.sent} sent, {result.already} were there, {result.buried} dead runs ended")
    if result.failed:
        for run, reason in result.failed.items():
            say(f"{run}: {reason}")
        raise BenchError(f"{len(result.failed)} could not be sent: see the reasons above.")
