"""Imports what a plug-in is named by: its place, `package.module:function`."""

from __future__ import annotations

import importlib
from typing import Any

from harness.errors import PluginError


def find_place(kind: str, location: str, *, title: str = "") -> Any:
    """Import and return the function at `package.module:function`.

    Args:
        kind: what it is to be, for messages: "backbone".
        location: where it is.
        title: how messages name it; by default `kind` and `location`.

    Raises:
        PluginError: its module cannot be imported, or holds no such function.
    """
    title = title or f"{kind.capitalize()} {location!r}"
    advice = f"Mend the package, or choose another {kind}."
    module, _, path = location.partition(":")
    try:
        target: object = importlib.import_module(module)
        for attribute in path.split("."):
            target = getattr(target, attribute)
    # A script that ends in `sys.exit()` must not end bench without a word.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{title} cannot be imported from {location}: {in_words(error)} {advice}"
        ) from error
    if not callable(target):
        raise PluginError(
            f"{title} must be a function, but {location} is {type(target).__name__}. {advice}"
        )
    return target


def in_words(error: BaseException) -> str:
    """Return the class of an error and the first line of its text, as a sentence."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text.rstrip('.')}." if text else f"{type(error).__name__}."
