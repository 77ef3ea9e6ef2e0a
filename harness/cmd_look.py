"""`bench ui` and `bench sync`."""

from __future__ import annotations

from pathlib import Path

from harness.console import note, say, waiting
from harness.errors import BenchError
from harness.store import Store
from harness.tracking_uri import public_uri, resolve_uri
from harness.ui import serve


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
