"""Baselines: runs set aside so that later ones can be compared with them.

A baseline is a folder that stands alone: it can be copied, or kept in somebody's repository.

    baselines/NAME/baseline.json               what it holds, with the digest of each file
    baselines/NAME/RUN_ID/record.json          of each run
    baselines/NAME/RUN_ID/predictions-test.npz
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError, UsageError
from harness.predictions import predictions_file
from harness.record import RunRecord
from harness.store import (
    RECORD_FILE,
    cannot_write,
    file_digest,
    read_record,
    replace_folder,
    write_atomically,
)

BASELINE_FILE = "baseline.json"

_FILES = (RECORD_FILE, predictions_file("test"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Runs that were set aside.

    Attributes:
        saved_at: ISO 8601, UTC.
        source: the run, runs or sweep that it was saved from, as the user named it.
        runs: each record with the folder of its test predictions.
    """

    name: str
    saved_at: str
    source: str
    runs: tuple[tuple[RunRecord, Path], ...]


def check_baseline_name(name: str) -> None:
    """Check the name of a new baseline: it names a folder.

    Raises:
        UsageError: it does not fit.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "A baseline's name must be 1 to 100 letters, digits, dots, hyphens and underscores, "
            f"beginning with a letter or digit, got {name!r}."
        )


def save_baseline(
    root: Path,
    name: str,
    runs: Sequence[tuple[RunRecord, Path]],
    *,
    source: str,
    saved_at: str,
    replace: bool = False,
) -> Path:
    """Copy runs into a baseline; it is there whole, or not at all.

    Args:
        root: folder of all baselines.
        name: of the new one.
        runs: each record with the folder of its files.
        source: see `Baseline`.
        saved_at: ISO 8601, UTC.
        replace: whether an older one of that name may go.

    Returns:
        Its folder.

    Raises:
        UsageError: there is one of that name.
        StoreError: it cannot be written.
    """
    check_baseline_name(name)
    folder, fresh = root / name, root / f".{name}.{secrets.token_hex(4)}"
    if folder.exists() and not replace:
        raise UsageError(
            f"There is a baseline {name!r} already. Choose another name, or give --replace."
        )
    listed = []
    try:
        try:
            for record, source_folder in runs:
                for file in _FILES:
                    content = (source_folder / file).read_bytes()
                    write_atomically(fresh / record.run_id / file, content)
                digests = {file: file_digest(fresh / record.run_id / file) for file in _FILES}
                listed.append({"run_id": record.run_id, "files": digests})
            values = {
                "version": _VERSION, "name": name, "saved_at": saved_at, "source": source,
                "runs": listed,
            }  # fmt: skip
            text = json.dumps(values, indent=1, sort_keys=True) + "\n"
            write_atomically(fresh / BASELINE_FILE, text.encode())
            replace_folder(folder, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def read_baseline(folder: Path) -> Baseline:
    """Read a baseline and check every byte of it.

    Raises:
        StoreError: it is damaged or of another release; the text names the file.
    """
    path = folder / BASELINE_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        _check_version(values["version"])
        runs = tuple(_read_run(folder, each) for each in values["runs"])
        return Baseline(
            name=str(values["name"]), saved_at=str(values["saved_at"]),
            source=str(values["source"]), runs=runs,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} must be a baseline that `bench baseline save` wrote, but is damaged: "
            f"{error}. Save it again."
        ) from error


def baselines(root: Path) -> Iterator[tuple[str, Baseline | StoreError]]:
    """Yield the name of each baseline in a folder, in order, and what it holds or why not."""
    for path in sorted(root.glob(f"*/{BASELINE_FILE}")):
        if path.parent.name.startswith("."):
            continue  # what a kill left
        try:
            yield path.parent.name, read_baseline(path.parent)
        except StoreError as error:
            yield path.parent.name, error


def _check_version(version: object) -> None:
    if version != _VERSION:
        raise ValueError(f"its version is {version!r}, not {_VERSION}")


def _read_run(folder: Path, values: Mapping[str, Any]) -> tuple[RunRecord, Path]:
    run_id, files = str(values["run_id"]), dict(values["files"])
    if Path(run_id).name != run_id or set(files) != set(_FILES):
        raise ValueError(f"{run_id!r} is no run with a record and predictions")
    for name, digest in files.items():
        path = folder / run_id / name
        if not path.is_file():
            raise ValueError(f"{path} is missing")
        if file_digest(path) != digest:
            raise ValueError(f"{path} was changed")
    record = read_record(folder / run_id / RECORD_FILE)
    if record is None or record.run_id != run_id:
        raise ValueError(f"{folder / run_id / RECORD_FILE} is that of another run")
    return record, folder / run_id
