"""The identity of an output folder: folders share servers, and their runs must not meet."""

from __future__ import annotations

import secrets
from pathlib import Path

from harness.mlflow_client import one_at_a_time
from harness.store import write_atomically

_ID_FILE = ".store-id"


def store_id(root: Path) -> str | None:
    """Return the identity of an output folder, None before anything was sent from it."""
    path = root / _ID_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def settled_id(root: Path) -> str:
    """Return the identity of an output folder, made on first use: folders share servers."""
    with one_at_a_time(root / ".send.lock"):
        known = store_id(root)
        if known is None:
            known = secrets.token_hex(6)
            write_atomically(root / _ID_FILE, f"{known}\n".encode())
        return known
