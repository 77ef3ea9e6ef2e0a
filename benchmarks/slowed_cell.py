"""Measures cells of a calibration, some of them slowed: what `bench_calibrate` must find."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from time import perf_counter

from harness.calibration_probe import measure
from harness.fresh_process import answer, end_with_the_caller
from harness.timed_cell import Request
from harness.timed_training import Training
from harness.timing import Span

SLOWED = "S"
"""Contender that is slowed."""

SHARE = 0.1


class SlowedTraining(Training):
    """Sleeps after each graph call for a tenth of the time that it took."""

    def train(
        self, seconds: float, on_images: Callable[[int, int], None] | None = None
    ) -> list[Span]:
        """Train on for so long; the calls include the sleep."""
        mark = perf_counter()

        def sleep(epoch: int, images: int) -> None:
            nonlocal mark
            time.sleep(SHARE * (perf_counter() - mark))
            mark = perf_counter()
            if on_images:
                on_images(epoch, images)

        return super().train(seconds, sleep)


def tell(request: str, to: str) -> None:
    """Measure as a request (JSON) says; write the cell to a file, or why there is none."""
    end_with_the_caller()
    asked = Request.from_json(json.loads(request))
    trainer = SlowedTraining if asked.contender == SLOWED else Training
    answer(to, lambda: measure(asked, trainer).dumps())
