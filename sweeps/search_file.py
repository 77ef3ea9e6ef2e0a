"""What is searched, read from a TOML file with a table `[search]`.

[search]
learning_rate = "1e-4..1e-1:log"              # as on the command line
batch_size = [16, 32, 64]                     # a choice
width = {low = 0.5, high = 2.0, log = true}   # a range; step instead of log if wanted
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError, did_you_mean
from sweeps.axes import Axis, Choice, Range, searched_knob
from sweeps.search_text import parse_axis

TABLE = "search"

RANGE_KEYS = {"low": (int, float), "high": (int, float), "log": (bool,), "step": (int, float)}
"""What a table may say of a range, and as which types."""


def read_search(text: str) -> tuple[Axis, ...]:
    """Read one search as it is typed: an axis, or the name of a TOML file of axes.

    Raises:
        UsageError: it is malformed or does not fit a field; of a file the text names file and key.
    """
    if "=" not in text and text.strip().endswith(".toml"):
        return _read_file(Path(text.strip()))
    return (parse_axis(text),)


def _read_file(path: Path) -> tuple[Axis, ...]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # of TOML, and of UTF-8
        raise UsageError(f"{path} must be a TOML file: {error}.") from error
    table = content.pop(TABLE, None)
    if not isinstance(table, dict) or not table:
        raise UsageError(
            f"{path} must have a table [{TABLE}] with a line for each field, such as "
            'learning_rate = "1e-4..1e-2:log".'
        )
    if content:
        raise UsageError(f"{path} must hold nothing but [{TABLE}], got {min(content)!r}.")
    return tuple(_axis(path, key, value) for key, value in table.items())


def _axis(path: Path, key: str, value: object) -> Axis:
    name = key.replace("-", "_")
    try:
        searched_knob(name)
        return _read(name, value)
    except UsageError as error:
        raise UsageError(f"{path}, key {key!r}: {error}") from error


def _read(name: str, value: object) -> Axis:
    match value:
        case str():
            return parse_axis(f"{name}={value}")
        case list():
            return _choice(name, value)
        case dict():
            return _range(name, value)
    raise UsageError(
        'What is searched must be a text such as "1..3" or "a,b", a list of values, or a table '
        f"with low and high, got {value!r}."
    )


def _choice(name: str, values: list[Any]) -> Choice:
    real = searched_knob(name).kind is float
    # 1 and 1.0 are one value, as on the command line; true is no number.
    numbers = tuple(float(v) if real and type(v) is int else v for v in values)
    return Choice(name=name, values=numbers)


def _range(name: str, table: Mapping[str, Any]) -> Range:
    for key, value in table.items():
        if key not in RANGE_KEYS:
            raise UsageError(
                f"A range has the keys {', '.join(RANGE_KEYS)}, got {key!r}."
                f"{did_you_mean(key, RANGE_KEYS)}"
            )
        if type(value) not in RANGE_KEYS[key]:
            wanted = "true or false" if key == "log" else "a number"
            raise UsageError(f"{key!r} must be {wanted}, got {value!r}.")
    for key in ("low", "high"):
        if key not in table:
            raise UsageError(f"A range needs low and high, but {key!r} is missing.")
    return Range(name=name, **table)
