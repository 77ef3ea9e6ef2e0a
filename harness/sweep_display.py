"""How a sweep looks while it runs: counts, best trials, curves of those that train, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from harness.console import console, note, quality_text, say
from harness.durations import span_text
from harness.record import EpochPoint, RunRecord
from sweeps.axes import Value
from sweeps.listeners import EpochDone, Event, RunEnded, RunStarted, SweepOpened, WorkerDied
from sweeps.plan import SweepPlan, Task
from sweeps.sampler import TrialRow

BEST_SHOWN = 5
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class _Running:
    """A run that trains now."""

    task: Task
    values: list[float] = field(default_factory=list)
    epochs: int = 0
    images: int = 0


class SweepDisplay:
    """Shows a sweep; on no terminal, a line for each run that ends.

    Args:
        plan: of the sweep.
        total: trials that it shall hold.
        n_train: training examples of a final.
        clock: seconds from any origin.
    """

    def __init__(
        self, plan: SweepPlan, total: int, *, n_train: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._plan, self._total, self._clock = plan, total, clock
        self._final_images = plan.base.epochs * n_train
        self._rows: dict[int, TrialRow] = {}
        self._running: dict[str, _Running] = {}
        self._finals: list[RunRecord] = []
        self._images = 0  # trained under these eyes, by anybody
        self._trial_images = 0  # of these, by trials that have ended
        self._trials_ended = 0
        self._full_trial = 0  # what a trial that is not pruned trains
        self._first_s: float | None = None
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=40),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[eta]}", table_column=Column(no_wrap=True)),
        )  # fmt: skip
        self._bar = self._progress.add_task("trials", total=total, eta="")
        self._final_bar = self._progress.add_task(
            "finals", total=plan.finals, eta="", visible=False
        )
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
                self._open(rows)
            case RunStarted(task=task):
                self._first_s = self._clock() if self._first_s is None else self._first_s
                self._running[task.run_id] = _Running(task)
            case EpochDone(task=task, point=point):
                self._epoch(task, point)
            case RunEnded(task=task, record=record, row=row):
                self._end(task, record, row)
            case WorkerDied(reason=reason, task=task):
                if task is not None:
                    self._running.pop(task.run_id, None)
                say(f"A worker died{f' in {task.run_id}' if task else ''}: {reason}")

    def left_s(self) -> float | None:
        """Return the seconds left, by the images trained per second so far; None if unknown."""
        if self._first_s is None or not self._images:
            return None
        trial = self._full_trial
        if self._trials_ended:
            trial = self._trial_images // self._trials_ended
        trials = max(0, self._total - self._done()) * trial
        finals = max(0, self._plan.finals - len(self._finals)) * self._final_images
        under_way = sum(run.images for run in self._running.values())
        elapsed = self._clock() - self._first_s
        return max(0, trials + finals - under_way) * elapsed / self._images

    def _open(self, rows: Sequence[TrialRow]) -> None:
        self._rows = {row.number: row for row in rows}
        self._total = max(self._total, len(rows))
        if self._done():
            note(f"{self._done()} of {self._total} trials are done already")

    def _epoch(self, task: Task, point: EpochPoint) -> None:
        self._images += point.images
        if task.role == "trial":
            self._full_trial = task.config.epochs * point.images
        run = self._running.get(task.run_id)
        if run is not None:
            run.images += point.images
            run.epochs = point.epoch
            run.values += [v for v in [point.metrics.get(self._plan.metric)] if v is not None]
        if task.role == "final" and not console.is_terminal:
            note(f"{task.run_id}  epoch {point.epoch}/{task.config.epochs}  {quality_text(point)}")

    def _end(self, task: Task, record: RunRecord, row: TrialRow | None) -> None:
        run = self._running.pop(task.run_id, None)
        if row is None:
            self._finals.append(record)
            count = f"[final {len(self._finals)}/{self._plan.finals}]"
        else:
            self._rows[row.number] = row
            self._trials_ended += 1
            self._trial_images += run.images if run else 0
            count = f"[{self._done()}/{self._total}]"
        if record.status == "failed":
            say(f"{count} {task.run_id} failed: {record.reason}")
        elif not console.is_terminal:
            note(f"{count} {self._line(task, record, row)}")

    def _line(self, task: Task, record: RunRecord, row: TrialRow | None) -> str:
        value = record.value(self._plan.metric) if row is None else row.value
        text = f"{task.run_id} {record.status}"
        if value is not None:
            text += f"  validation {self._plan.objective} {value:.3f}"
        best = _best(self._plan, self._rows.values())
        if best and row is not None:
            text += f"  best {best[0].value:.3f} (trial {best[0].number})"
        return f"{text}  {self._left()}".rstrip()

    def _left(self) -> str:
        left = self.left_s()
        return "" if not left else f"about {span_text(left)} left"

    def _done(self) -> int:
        return sum(row.status != "running" for row in self._rows.values())

    def _screen(self) -> Group:
        rows = tuple(self._rows.values())
        trials_left = self._done() < self._total
        self._progress.update(
            self._bar, completed=self._done(), total=self._total,
            eta=self._left() if trials_left else "",
        )  # fmt: skip
        self._progress.update(
            self._final_bar, completed=len(self._finals), visible=not trials_left,
            eta="" if trials_left else self._left(),
        )  # fmt: skip
        parts: list[RenderableType] = [self._progress]
        states = [row.status for row in rows]
        counts = [
            f"{states.count(s)} {s}" for s in ("finished", "pruned", "failed") if s in states
        ]
        if counts:
            parts.append(Text("  ".join(counts)))
        if self._running:
            parts.append(self._running_table())
        elif self._first_s is None:
            parts.append(Text("the workers are starting ..."))
        if _best(self._plan, rows):
            parts.append(trial_table(self._plan, rows, title="best trials so far (validation)"))
        return Group(*parts)

    def _running_table(self) -> Table:
        table = Table(box=None, show_header=False)
        for run in self._running.values():
            table.add_row(
                run.task.run_id.removeprefix(f"{self._plan.name}-"),
                f"epoch {run.epochs}/{run.task.config.epochs}",
                sparkline(run.values),
                f"{run.values[-1]:.3f}" if run.values else "",
            )
        return table


def trial_table(plan: SweepPlan, rows: Sequence[TrialRow], *, title: str) -> Table:
    """Return the best finished trials as a table: objective and searched fields."""
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column(plan.objective, justify="right")
    names = plan.space.names()
    for name in names:
        # Many columns leave each only a few letters: then a name goes on in the next line.
        heading = name.replace("_", "_\n") if len(names) > 3 else name
        table.add_column(heading, justify="right", overflow="fold")
    for row in _best(plan, rows)[:BEST_SHOWN]:
        params = [_value_text(row.params[name]) if name in row.params else "" for name in names]
        table.add_row(str(row.number), f"{row.value:.4f}", *params)
    return table


def sparkline(values: Sequence[float]) -> str:
    """Return values in [0, 1] as a line of bars, the last 30 of them."""
    return "".join(_BARS[min(7, max(0, int(8 * value)))] for value in values[-30:])


def _best(plan: SweepPlan, rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Return the finished trials, best first; of equals the earlier one."""
    sign = -1 if plan.direction == "maximize" else 1
    valued = [(row.value, row) for row in rows if row.status == "finished"]
    ranked = [(sign * value, row.number, row) for value, row in valued if value is not None]
    return [row for _, _, row in sorted(ranked, key=lambda item: item[:2])]


def _value_text(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
