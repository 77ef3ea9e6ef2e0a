"""A contender that is slower on purpose, for `bench_calibrate`: its steps take 10 % longer."""

from __future__ import annotations

import json
import time

from harness.calibration_probe import train
from harness.cell_probe import Request
from harness.fresh_process import answer, end_with_the_caller

SLOWED = "slowed"
"""Name of the contender that waits; others are trained as they are."""

SLOWDOWN = 0.1


class Wait:
    """Waits after each graph call for a share of the time since it waited last.

    When training began it is not told: what is due for the first call it waits with the second.

    Args:
        share: of that time.
    """

    def __init__(self, share: float) -> None:
        self._share, self._last_s, self._due = share, 0.0, 2

    def __call__(self, _epoch: int, _images: int) -> None:
        """Wait."""
        if self._last_s:
            passed_s = time.perf_counter() - self._last_s
            time.sleep(self._due * self._share * passed_s)
            self._due = 1
        self._last_s = time.perf_counter()


def tell(request: str, to: str) -> None:
    """Train as a request (JSON) says, slower if that is for `SLOWED`; write the cell to a file."""
    end_with_the_caller()
    asked = Request.from_json(json.loads(request))
    answer(to, lambda: train(asked, _wait(asked)).dumps())


def _wait(asked: Request) -> Wait | None:
    return Wait(SLOWDOWN) if asked.contender == SLOWED else None
