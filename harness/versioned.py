"""Versioned JSON: what must hold of it before a value can be made of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.errors import StoreError, UsageError


def parsed_object(name: str, text: str) -> dict[str, Any]:
    """Return the plain values of JSON text; raise `StoreError` if it is no JSON object."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(f"A {name} must be JSON, but it is damaged: {error}.") from error
    if not isinstance(values, dict):
        raise StoreError(f"A {name} must be a JSON object.")
    return values


@contextmanager
def reading(
    name: str, version: int, values: Mapping[str, Any], way_out: str = "read it with that one"
) -> Iterator[None]:
    """Raise `StoreError` if the version is another, or if a field does not fit in the body."""
    if values.get("version") != version:
        raise StoreError(
            f"A {name} must have version {version}, got {values.get('version')!r}. "
            f"It was written by another release of bench: {way_out}."
        )
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise StoreError(f"This is not a {name}: {str(error).rstrip('.')}.") from error
