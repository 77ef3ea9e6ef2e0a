"""`bench status`: how sweeps stand, running, ended or dead, from the output folder alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from harness.cmd_lines import sweep_command
from harness.console import console, note, say
from harness.datasets import TRAIN_EXAMPLES
from harness.durations import span_text
from harness.errors import BenchError, UsageError, unknown_name
from harness.options import places
from harness.sent_notes import unsent
from harness.store import Store
from harness.sweep_display import trial_table
from harness.tracking_uri import destination, public_uri, resolve_uri
from sweeps.plan import SweepPlan, read_plan
from sweeps.progress import UnderWay
from sweeps.standing import Standing, group_members, running, standing, sweep_names

JSON_VERSION = 1

FAILURES_SHOWN = 5


@dataclass(slots=True, kw_only=True)
class Look:
    """What `bench status` looks at.

    Attributes:
        store: the output folder.
        uri: the tracking store that runs shall be in.
        experiment: name in MLflow.
        where: the options that make another command find the same.
    """

    store: Store
    uri: str
    experiment: str
    where: str
    _unsent: list[str] | None = field(default=None)

    def unsent_of(self, stands: Standing) -> list[str]:
        """Return the runs of a sweep that have ended and that the tracking store lacks."""
        if self._unsent is None:
            self._unsent = unsent(self.store, destination(self.uri, self.experiment))
        start = f"{stands.plan.name}-t"
        ours = [run_id for run_id in self._unsent if run_id.startswith(start)]
        # Those that only stopped are sent when they go on.
        return [each for each in ours if not _only_stopped(self.store, each)]

    def command(self, stands: Standing) -> str | None:
        """Return the command line that goes on with a sweep, or with its group.

        None if another member of the group is damaged: nothing goes on then.
        """
        try:
            members = self._members(stands.plan.group)
        except BenchError:
            return None
        trials = max(1, stands.total)
        return sweep_command(stands.plan, trials, members=members, top=stands.top) + self.where

    def _members(self, group: str | None) -> list[SweepPlan]:
        names = group_members(self.store, group) if group else []
        plans = (read_plan(self.store.sweep_dir(name)) for name in names)
        return [plan for plan in plans if plan is not None]


def status(
    name: str | None, *, as_json: bool, out: Path, tracking_uri: str | None, experiment: str
) -> None:
    """Show how sweeps stand; one of them in full.

    Args:
        name: of a sweep or a group of sweeps; None for all.
        as_json: print one JSON object instead.
        out: the output folder.
        tracking_uri: MLflow store as given, or None; it is not asked.
        experiment: name in MLflow.

    Raises:
        UsageError: there is no such sweep.
        StoreError: what is known of the sweep asked for cannot be read.
    """
    store = Store(out)
    look = Look(
        store=store, uri=resolve_uri(tracking_uri, store.root), experiment=experiment,
        where=places(out, tracking_uri, experiment),
    )  # fmt: skip
    names = asked_names(store, name)
    if name is not None and names == [name]:
        found, damaged = [standing(store, name)], dict[str, str]()
    else:
        found, damaged = _all_standings(store, names)
    if as_json:
        note(json.dumps(_document(found, damaged, look), indent=1, allow_nan=False))
    elif not names:
        note(f"no sweep in {store.root} yet: start with `bench sweep`")
    elif name is not None and names == [name]:
        _show_one(found[0], look)
    else:
        if name is not None:
            held = running(store).get(name)
            note(f"group {name}: {f'running, {held.words()}' if held else 'not running'}")
        _show_all(found, damaged)


def asked_names(store: Store, name: str | None) -> list[str]:
    """Return the sweeps that a name means: itself, the members of a group, or all for None.

    Raises:
        UsageError: there is no such sweep or group.
    """
    if name is None:
        return sweep_names(store)
    members = group_members(store, name)
    if members:
        return members
    if name in sweep_names(store):
        return [name]
    if not sweep_names(store):
        raise UsageError(f"There is no sweep {name!r} in {store.root}, nor any other.")
    raise unknown_name("sweep", name, sweep_names(store), listed_by="bench status")


def head_line(stands: Standing) -> str:
    """Return how a sweep stands in one line: its state and how far it is."""
    return f"{stands.plan.name}: {_state_text(stands)}; {_trials_text(stands)}"


def _all_standings(store: Store, names: list[str]) -> tuple[list[Standing], dict[str, str]]:
    """Return those that can be read, and what is wrong with the others."""
    found, damaged = [], {}
    for name in names:
        try:
            found.append(standing(store, name))
        except BenchError as error:
            damaged[name] = str(error)
    return found, damaged


def _show_all(found: list[Standing], damaged: dict[str, str]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("sweep", overflow="fold")
    table.add_column("state", no_wrap=True)
    for title in ("trials", "finals", "best", "left"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in found:
        best = each.best
        finals = f"{each.finals_done}/{each.finals_asked}" if each.plan.finals else ""
        table.add_row(
            each.plan.name, each.state, f"{each.ended}/{each.total}", finals,
            "" if best is None else f"{best.value:.4f}", _left_text(each),
        )  # fmt: skip
    for name in damaged:
        table.add_row(name, "damaged", "", "", "", "")
    console.print(table)
    for reason in damaged.values():
        say(reason)
    note("`bench status NAME` says more of one")


def _show_one(stands: Standing, look: Look) -> None:
    console.print(Text(f"{stands.plan.name}: {_state_text(stands)}", style="bold"), soft_wrap=True)
    for title, text in _lines(stands, look):
        console.print(Text(f"  {title:<11} {text}"), soft_wrap=True)
    if stands.best is not None:
        console.print(trial_table(stands.plan, stands.rows))
    command = look.command(stands)
    if command and stands.holder is None and not stands.is_complete:
        note(f"the same command goes on: {command}")


def _lines(stands: Standing, look: Look) -> Iterator[tuple[str, str]]:
    yield "trials", _trials_text(stands)
    if stands.plan.finals:
        yield "finals", f"{stands.finals_done} of {stands.finals_asked} done"
    if stands.reruns_asked:
        yield "re-runs", f"{stands.reruns_done} of {stands.reruns_asked} done"
    best = stands.best
    if best is not None:
        objective = f"validation {stands.plan.objective} {best.value:.4f}"
        yield "best", f"trial {best.number}, {objective}"
    if stands.last_ended_s is not None:
        yield "last ended", f"{span_text(max(0.0, time.time() - stands.last_ended_s))} ago"
    left = _left_text(stands)
    if left:
        yield "time left", f"about {left} with {stands.workers} at once, by what has ended"
    if not stands.is_complete:
        for i, run in enumerate(stands.under_way):
            now = "trains now" if stands.holder else "goes on"
            yield "" if i else now, _run_text(stands, run)
    failed = [row for row in stands.rows if row.status == "failed"]
    for i, row in enumerate(failed[:FAILURES_SHOWN]):
        yield "" if i else "failed", f"trial {row.number}: {row.reason}"
    if len(failed) > FAILURES_SHOWN:
        yield "", f"and {len(failed) - FAILURES_SHOWN} more: `bench status --json` names them"
    waiting = look.unsent_of(stands)
    if waiting:
        store = public_uri(look.uri)
        yield "not sent", f"{len(waiting)} ended runs are not in {store}: `bench sync` sends them"


def _state_text(stands: Standing) -> str:
    progress = stands.progress
    match stands.state:
        case "running":
            assert stands.holder is not None
            since = stands.holder.since
            return f"running, {stands.holder.words()}" + (f", for {_age(since)}" if since else "")
        case "died":
            return "died: its process is gone without a word; nothing that ended is lost"
        case "interrupted" | "failed" as state:
            reason = (progress.reason if progress else None) or ""
            first = reason.partition(". ")[0].rstrip(".")
            return f"{state}: {first}" if first else state
        case "finished":
            return "finished" if stands.is_complete else "ended, but not every final finished"


def _trials_text(stands: Standing) -> str:
    counts = {name: count for name, count in stands.counts().items() if count}
    open_ones = counts.pop("running", 0)
    waiting = counts.pop("waiting", 0)
    parts = [f"{count} {name}" for name, count in counts.items()]
    if open_ones:
        parts.append(f"{open_ones} {'running' if stands.holder else 'to go on'}")
    if waiting:
        parts.append(f"{waiting} to come")
    of = f"{stands.ended} of {stands.total} done"
    return f"{of}: {', '.join(parts)}" if parts else of


def _run_text(stands: Standing, run: UnderWay) -> str:
    text = f"{run.run_id.removeprefix(f'{stands.plan.name}-')}  epoch {run.epoch}/{run.epochs}"
    return text if run.value is None else f"{text}  {stands.plan.objective} {run.value:.3f}"


def _left_text(stands: Standing) -> str:
    left_s = _left_s(stands)
    return "" if left_s is None or stands.is_complete else span_text(left_s)


def _left_s(stands: Standing) -> float | None:
    base = stands.plan.base
    examples = base.train_examples or TRAIN_EXAMPLES.get(stands.plan.data_source, 0)
    # Of one's own data only the sweep's own process knows how many there are.
    return stands.left_s(examples) if examples else None


def _age(since: str) -> str:
    try:
        began = datetime.fromisoformat(since)
    except ValueError:
        return "?"
    return span_text(max(0.0, time.time() - began.timestamp()))


def _only_stopped(store: Store, run_id: str) -> bool:
    try:
        record = store.read_record(run_id)
    except BenchError:
        return False
    return record is not None and record.status == "interrupted"


def _document(found: list[Standing], damaged: dict[str, str], look: Look) -> dict[str, Any]:
    """Return everything as plain JSON values; times in seconds, dates as ISO 8601 in UTC."""
    return {
        "version": JSON_VERSION,
        "out": str(look.store.root),
        "running": {
            name: {"host": held.host, "pid": held.pid, "since": held.since}
            for name, held in running(look.store).items()
        },
        "sweeps": [_entry(each, look) for each in found],
        "damaged": damaged,
    }


def _entry(stands: Standing, look: Look) -> dict[str, Any]:
    best, progress, held = stands.best, stands.progress, stands.holder
    ended = stands.last_ended_s
    return {
        "name": stands.plan.name,
        "state": stands.state,
        "complete": stands.is_complete,
        "reason": progress.reason if progress else None,
        "process": held and {"host": held.host, "pid": held.pid, "since": held.since},
        "trials": {"total": stands.total, "ended": stands.ended} | stands.counts(),
        "finals": {"total": stands.finals_asked, "finished": stands.finals_done},
        "reruns": {"total": stands.reruns_asked, "finished": stands.reruns_done},
        "workers": stands.workers,
        "objective": stands.plan.objective,
        "best": best and {"trial": best.number, "value": best.value, "params": dict(best.params)},
        "under_way": [
            {
                "run_id": run.run_id, "role": run.role, "epoch": run.epoch, "epochs": run.epochs,
                "value": run.value,
            }
            for run in stands.under_way
        ],
        "last_ended": ended and datetime.fromtimestamp(ended, UTC).isoformat(timespec="seconds"),
        "left_s": None if stands.is_complete else _left_s(stands),
        "failed": [
            {"trial": row.number, "reason": row.reason}
            for row in stands.rows
            if row.status == "failed"
        ],
        "not_sent": look.unsent_of(stands),
        "command": look.command(stands),
    }  # fmt: skip
