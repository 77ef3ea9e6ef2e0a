"""Stand-ins for what measures a cell of a calibration in a process, in a few milliseconds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from timed import cell

from harness.errors import UsageError
from harness.fresh_process import answer, end_with_the_caller


def tell(request: str, to: str) -> None:
    """Answer at once: A is 1 % faster than B in odd rounds and 1 % slower in even ones."""
    end_with_the_caller()
    answer(to, lambda: _cell(json.loads(request)))


def hang(request: str, to: str) -> None:
    """Measure for ever in the third round, and say who it is."""
    values = json.loads(request)
    if values["round"] < 3:
        tell(request, to)
    end_with_the_caller()
    Path(os.environ["NOTES"]).write_text(str(os.getpid()))
    time.sleep(3600)


def hang_at_once(request: str, to: str) -> None:
    end_with_the_caller()
    Path(os.environ["NOTES"]).write_text(str(os.getpid()))
    time.sleep(3600)


def fail(request: str, to: str) -> None:
    end_with_the_caller()
    answer(to, _refuse)


def fail_but_a(request: str, to: str) -> None:
    """Measure one of the twins only, and note whose turn it was."""
    contender = json.loads(request)["contender"]
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(contender)
    if contender == "A":
        tell(request, to)
    fail(request, to)


def fail_at_times(request: str, to: str) -> None:
    """Measure both twins, but none of them in the second round."""
    if json.loads(request)["round"] != 2:
        tell(request, to)
    fail(request, to)


def _cell(values: dict[str, Any]) -> str:
    faster = values["contender"] == "A" and values["round"] % 2
    slower = values["contender"] == "A" and not values["round"] % 2
    rate = 400 * (1.01 if faster else 1 / 1.01 if slower else 1.0)
    disturbed = ("steal 5 %",) if values["round"] == 1 else ()
    return cell(
        "notebook-cnn", values["round"], rate, contender=values["contender"],
        disturbances=(disturbed, ()),
    ).dumps()  # fmt: skip


def _refuse() -> str:
    raise UsageError("`width` must be odd.")
