"""The folder of a report: what bench wrote there, so that nothing else is ever touched.

report.md, report.json     what it says, in words and as JSON
NAME.png, NAME.csv         pictures, and the numbers in each
evidence/RUN_ID/           record and test predictions of each ranked run
.bench-report.json         the names of all of these, with their digests
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from harness.errors import StoreError
from harness.store import file_digest, write_atomically

REPORT_FILE = "report.md"
DOCUMENT_FILE = "report.json"
EVIDENCE = "evidence"
MANIFEST_FILE = ".bench-report.json"
"""Names what bench wrote into the folder, so that it never touches anything else there."""

_MANIFEST_VERSION = 1


def own_files(folder: Path) -> dict[str, list[str]]:
    """Return what an earlier report left in the folder: file name -> digests it may have.

    Raises:
        StoreError: the folder is not one, or holds files that bench did not write, or files
            that were changed since.
    """
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise StoreError(f"A report needs a folder, but {folder} is a file. Choose another.")
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        other = sorted(path.name for path in folder.iterdir())
        if other:
            raise StoreError(
                f"A report needs an empty folder or that of an older report, but {folder} holds "
                f"{other[0]}, which bench did not write. Choose another folder."
            )
        return {}
    files = _read_manifest(manifest)
    for name, digests in files.items():
        path = folder / name
        if path.exists() and (not path.is_file() or file_digest(path) not in digests):
            raise StoreError(
                f"{path} was changed since bench wrote it, and a new report would overwrite it. "
                "Move it away or choose another folder."
            )
    return files


def stays_inside(name: str) -> bool:
    """Return whether a name in a manifest leads to a file below the folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.name != ""


def _read_manifest(path: Path) -> dict[str, list[str]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files = {str(name): [str(d) for d in digests] for name, digests in values["files"].items()}
        version = values["version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} must list the files of the report beside it, but it is damaged ({error}). "
            "Choose another folder."
        ) from error
    # A name that leads out of the folder would have bench delete what is not its own.
    if version != _MANIFEST_VERSION or not all(map(stays_inside, files)):
        raise StoreError(
            f"{path} was not written by this release of bench. Choose another folder."
        )
    return files


def replace_files(
    folder: Path, old: Mapping[str, list[str]], contents: Mapping[str, bytes]
) -> None:
    """Write the new files and remove those of the old report that have no successor.

    The manifest is written twice: first with both states of each file, so that a crash in between
    leaves a folder that the next report still recognises as its own.
    """
    new = {name: [hashlib.sha256(content).hexdigest()] for name, content in contents.items()}
    for name in contents:
        if name not in old and (folder / name).exists():
            raise StoreError(
                f"{folder / name} was not written by bench, and the report needs that name. "
                "Move it away or choose another folder."
            )
    both = {name: [*old.get(name, []), *new.get(name, [])] for name in {**old, **new}}
    _write_manifest(folder, both)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    for name in sorted(set(old) - set(new)):
        (folder / name).unlink(missing_ok=True)
        for parent in PurePosixPath(name).parents[:-1]:
            with contextlib.suppress(OSError):  # others are still in it
                (folder / parent).rmdir()
    _write_manifest(folder, new)


def _write_manifest(folder: Path, files: Mapping[str, list[str]]) -> None:
    values = {"version": _MANIFEST_VERSION, "files": files}
    text = json.dumps(values, sort_keys=True, indent=1) + "\n"
    write_atomically(folder / MANIFEST_FILE, text.encode())
