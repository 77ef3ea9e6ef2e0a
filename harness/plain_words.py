"""What an exception of somebody else's code says, in one line fit for a reason."""

from __future__ import annotations

import re

_BOLD = re.compile(r"\x1b\[1m(.+?)\x1b\[0m", re.DOTALL)
"""Keras prints the words of an error inside a layer bold, among many lines of its own."""

_GRAPH = "Graph execution error:"
"""TensorFlow begins with it where a graph raised; then come the places, then what happened."""

_PLACE = re.compile(r"\s|Graph execution error:|Detected at node |<stack traces unavailable>|$")

_USER_CODE = "in user code:"
"""TensorFlow begins with it where a traced function raised, and ends with the error's own line."""


def in_words(error: BaseException) -> str:
    """Return the class of an error and the line of its text that says what happened.

    Without a full stop at the end, so that it can stand inside a sentence.
    """
    text = str(error).strip()
    found = _BOLD.search(text)
    if found:
        text = found[1].strip()
    elif text.startswith(_USER_CODE):
        text = text.splitlines()[-1].strip()
    elif text.startswith(_GRAPH):
        text = next((line for line in text.splitlines() if not _PLACE.match(line)), text)
    line = text.partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
