"""Keeps the tracking store equal to the local folder: what was sent, what is missing, what died.

A run's folder notes in `sent.json` which stores have which state of its record. So sending can
stop anywhere, and the next `sync` goes on: nothing measured is ever only in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.certificate import read_certificate
from harness.config import RunConfig
from harness.errors import BenchError, StoreError, TrackingError
from harness.mlflow_client import asking, one_at_a_time
from harness.mlflow_group import GROUP_FILE, SWEEP_FILE, group_metrics, group_note, is_group
from harness.mlflow_names import certificate_params, timings_params
from harness.mlflow_runs import RunWriter
from harness.mlflow_sweep import SweepRow, sweep_metrics, sweep_note, sweep_row, sweep_tags
from harness.record import EpochPoint, Role, RunRecord
from harness.sent_notes import SENT_FILE, folders_holding, is_sent, read_object
from harness.store import RECORD_FILE, Store, file_digest, is_full, write_atomically
from harness.timings import TIMINGS_FILE, read_timings

CLOSED_FILE = "closed.json"
"""Written into a sweep's folder when it ends, so that a later command can send the end."""

_GIVE_UP_AFTER = 2  # failures in a row: with a dead server each costs seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a `sync` did.

    Attributes:
        sent: runs, ends of sweeps, certificates and timings that were sent.
        already: runs that the store had.
        buried: runs whose process had died, now ended as interrupted.
        failed: run id or folder -> why it could not be sent.
        gave_up: the store itself failed, so that not everything was tried.
    """

    sent: int = 0
    already: int = 0
    buried: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    gave_up: bool = False


@dataclass(slots=True, kw_only=True)
class _Sweep:
    parent: str
    manifest: Mapping[str, Any]
    rows: dict[str, SweepRow]  # of a group: none

    @property
    def group(self) -> str | None:
        """Return the name of the group that the sweep belongs to."""
        return self.manifest.get("group")


class Projection:
    """The local folder's image in one experiment of one tracking store. Every call waits.

    Args:
        writer: writes there.
        store: the output folder.
        where: key of that experiment in `sent.json`.
    """

    def __init__(self, writer: RunWriter, store: Store, where: str) -> None:
        self._writer = writer
        self._store = store
        self._where = where
        self._sweeps: dict[str, _Sweep] = {}
        self._unnoted: dict[str, tuple[Path, str, str]] = {}  # sweep -> its run sent last

    def open_sweep(self, manifest: Mapping[str, Any]) -> None:
        """Make the run of a sweep, or of a group before its sweeps, RUNNING and ours."""
        with self._alone():
            self._sweeps.pop(manifest["name"], None)
            opened = self._sweep(manifest["name"], manifest, live=True)
            if not is_group(manifest):
                self._refresh(opened, {})

    def begin(
        self, run_id: str, role: Role, sweep: str | None, trial: int | None, config: RunConfig
    ) -> None:
        """Make a RUNNING run."""
        with self._alone():
            parent = self._sweep(sweep).parent if sweep is not None else None
            self._writer.begin(run_id, role, sweep, trial, config, parent=parent)

    def epoch(self, run_id: str, point: EpochPoint) -> None:
        """Add an epoch to a run begun here."""
        with asking(self._writer.connection.uri):
            self._writer.epoch(run_id, point)

    def finish(self, record: RunRecord) -> None:
        """Send a run that has ended, and what its sweep amounts to with it."""
        self._send(record)
        with self._alone():
            self._refresh_all(self._parents(record))

    def reconcile(self, records: Iterable[RunRecord]) -> None:
        """Send those of the records that the store lacks; end the runs of dead processes."""
        touched: set[str] = set()
        for record in records:
            if not self._is_sent(self._store.run_dir(record.run_id), digest_of_record(record)):
                self._send(record)
                touched |= set(self._parents(record))
        with self._alone():
            self._refresh_all(sorted(touched))
            self._writer.bury_dead()

    def close_sweep(self, name: str, summary: Mapping[str, Any]) -> None:
        """End the run of a sweep, or of a group after its sweeps, with its final numbers."""
        with self._alone():
            sweep = self._sweep(name)
            self._refresh(sweep, summary)
            status, reason = str(summary.get("status", "finished")), summary.get("reason")
            self._writer.close_parent(name, sweep.parent, status, str(reason) if reason else None)
            folder = self._store.sweep_dir(name)
            if (folder / CLOSED_FILE).is_file():
                self._note(folder, sweep.parent, file_digest(folder / CLOSED_FILE))
        del self._sweeps[name]

    def log_report(self, folder: Path, sweep: str | None, page: str | None = None) -> str:
        """Send a report's folder to the sweep's parent run or a run of its own; return its id."""
        with self._alone():
            if sweep is None:
                run_id = self._writer.create_report(folder.name)
            else:
                run_id = self._writer.find_parent(sweep) or self._sweep(sweep).parent
            self._writer.log_folder(run_id, folder, "report")
            if page is not None:
                self._writer.log_page(run_id, page, "report.html")
        return run_id

    def log_certificate(self, path: Path) -> str:
        """Send a certificate's file to a run of its own; return its id."""
        certificate = read_certificate(path)
        with self._alone():
            run_id = self._writer.create_certificate(
                path.stem, certificate_params(certificate), certified=certificate.certified
            )
            self._writer.log_file(run_id, path, "certificate")
            self._note(_notes_of(path), run_id, file_digest(path))
        return run_id

    def log_timings(self, path: Path) -> str:
        """Send the file of timings to a run of its own; return its id."""
        timings = read_timings(path)
        with self._alone():
            run_id = self._writer.create_timings(
                timings.name, timings_params(timings), finished=timings.status == "finished"
            )
            self._writer.log_file(run_id, path, "timings")
            self._note(path.parent, run_id, file_digest(path))
        return run_id

    def sync(self) -> SyncResult:
        """Send everything local that the store lacks, and end the runs of dead processes.

        Returns:
            What was done; runs that could not be sent are listed, the rest goes on.
        """
        sent = already = in_a_row = 0
        failed: dict[str, str] = {}
        touched: set[str] = set()
        for folder in self._folders("runs", RECORD_FILE):
            if self._is_sent(folder, file_digest(folder / RECORD_FILE)):
                already += 1
                continue
            if in_a_row >= _GIVE_UP_AFTER:
                failed[folder.name] = "not tried after the failures of others"
                continue
            try:
                touched |= self._send_folder(folder)
                sent, in_a_row = sent + 1, 0
            except BenchError as error:
                failed[folder.name] = str(error)
                in_a_row += isinstance(error, TrackingError)
                if is_full(error):  # the next would fail for the same reason
                    in_a_row = _GIVE_UP_AFTER
        gave_up = in_a_row >= _GIVE_UP_AFTER
        others = buried = 0
        if not gave_up:
            try:
                others, buried = self._settle(touched, keep=failed)
                others += self._send_certificates(failed) + self._send_timings(failed)
            except TrackingError as error:
                failed["sweeps, certificates and timings"], gave_up = str(error), True
        return SyncResult(
            sent=sent + others, already=already, buried=buried, failed=failed, gave_up=gave_up
        )

    def _send_certificates(self, failed: dict[str, str]) -> int:
        """Send the certificates that the store lacks; return how many. One may be damaged."""
        sent = 0
        for path in sorted(self._store.certificates.glob("*.json")):
            if self._is_sent(_notes_of(path), file_digest(path)):
                continue
            try:
                self.log_certificate(path)
                sent += 1
            except StoreError as error:
                failed[path.stem] = str(error)
        return sent

    def _send_timings(self, failed: dict[str, str]) -> int:
        """Send the timings that the store lacks; return how many. Some may be damaged."""
        sent = 0
        for path in sorted(self._store.timings.glob(f"*/{TIMINGS_FILE}")):
            if self._is_sent(path.parent, file_digest(path)):
                continue
            try:
                self.log_timings(path)
                sent += 1
            except StoreError as error:
                failed[path.parent.name] = str(error)
        return sent

    def _settle(self, touched: Iterable[str], *, keep: Iterable[str]) -> tuple[int, int]:
        """Bring parents up to date after their runs; return sweeps closed and runs buried."""
        with self._alone():
            self._refresh_all(sorted(touched))
        closed = 0
        for folder in self._folders("sweeps", CLOSED_FILE):
            if not self._is_sent(folder, file_digest(folder / CLOSED_FILE)):
                self.close_sweep(folder.name, read_object(folder / CLOSED_FILE))
                closed += 1
        with self._alone():
            return closed, self._writer.bury_dead(keep=keep)

    def _send_folder(self, folder: Path) -> set[str]:
        record = self._store.read_record(folder.name)
        if record is None:
            return set()  # removed since the folder was listed
        self._send(record)
        return set(self._parents(record))

    def _send(self, record: RunRecord) -> None:
        with self._alone():
            sweep = self._sweep(record.sweep) if record.sweep is not None else None
            digest = digest_of_record(record)
            run_id = self._writer.finish(record, digest, parent=sweep.parent if sweep else None)
            note = self._store.run_dir(record.run_id), run_id, digest
            if record.sweep is not None and sweep is not None:
                sweep.rows[record.run_id] = sweep_row(record)
                # A sweep that is behind keeps a run that reads unsent: after a kill it is sent
                # again, and the numbers of the sweep with it.
                self._note_last(record.sweep)
                self._unnoted[record.sweep] = note
            else:
                self._note(*note)

    def _parents(self, record: RunRecord) -> list[str]:
        """Return the sweep that a run belongs to and the sweep's group, as far as there are."""
        if record.sweep is None:
            return []
        group = self._sweep(record.sweep).group
        return [record.sweep] if group is None else [record.sweep, group]

    def _sweep(
        self, name: str, manifest: Mapping[str, Any] | None = None, *, live: bool = False
    ) -> _Sweep:
        """Return what is known of a sweep or group; its records are read once."""
        if name not in self._sweeps:
            if manifest is None:
                manifest = _manifest(self._store.sweep_dir(name))
            group = manifest.get("group")
            above = None if group is None else self._sweep(group).parent
            parent = self._writer.open_parent(name, manifest, live=live, group=above)
            rows = {r.run_id: sweep_row(r) for r in self._records() if r.sweep == name}
            self._sweeps[name] = _Sweep(parent=parent, manifest=manifest, rows=rows)
        return self._sweeps[name]

    def _records(self) -> Iterator[RunRecord]:
        """Yield the readable records; `sync` names the others."""
        for folder in self._folders("runs", RECORD_FILE):
            try:
                record = self._store.read_record(folder.name)
            except BenchError:
                continue
            if record is not None:
                yield record

    def _refresh_all(self, parents: Iterable[str]) -> None:
        """Bring sweeps and groups up to date; only then do all their runs read as sent."""
        for name in parents:
            self._refresh(self._sweep(name), {})
        for name in list(self._unnoted):
            self._note_last(name)

    def _note_last(self, sweep: str) -> None:
        if sweep in self._unnoted:
            self._note(*self._unnoted.pop(sweep))

    def _refresh(self, sweep: _Sweep, summary: Mapping[str, Any]) -> None:
        if is_group(sweep.manifest):
            self._refresh_group(sweep)
            return
        rows = [sweep.rows[key] for key in sorted(sweep.rows)]
        self._writer.update_parent(
            sweep.parent,
            sweep_metrics(sweep.manifest, rows, summary),
            sweep_note(sweep.manifest, rows, summary),
            step=len(rows),
            tags=sweep_tags(sweep.manifest, rows),
        )

    def _refresh_group(self, group: _Sweep) -> None:
        """Write how the sweeps of a group stand, those that are closed with their last numbers."""
        metrics, ended = {}, 0
        for name, backbone in group.manifest["members"].items():
            rows = list(self._sweep(name).rows.values())
            closed = read_object(self._store.sweep_dir(name) / CLOSED_FILE)
            metrics[backbone] = sweep_metrics(self._sweep(name).manifest, rows, closed)
            ended += len(rows)
        self._writer.update_parent(
            group.parent, group_metrics(metrics), group_note(metrics), step=ended
        )

    def _folders(self, room: str, holding: str) -> list[Path]:
        return folders_holding(self._store, room, holding)

    def _is_sent(self, folder: Path, digest: str) -> bool:
        return is_sent(folder, digest, self._where)

    def _note(self, folder: Path, run_id: str, digest: str) -> None:
        notes = read_object(folder / SENT_FILE) | {self._where: {"run": run_id, "digest": digest}}
        text = json.dumps(notes, sort_keys=True, indent=1) + "\n"
        try:
            write_atomically(folder / SENT_FILE, text.encode())
        except StoreError as error:  # a full disk: the next run would fare no better
            raise TrackingError(str(error)) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time looks for a run and makes it: two would make it twice."""
        lock = self._store.root / ".send.lock"
        with asking(self._writer.connection.uri), one_at_a_time(lock):
            yield


def digest_of_record(record: RunRecord) -> str:
    """Return the SHA-256 of a record's file."""
    return hashlib.sha256(record.dumps().encode()).hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    """Return what the sweep or group in a folder is; empty if there is nothing to read."""
    return read_object(folder / SWEEP_FILE) or read_object(folder / GROUP_FILE)


def _notes_of(certificate: Path) -> Path:
    """Return the folder that keeps where a certificate was sent."""
    return certificate.with_suffix("")
