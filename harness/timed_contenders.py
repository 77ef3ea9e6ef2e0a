"""What `bench throughput` compares: backbones, or settings of one, checked at no cost."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from harness.cell_plan import Contender
from harness.config import RunConfig, knobs
from harness.errors import UsageError, unknown_name
from harness.options import read_config
from harness.scene_spec import PRESETS, span_text
from harness.schedule import check_warmup

UNTIMED = ("epochs", "patience", "evaluate_test")
"""Fields that change nothing which a cell measures."""

_EXAMPLE = "backbone=patch-s,batch_size=128,jit=on"

# A list of devices has commas of its own: only those before a name part fields.
_COMMA = re.compile(r",(?=\s*[A-Za-z_-]+\s*=)")


def read_contenders(values: Mapping[str, Any], *, given: bool) -> tuple[Contender, ...]:
    """Return the contenders that a command's parameters name, in their order.

    Args:
        values: `backbones`, `contenders` and the fields that all share.
        given: whether the user named a backbone.

    Raises:
        UsageError: a value or name is not allowed, or two contenders are the same.
    """
    backbones, texts = values["backbones"], values["contenders"]
    if not texts:
        named = [(name, {"backbone": name}) for name in backbones]
    elif given and len(backbones) > 1:
        raise UsageError(
            "With --contender, one --backbone serves those that name none, but there are "
            f"{len(backbones)}. Name each in a --contender, such as {_EXAMPLE}."
        )
    else:
        named = [(text, {"backbone": backbones[0], **_fields(text)}) for text in texts]
    found = tuple(
        Contender(name=name, config=timed_config({**values, **fields})) for name, fields in named
    )
    _check_different(found)
    return found


def read_scene_contenders(
    values: Mapping[str, Any], *, given: Collection[str]
) -> tuple[Contender, ...]:
    """Return the contenders of `--data-only`: those that are named, else every preset of scenes.

    Args:
        values: as for `read_contenders`.
        given: names of the parameters that the user set.

    Raises:
        UsageError: a value or name is not allowed, or two contenders are the same.
    """
    if values["contenders"]:
        return read_contenders(values, given="backbones" in given)
    names = [values["scene"]] if "scene" in given else list(PRESETS)
    one = {**values, "backbone": values["backbones"][0]}
    return tuple(
        Contender(name=name, config=timed_config({**one, "scene": name})) for name in names
    )


def timed_config(values: Mapping[str, Any], command: str = "throughput") -> RunConfig:
    """Build and check the configuration of a cell from a command's parameters.

    Raises:
        UsageError: a value or name is not allowed, or cannot be timed in a cell.
    """
    config = read_config(values)
    check_warmup(config)
    if config.strategy == "multiworker":
        raise UsageError(
            f"`bench {command}` measures processes one at a time: it has no use for `multiworker`."
        )
    if config.jit == "auto":
        hint = "To compare the two: --contender jit=off --contender jit=on."
        if command != "throughput":
            hint = "Use --jit or leave it out."
        raise UsageError(f"`bench {command}` needs `jit` on or off, got 'auto'. {hint}")
    return config


def _fields(text: str) -> dict[str, Any]:
    """Return the fields in a text such as "batch_size=128,jit=on".

    Raises:
        UsageError: it is malformed, or a value is of the wrong kind.
    """
    fields: dict[str, Any] = {}
    for part in _COMMA.split(text):
        name, _, typed = (piece.strip() for piece in part.partition("="))
        name = name.removeprefix("--").replace("-", "_")
        if not (name and typed):
            raise UsageError(f"--contender must read NAME=VALUE,NAME=VALUE, got {text!r}. "
                             f"Example: {_EXAMPLE}.")  # fmt: skip
        if name not in knobs():
            raise unknown_name("configuration field", name, knobs())
        if name in UNTIMED:
            raise UsageError(f"`{name}` changes nothing that is timed here. Leave it out.")
        if name in fields:
            raise UsageError(f"--contender must name each field once, got {text!r}.")
        fields[name] = _value(name, typed)
    return fields


def _value(name: str, typed: str) -> str | int | float:
    """Return a value as the field's kind; what it may be the configuration checks."""
    kind = knobs()[name].kind
    if kind in (int, float):
        with contextlib.suppress(ValueError):
            return int(typed) if kind is int else float(typed)
        number = "a whole number" if kind is int else "a number"
        raise UsageError(f"`{name}` must be {number}, got {typed!r}.")
    return span_text(typed) if knobs()[name].span else typed


def _check_different(contenders: Sequence[Contender]) -> None:
    for place, one in enumerate(contenders):
        for other in contenders[:place]:
            if one.config == other.config:
                raise UsageError(
                    f"Contenders must differ, but {other.name!r} and {one.name!r} are the same. "
                    "More processes of one are had by --repeats."
                )
