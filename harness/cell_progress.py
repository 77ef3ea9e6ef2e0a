"""What is shown while cells are measured: which one, for how long, how long the rest takes."""

from __future__ import annotations

from collections import defaultdict
from time import monotonic

from rich.console import RenderableType
from rich.text import Text

from harness.cell import Cell
from harness.cell_processes import Turn
from harness.console import note, say
from harness.durations import span_text
from harness.live_screen import LiveScreen


class CellProgress(LiveScreen):
    """A line for each cell that is done and, on a terminal, one for the cell that runs.

    Args:
        repeats: rounds.
    """

    def __init__(self, repeats: int) -> None:
        self._repeats = repeats
        self._turn: Turn | None = None
        self._since_s = monotonic()
        self._text = ""
        self._took_s: dict[str, list[float]] = defaultdict(list)
        super().__init__()  # draws at once

    def begun(self, turn: Turn) -> None:
        """Take in that a cell begins."""
        self._turn, self._since_s = turn, monotonic()
        self._text = (
            f"cell {turn.done + 1} of {turn.of}: {turn.contender.name}, round {turn.round} of "
            f"{self._repeats}"
        )

    def doing(self, text: str) -> None:
        """Take in that something else than a cell is measured."""
        self._turn, self._since_s, self._text = None, monotonic(), text

    def ended(self, cell: Cell) -> None:
        """Take in a cell and print its line."""
        if cell.status == "failed":
            say(f"{cell.contender} failed in round {cell.round}: {cell.reason}")
            return
        self._took_s[cell.contender].append(cell.duration_s)
        left_s = self._left_s(beside=1)
        left = f"; about {span_text(left_s)} left" if left_s else ""
        note(f"{cell_line(cell, self._repeats)}{left}")

    def _screen(self) -> RenderableType:
        passed_s = monotonic() - self._since_s
        left_s = self._left_s(beside=0) - passed_s
        left = f", about {span_text(left_s)} left" if self._turn and left_s > 0 else ""
        return Text(f"{self._text}, for {passed_s:.0f} s{left} ...", style="dim")

    def _left_s(self, *, beside: int) -> float:
        """Return the seconds that the cells ahead take at the mean of those done; 0 if none is.

        Args:
            beside: cells begun that are no longer ahead.
        """
        took = [seconds for each in self._took_s.values() for seconds in each]
        if self._turn is None or not took:
            return 0.0
        return (self._turn.of - self._turn.done - beside) * sum(took) / len(took)


def cell_line(cell: Cell, repeats: int) -> str:
    """Return what a cell measured, in a line."""
    speed, step = cell.value("images_per_s"), cell.value("step_p50_ms")
    parts = [f"{speed:,.0f} images/s" if speed is not None else "no speed"]
    if step is not None:
        parts.append(f"step {step:,.3g} ms")
    if cell.disturbed:
        reasons = dict.fromkeys(why for each in cell.disturbances for why in each)
        first, more = next(iter(reasons)), len(reasons) - 1
        others = f" and {more} more" if more else ""
        parts.append(f"{100 * cell.disturbed:.0f} % of it disturbed ({first}{others})")
    parts += cell.flags
    return (
        f"round {cell.round} of {repeats}, {cell.contender}: {', '.join(parts)}; took "
        f"{cell.duration_s:.0f} s"
    )
