"""The local folder of runs: written atomically first, sent to the tracking store afterwards.

Layout below the output folder (default `bench-runs`):

    mlflow.db, artifacts/     the default tracking store
    runs/<run_id>/            record.json, predictions-<split>.npz, examples.npz, weights.npz,
                              pictures
    runs/<run_id>/sent.json   which tracking stores have it (written by `harness.track`)
    runs/<run_id>/checkpoint/ while it trains, and after a kill (written by `harness.checkpoint`)
    sweeps/<name>/            sweep.json, journal.log, progress.json, lock; of a group group.json
    reports/<name>/           report.md and its pictures
    certificates/<name>.json  whether strategies train the same network
    baselines/<name>/         runs set aside to compare with (written by `harness.baselines`)
    calibrations/<name>.json  how far apart this machine times identical cells
    exports/<run_id>/         trained networks for others (written by `harness.exported`)
    timings/<name>/timings.json  how fast contenders are; sent.json as for runs
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import StoreError
from harness.record import RunRecord

RECORD_FILE = "record.json"

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system answers when a disk or a share of it is full."""


class Store:
    """The output folder of bench.

    Args:
        root: the folder; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run, whether or not it exists."""
        return self.root / "runs" / run_id

    def checkpoint_dir(self, run_id: str) -> Path:
        """Return the folder of a run's checkpoints, whether or not it exists."""
        return self.run_dir(run_id) / "checkpoint"

    def sweep_dir(self, name: str) -> Path:
        """Return the folder of a sweep, whether or not it exists."""
        return self.root / "sweeps" / name

    def report_dir(self, name: str) -> Path:
        """Return the folder of a report, whether or not it exists."""
        return self.root / "reports" / name

    @property
    def certificates(self) -> Path:
        """Return the folder of certificates, whether or not it exists."""
        return self.root / "certificates"

    @property
    def baselines(self) -> Path:
        """Return the folder of baselines, whether or not it exists."""
        return self.root / "baselines"

    @property
    def exports(self) -> Path:
        """Return the folder of exported networks, whether or not it exists."""
        return self.root / "exports"

    @property
    def calibrations(self) -> Path:
        """Return the folder of calibrations, whether or not it exists."""
        return self.root / "calibrations"

    @property
    def timings(self) -> Path:
        """Return the folder of timings, whether or not it exists."""
        return self.root / "timings"

    def check_writable(self) -> None:
        """Make the output folder and prove that files can be written there.

        Raises:
            StoreError: it cannot be made or written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                return
        except OSError as error:
            raise StoreError(
                f"The output folder must be writable, but {self.root} is not "
                f"({error.strerror or error}). Choose another with --out."
            ) from error

    def write_record(self, record: RunRecord) -> Path:
        """Write the record last and atomically: a run folder with a record is complete."""
        path = self.run_dir(record.run_id) / RECORD_FILE
        write_atomically(path, record.dumps().encode())
        return path

    def read_record(self, run_id: str) -> RunRecord | None:
        """Return the record of a run, or None if the run has not ended here.

        Raises:
            StoreError: there is a record, but it cannot be read.
        """
        return read_record(self.run_dir(run_id) / RECORD_FILE)

    def records(self) -> Iterator[RunRecord]:
        """Yield every record in the order of run ids; a run that has not ended has none.

        Raises:
            StoreError: a record cannot be read; the text names the file.
        """
        runs = self.root / "runs"
        if not runs.is_dir():
            return
        for folder in sorted(runs.iterdir()):
            record = read_record(folder / RECORD_FILE)
            if record is not None:
                yield record


def read_record(path: Path) -> RunRecord | None:
    """Return the record in a file, or None if there is no such file.

    Raises:
        StoreError: the file cannot be read or is no record; the text names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error
    try:
        return RunRecord.loads(text)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not `mkstemp`: its files are closed to everybody else, whatever the umask.
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def is_full(error: BaseException) -> bool:
    """Tell whether an error means that a disk is full, itself or by what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        cause = cause.__cause__
    return False


def replace_folder(folder: Path, fresh: Path) -> None:
    """Put a finished folder in the place of an older one, which goes only once that is done.

    Raises:
        OSError: it cannot be done; the older one is there again.
    """
    older = fresh.with_name(f"{fresh.name}.older")
    if folder.exists():
        folder.rename(older)
    try:
        fresh.rename(folder)
    finally:
        if older.exists() and not folder.exists():
            older.rename(folder)  # an error, or Ctrl-C
    if older.exists():
        shutil.rmtree(older)


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Return the error for a file that cannot be written; a full disk is told with the way out."""
    said = f"{path} cannot be written: {error.strerror or error}."
    if error.errno not in FULL:
        return StoreError(said)
    folder = next((each for each in path.parents if each.is_dir()), path)
    free_mib = shutil.disk_usage(folder).free / 2**20
    return StoreError(
        f"{said} The disk of {folder} has {free_mib:.1f} MiB free. Make room there and give the "
        "same command again: all that was measured is kept."
    )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
