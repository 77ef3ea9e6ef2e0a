"""How a group of sweeps looks while it runs: one line for each backbone, and one time left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.console import say
from harness.durations import span_text
from harness.live_screen import LiveScreen
from harness.sweep_display import SweepDisplay
from sweeps.listeners import Event, RunStarted, SweepOpened, WorkerDied, WorkerReplaced
from sweeps.plan import SweepPlan

_BAR = 16  # characters: leaves room for counts and best on 80


class GroupDisplay(LiveScreen):
    """Shows several sweeps that share their workers; on no terminal, a line for each run's end.

    Args:
        plans: of the sweeps.
        total: trials that each shall hold.
        n_train: training examples of a final.
        top: how many of the best trials of each are trained again.
        clock: seconds from any origin.
    """

    def __init__(
        self,
        plans: Sequence[SweepPlan],
        total: int,
        *,
        n_train: int,
        top: int = 1,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._plans, self._clock = plans, clock
        self._first_s: float | None = None
        self._members = {
            plan.name: SweepDisplay(
                plan, total, n_train=n_train, top=top, clock=clock, left_s=self.left_s
            )
            for plan in plans
        }
        super().__init__()

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        if isinstance(event, RunStarted) and self._first_s is None:
            self._first_s = self._clock()
        match event:
            case SweepOpened(plan=plan):
                self._members[plan.name](event)
            case WorkerDied(reason=reason, task=None):
                say(f"A worker died: {reason}")
            case WorkerReplaced(reason=reason):
                say(reason)
            case _ if event.task is not None:
                self._members[event.task.sweep](event)

    def left_s(self) -> float | None:
        """Return the seconds left, None if unknown.

        An image costs each backbone what it has cost so far; of one not yet seen, as much as the
        others on average.
        """
        if self._first_s is None:
            return None
        members = self._members.values()
        images, trained_s = sum(m.images for m in members), sum(m.train_s for m in members)
        if not images or not trained_s:
            return None
        costs = [m.train_s / m.images if m.images else trained_s / images for m in members]
        left = sum(m.images_left() * cost for m, cost in zip(members, costs, strict=True))
        # What is no training, and how many train at once, is in the time that passed.
        return left * (self._clock() - self._first_s) / trained_s

    def _screen(self) -> Group:
        lines = Table(box=None, show_header=False, pad_edge=False)
        for plan in self._plans:
            now = self._members[plan.name].brief()
            best = "" if now.best is None or now.best.value is None else f"{now.best.value:.3f}"
            lines.add_row(
                Text(plan.base.backbone, overflow="ellipsis", no_wrap=True),
                ProgressBar(total=max(1, now.of), completed=now.done, width=_BAR),
                Text(f"{now.what} {now.done}/{now.of}", no_wrap=True),
                Text(", ".join(now.counts)),
                Text(f"best {best}" if best else "", no_wrap=True),
            )
        parts: list[RenderableType] = [lines]
        running = Table(box=None, show_header=False)
        for member in self._members.values():
            running = member.running_table(running)
        if self._first_s is None:
            parts.append(Text("the workers are starting ..."))
        elif running.row_count:
            parts.append(running)
        left = self.left_s()
        if left:
            parts.append(Text(f"about {span_text(left)} left for all"))
        return Group(*parts)
