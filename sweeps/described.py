"""Reading the file that says what a sweep or a group of sweeps is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import StoreError

Described = TypeVar("Described")


def read_described(path: Path, parse: Callable[[dict[str, Any]], Described]) -> Described | None:
    """Return what a JSON file describes, or None if there is no file.

    Args:
        path: of the file.
        parse: makes it of the file's object; raises `StoreError` if it does not fit.

    Raises:
        StoreError: it cannot be read or does not fit; the text names the file.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise StoreError(f"{path} must hold a JSON object.")
    try:
        return parse(values)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from error
