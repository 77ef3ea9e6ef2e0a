"""Stand-ins for what measures a cell in a process, named as `cell_probes:tell` and so on."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from timed import cell

from harness.console import console
from harness.errors import UsageError
from harness.fresh_process import answer, end_with_the_caller

RATES = {"notebook-cnn": 100.0, "patch-s": 120.0, "readme-cnn": 90.0}


def tell(request: str, to: str) -> None:
    """Answer at once; images/s are those of `RATES`, plus the round."""
    end_with_the_caller()
    answer(to, lambda: _cell(json.loads(request)))


def note_and_tell(request: str, to: str) -> None:
    """Say where it was asked for whom, and in which process."""
    with Path(os.environ["NOTES"]).open("a") as file:
        values = json.loads(request)
        file.write(f"{values['contender']} {values['round']} {os.getpid()}\n")
    tell(request, to)


def fail_once(request: str, to: str) -> None:
    """Answer, but fail as readme-cnn always and as patch-s in round 2."""
    values = json.loads(request)
    end_with_the_caller()
    if values["contender"] == "readme-cnn":
        answer(to, lambda: _refuse("`width` must be odd."))
    if values["contender"] == "patch-s" and values["round"] == 2:
        answer(to, lambda: str(1 / 0))
    tell(request, to)


def shout(request: str, to: str) -> None:
    raise ValueError("no idea")


def hang(request: str, to: str) -> None:
    """Measure for ever in the second round; say who it is where the environment wants it."""
    values = json.loads(request)
    if values["round"] == 1:
        tell(request, to)
    end_with_the_caller()
    Path(os.environ["NOTES"]).write_text(str(os.getpid()))
    time.sleep(3600)


def lie(request: str, to: str) -> None:
    Path(to).write_text("{}")
    sys.stdin.read()


def _cell(values: dict[str, Any]) -> str:
    name = values["contender"]
    rate = RATES[name] + values["round"]
    return cell(name, values["round"], rate, place=values["place"]).dumps()


def _refuse(words: str) -> str:
    raise UsageError(words)


def tell_pairs(request: str, to: str) -> None:
    """Answer with pairs, if the process would draw a progress bar as on a terminal."""
    assert json.loads(request)["config"]["backbone"] == "notebook-cnn"
    assert console.is_terminal
    end_with_the_caller()
    answer(to, lambda: json.dumps([[1.0, 1.5], [2.0, 1.0]]))
