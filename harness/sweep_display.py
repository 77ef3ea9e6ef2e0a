"""How a sweep looks while it runs: counts, best trials, curves of those that train, time left."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from harness.console import console, note, quality_text, say
from harness.record import RunRecord
from sweeps.listeners import EpochDone, Event, RunEnded, RunStarted, SweepOpened, WorkerDied
from sweeps.plan import SweepPlan, Task
from sweeps.sampler import TrialRow

BEST_SHOWN = 5
_BARS = "▁▂▃▄▅▆▇█"


class SweepDisplay:
    """Shows a sweep; on no terminal, a line for each run that ends.

    Args:
        plan: of the sweep.
        total: trials that it shall hold.
        n_train: training examples of a final.
    """

    def __init__(self, plan: SweepPlan, total: int, *, n_train: int) -> None:
        self._plan, self._total = plan, total
        self._final_images = plan.base.epochs * n_train
        self._rows: dict[int, TrialRow] = {}
        self._running: dict[str, tuple[Task, list[float]]] = {}
        self._finals: list[RunRecord] = []
        self._images = 0
        self._ended = 0
        self._started_s = monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=40),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[eta]}"),
        )  # fmt: skip
        self._bar = self._progress.add_task("trials", total=total, eta="")
        self._live = Live(
            get_renderable=self._screen, console=console, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> SweepDisplay:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case SweepOpened(rows=rows):
                self._rows = {row.number: row for row in rows}
                if event.done:
                    note(f"{event.done} of {event.total} trials are done already")
            case RunStarted(task=task):
                self._running[task.run_id] = (task, [])
            case EpochDone(task=task, point=point):
                self._images += point.images
                value = point.metrics.get(self._plan.metric)
                if task.run_id in self._running and value is not None:
                    self._running[task.run_id][1].append(value)
                if task.role == "final" and not console.is_terminal:
                    note(f"{task.run_id}  epoch {point.epoch}  {quality_text(point)}")
            case RunEnded(task=task, record=record, row=row):
                self._end(task, record, row)
            case WorkerDied(reason=reason, task=task):
                say(f"A worker died{f' in {task.run_id}' if task else ''}: {reason}")
        self._progress.update(
            self._bar, completed=self._done(), eta=f"about {_minutes(self.left_s())} left"
        )

    def left_s(self) -> float | None:
        """Return the seconds left, by the images trained per second so far; None if unknown."""
        elapsed = monotonic() - self._started_s
        ended = self._ended
        if not self._images or not ended:
            return None
        finals = max(0, self._plan.finals - len(self._finals)) * self._final_images
        trials = (self._total - self._done()) * self._images / max(1, ended)
        return (finals + trials) * elapsed / self._images

    def _end(self, task: Task, record: RunRecord, row: TrialRow | None) -> None:
        self._running.pop(task.run_id, None)
        if row is None:
            self._finals.append(record)
        else:
            self._rows[row.number] = row
            self._ended += 1
        if record.status == "failed":
            say(f"{task.run_id} failed: {record.reason}")
        elif not console.is_terminal:
            note(f"[{self._done()}/{self._total}] {self._line(task, record, row)}")

    def _line(self, task: Task, record: RunRecord, row: TrialRow | None) -> str:
        value = record.value(self._plan.metric) if row is None else row.value
        text = "" if value is None else f"  {self._plan.objective} {value:.3f}"
        best = _best(self._plan, self._rows.values())
        extra = f"  best {best[0].value:.3f} (trial {best[0].number})" if best else ""
        return f"{task.run_id} {record.status}{text}{extra}  {_minutes(self.left_s())} left"

    def _done(self) -> int:
        return sum(row.status != "running" for row in self._rows.values())

    def _screen(self) -> Group:
        states = [row.status for row in self._rows.values()]
        counts = "  ".join(
            f"{states.count(s)} {s}" for s in ("finished", "pruned", "failed") if s in states
        )
        running = Table(box=None, show_header=False)
        for task, values in self._running.values():
            running.add_row(
                task.run_id.removeprefix(f"{self._plan.name}-"),
                f"epoch {len(values)}/{task.config.epochs}",
                sparkline(values),
                f"{values[-1]:.3f}" if values else "",
            )
        rows = tuple(self._rows.values())
        best = trial_table(self._plan, rows, title="best trials so far (validation)")
        return Group(self._progress, Text(counts), running, best)


def trial_table(plan: SweepPlan, rows: Sequence[TrialRow], *, title: str) -> Table:
    """Return the best finished trials as a table: objective and searched fields."""
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column(plan.objective, justify="right")
    for name in plan.space.names():
        table.add_column(name, justify="right")
    for row in _best(plan, rows)[:BEST_SHOWN]:
        params = [f"{row.params[name]:.4g}" for name in plan.space.names()]
        table.add_row(str(row.number), f"{row.value:.4f}", *params)
    return table


def sparkline(values: Sequence[float]) -> str:
    """Return values in [0, 1] as a line of bars, the last 30 of them."""
    return "".join(_BARS[min(7, max(0, int(8 * value)))] for value in values[-30:])


def _best(plan: SweepPlan, rows: object) -> list[TrialRow]:
    sign = -1 if plan.direction == "maximize" else 1
    finished = [row for row in rows if row.status == "finished" and row.value is not None]  # type: ignore[attr-defined]
    return sorted(finished, key=lambda row: (sign * row.value, row.number))


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "unknown time"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
