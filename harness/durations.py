"""Spans of time as people type and read them: `90s`, `30m`, `1h30m`; about 12 min."""

from __future__ import annotations

import math
import re

from harness.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"

_SPAN = re.compile(rf"(?=.)(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s?)?")


def parse_span(option: str, text: str) -> float:
    """Return the seconds in hours, minutes and seconds, the largest first; bare numbers are s.

    Args:
        option: what it was given to, for the error.
        text: such as `90s`, `30m`, `2h`, `1h30m` or `45`.

    Raises:
        UsageError: it is none, or not above 0.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    seconds = (
        sum(float(n) * s for n, s in zip(found.groups(), _UNITS.values(), strict=True) if n)
        if found
        else math.nan
    )
    if not 0 < seconds < math.inf:
        raise UsageError(
            f"{option} must be a time above 0 such as 90s, 30m, 2h or 1h30m, got {text!r}."
        )
    return seconds


def span_text(seconds: float) -> str:
    """Return seconds in the unit that people would use, rounded as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
