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
from harness.mlflow_names import certificate_params
from harness.mlflow_runs import RunWriter
from harness.mlflow_sweep import SweepRow, sweep_metrics, sweep_note, sweep_row
from harness.record import EpochPoint, Role, RunRecord
from harness.store import RECORD_FILE, Store, write_atomically

SENT_FILE = "sent.json"
MANIFEST_FILE = "sweep.json"
CLOSED_FILE = "closed.json"
"""Written into a sweep's folder when it ends, so that a later command can send the end."""

_GIVE_UP_AFTER = 2  # failures in a row: with a dead server each costs seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a `sync` did.

    Attributes:
        sent: runs, ends of sweeps and certificates that were sent.
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
    rows: dict[str, SweepRow]


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

    def open_sweep(self, manifest: Mapping[str, Any]) -> None:
        """Make the sweep's parent run RUNNING and ours."""
        with self._alone():
            self._sweeps.pop(manifest["name"], None)
            self._refresh(self._sweep(manifest["name"], manifest, live=True), {})

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
        if record.sweep is not None:
            with self._alone():
                self._refresh(self._sweep(record.sweep), {})

    def reconcile(self, records: Iterable[RunRecord]) -> None:
        """Send those of the records that the store lacks; end the runs of dead processes."""
        touched = set()
        for record in records:
            if not self._is_sent(self._store.run_dir(record.run_id), digest_of_record(record)):
                self._send(record)
                touched.add(record.sweep)
        with self._alone():
            for name in touched - {None}:
                self._refresh(self._sweep(str(name)), {})
            self._writer.bury_dead()

    def close_sweep(self, name: str, summary: Mapping[str, Any]) -> None:
        """End the sweep's parent run with its final numbers."""
        with self._alone():
            sweep = self._sweep(name)
            self._refresh(sweep, summary)
            status, reason = str(summary.get("status", "finished")), summary.get("reason")
            self._writer.close_parent(name, sweep.parent, status, str(reason) if reason else None)
            folder = self._store.sweep_dir(name)
            if (folder / CLOSED_FILE).is_file():
                self._note(folder, sweep.parent, _digest(folder / CLOSED_FILE))
        del self._sweeps[name]

    def log_report(self, folder: Path, sweep: str | None) -> str:
        """Send a report's folder to the sweep's parent run or a run of its own; return its id."""
        with self._alone():
            if sweep is None:
                run_id = self._writer.create_report(folder.name)
            else:
                run_id = self._writer.find_parent(sweep) or self._sweep(sweep).parent
            self._writer.log_folder(run_id, folder, "report")
        return run_id

    def log_certificate(self, path: Path) -> str:
        """Send a certificate's file to a run of its own; return its id."""
        certificate = read_certificate(path)
        with self._alone():
            run_id = self._writer.create_certificate(
                path.stem, certificate_params(certificate), certified=certificate.certified
            )
            self._writer.log_file(run_id, path, "certificate")
            self._note(_notes_of(path), run_id, _digest(path))
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
            if self._is_sent(folder, _digest(folder / RECORD_FILE)):
                already += 1
                continue
            if in_a_row >= _GIVE_UP_AFTER:
                failed[folder.name] = "not tried: the store failed twice in a row"
                continue
            try:
                touched |= self._send_folder(folder)
                sent, in_a_row = sent + 1, 0
            except BenchError as error:
                failed[folder.name] = str(error)
                in_a_row += isinstance(error, TrackingError)
        gave_up = in_a_row >= _GIVE_UP_AFTER
        others = buried = 0
        if not gave_up:
            try:
                others, buried = self._settle(touched, keep=failed)
                others += self._send_certificates(failed)
            except TrackingError as error:
                failed["sweeps and certificates"], gave_up = str(error), True
        return SyncResult(
            sent=sent + others, already=already, buried=buried, failed=failed, gave_up=gave_up
        )

    def _send_certificates(self, failed: dict[str, str]) -> int:
        """Send the certificates that the store lacks; return how many. One may be damaged."""
        sent = 0
        for path in sorted(self._store.certificates.glob("*.json")):
            if self._is_sent(_notes_of(path), _digest(path)):
                continue
            try:
                self.log_certificate(path)
                sent += 1
            except StoreError as error:
                failed[path.stem] = str(error)
        return sent

    def _settle(self, touched: Iterable[str], *, keep: Iterable[str]) -> tuple[int, int]:
        """Bring parents up to date after their runs; return sweeps closed and runs buried."""
        with self._alone():
            for name in sorted(touched):
                self._refresh(self._sweep(name), {})
        closed = 0
        for folder in self._folders("sweeps", CLOSED_FILE):
            if not self._is_sent(folder, _digest(folder / CLOSED_FILE)):
                self.close_sweep(folder.name, _read_json(folder / CLOSED_FILE))
                closed += 1
        with self._alone():
            return closed, self._writer.bury_dead(keep=keep)

    def _send_folder(self, folder: Path) -> set[str]:
        record = self._store.read_record(folder.name)
        if record is None:
            return set()  # removed since the folder was listed
        self._send(record)
        return {record.sweep} if record.sweep is not None else set()

    def _send(self, record: RunRecord) -> None:
        with self._alone():
            sweep = self._sweep(record.sweep) if record.sweep is not None else None
            digest = digest_of_record(record)
            run_id = self._writer.finish(record, digest, parent=sweep.parent if sweep else None)
            self._note(self._store.run_dir(record.run_id), run_id, digest)
            if sweep is not None:
                sweep.rows[record.run_id] = sweep_row(record)

    def _sweep(
        self, name: str, manifest: Mapping[str, Any] | None = None, *, live: bool = False
    ) -> _Sweep:
        """Return what is known of a sweep; its records are read once."""
        if name not in self._sweeps:
            if manifest is None:
                manifest = _read_json(self._store.sweep_dir(name) / MANIFEST_FILE)
            parent = self._writer.open_parent(name, manifest, live=live)
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

    def _refresh(self, sweep: _Sweep, summary: Mapping[str, Any]) -> None:
        rows = [sweep.rows[key] for key in sorted(sweep.rows)]
        self._writer.update_parent(
            sweep.parent,
            sweep_metrics(sweep.manifest, rows, summary),
            sweep_note(sweep.manifest, rows, summary),
            step=len(rows),
        )

    def _folders(self, room: str, holding: str) -> list[Path]:
        return _folders(self._store, room, holding)

    def _is_sent(self, folder: Path, digest: str) -> bool:
        return _is_sent(folder, digest, self._where)

    def _note(self, folder: Path, run_id: str, digest: str) -> None:
        notes = _read_json(folder / SENT_FILE) | {self._where: {"run": run_id, "digest": digest}}
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


def unsent(store: Store, where: str) -> list[str]:
    """Return the runs whose record a store lacks, as far as the local folder knows.

    Args:
        store: the output folder.
        where: key of the tracking store and experiment, see `tracking_uri.destination`.
    """
    folders = _folders(store, "runs", RECORD_FILE)
    return [f.name for f in folders if not _is_sent(f, _digest(f / RECORD_FILE), where)]


def digest_of_record(record: RunRecord) -> str:
    """Return the SHA-256 of a record's file."""
    return hashlib.sha256(record.dumps().encode()).hexdigest()


def _folders(store: Store, room: str, holding: str) -> list[Path]:
    return sorted(path.parent for path in (store.root / room).glob(f"*/{holding}"))


def _notes_of(certificate: Path) -> Path:
    """Return the folder that keeps where a certificate was sent."""
    return certificate.with_suffix("")


def _is_sent(folder: Path, digest: str, where: str) -> bool:
    note = _read_json(folder / SENT_FILE).get(where)
    return isinstance(note, dict) and note.get("digest") == digest


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty if there is none or it is damaged: then send again."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
