"""How an axis is typed on a command line: read and written here, each the inverse of the other.

A range is `learning_rate=1e-4..1e-2`, with `:log` to draw in the logarithm or, as in
`batch_size=16..64:16`, with a step. A choice is `head=dense,soft-argmax`.
"""

from __future__ import annotations

import contextlib
import re

from harness.errors import UsageError
from sweeps.axes import Axis, Choice, Number, Range, Value, searched_knob

_RANGE = re.compile(r"([^:]+?)\.\.([^:]+?)(?::([^:]+))?")


def parse_axis(text: str) -> Axis:
    """Read an axis as it is typed.

    Raises:
        UsageError: the text is malformed, or what it says does not fit the field.
    """
    name, _, typed = (part.strip() for part in text.partition("="))
    if not (name and typed):
        raise _malformed(text)
    name = name.replace("-", "_")
    searched_knob(name)  # an unknown name is worse than whatever follows it
    if "," in typed:
        values = tuple(_value(name, part.strip(), text) for part in typed.split(","))
        return Choice(name=name, values=values)
    found = _RANGE.fullmatch(typed)
    if found is None and ".." not in typed:
        return Choice(name=name, values=(_value(name, typed, text),))  # which says: one is none
    if found is None:
        raise _malformed(text)
    low, high, scale = found.groups()
    step = None if scale in (None, "log") else _number(scale, text)
    return Range(
        name=name, low=_number(low, text), high=_number(high, text), log=scale == "log", step=step
    )


def axis_text(axis: Axis) -> str:
    """Return what `parse_axis` reads as this axis."""
    match axis:
        case Range():
            scale = ":log" if axis.log else "" if axis.step is None else f":{axis.step}"
            return f"{axis.name}={axis.low}..{axis.high}{scale}"
        case Choice():
            return f"{axis.name}={','.join(map(str, axis.values))}"


def _value(name: str, typed: str, text: str) -> Value:
    """Return one value of a choice, as the field's kind."""
    kind = searched_knob(name).kind
    if not typed:
        raise UsageError(f"No value in {text!r} must be empty, but one is. Remove a comma.")
    if kind not in (int, float):
        return typed
    number = _number(typed, text)
    return float(number) if kind is float else number


def _number(typed: str, text: str) -> Number:
    with contextlib.suppress(ValueError):
        return int(typed)
    try:
        return float(typed)
    except ValueError as error:
        raise UsageError(f"{typed!r} in {text!r} must be a number.") from error


def _malformed(text: str) -> UsageError:
    return UsageError(
        "A search must read FIELD=LOW..HIGH, with :log or :STEP after it if wanted, or "
        f"FIELD=A,B,C, or name a FILE.toml, got {text!r}. Examples: "
        "learning_rate=1e-4..1e-2:log, depth=1,2,3."
    )
