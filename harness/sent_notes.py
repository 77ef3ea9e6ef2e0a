"""`sent.json`: which tracking stores have which state of a run or sweep. Needs no MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.store import RECORD_FILE, Store, file_digest

SENT_FILE = "sent.json"


def unsent(store: Store, where: str) -> list[str]:
    """Return the runs whose record a store lacks, as far as the local folder knows.

    Args:
        store: the output folder.
        where: key of the tracking store and experiment, see `tracking_uri.destination`.
    """
    folders = folders_holding(store, "runs", RECORD_FILE)
    return [f.name for f in folders if not is_sent(f, file_digest(f / RECORD_FILE), where)]


def is_sent(folder: Path, digest: str, where: str) -> bool:
    """Tell whether a store has what the folder holds, by the SHA-256 of its record or end."""
    note = read_object(folder / SENT_FILE).get(where)
    return isinstance(note, dict) and note.get("digest") == digest


def folders_holding(store: Store, room: str, file: str) -> list[Path]:
    """Return the folders in `runs` or `sweeps` that hold such a file, sorted."""
    return sorted(path.parent for path in (store.root / room).glob(f"*/{file}"))


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty if there is none or it is damaged: then send again."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
