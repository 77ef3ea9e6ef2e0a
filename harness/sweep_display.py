"""How a sweep looks while it runs: counts, best trials, curves of those that train, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from rich.console import Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from harness.console import console, note, quality_text, say
from harness.durations import span_text
from harness.live_screen import LiveScreen
from harness.record import EpochPoint, RunRecord
from sweeps.axes import Value
from sweeps.listeners import (
    EpochDone,
    Event,
    RunEnded,
    RunRepeated,
    RunStarted,
    SweepOpened,
    WorkerDied,
    WorkerReplaced,
)
from sweeps.objectives import finite
from sweeps.plan import SweepPlan, Task
from sweeps.sampler import TrialRow
from sweeps.study import leaders

BEST_SHOWN = 5
FRONT_SHOWN = 12
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class _Running:
    """A run that trains now."""

    task: Task
    values: list[float] = field(default_factory=list)
    epochs: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """How a sweep stands: what it does now, how much of it is done, and what came out.

    Attributes:
        what: "trials" or "finals".
        counts: trials by state, such as "3 pruned".
        best: the best finished trial.
    """

    what: str
    done: int
    of: int
    counts: tuple[str, ...]
    best: TrialRow | None


class SweepDisplay(LiveScreen):
    """Shows a sweep; on no terminal, a line for each run that ends.

    Args:
        plan: of the sweep.
        total: trials that it shall hold.
        n_train: training examples of a final.
        top: how many of the best trials are trained again.
        clock: seconds from any origin.
        left_s: tells the seconds left, if the sweep shares its workers with others.
    """

    def __init__(
        self,
        plan: SweepPlan,
        total: int,
        *,
        n_train: int,
        top: int = 1,
        clock: Callable[[], float] = monotonic,
        left_s: Callable[[], float | None] | None = None,
    ) -> None:
        self._plan, self._total, self._clock = plan, total, clock
        self._time_left = left_s or self.left_s
        self._again = {
            "final": plan.finals * top, "rerun": 0 if plan.trains_alike else plan.finals
        }  # fmt: skip
        self._again_images = {
            "final": plan.base.epochs * n_train, "rerun": plan.trial_budget(n_train)
        }  # fmt: skip
        self._rows: dict[int, TrialRow] = {}
        self._running: dict[str, _Running] = {}
        self._finals: list[RunRecord] = []  # and re-runs
        self.images = 0  # trained under these eyes, by anybody
        self.train_s = 0.0  # which took the workers so long, added up
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
            "finals", total=sum(self._again.values()), eta="", visible=False
        )
        super().__init__()

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
            case RunRepeated(task=task, reason=reason):
                self._running.pop(task.run_id, None)
                say(f"{task.run_id} failed, but that does not count yet: {reason}")
            case WorkerReplaced(reason=reason):
                say(reason)
            case WorkerDied(reason=reason, task=task):
                if task is not None:
                    self._running.pop(task.run_id, None)
                say(f"A worker died{f' in {task.run_id}' if task else ''}: {reason}")

    def left_s(self) -> float | None:
        """Return the seconds left, by the images trained per second so far; None if unknown."""
        if self._first_s is None or not self.images:
            return None
        return self.images_left() * (self._clock() - self._first_s) / self.images

    def images_left(self) -> int:
        """Return the images that are still to be trained, as far as can be told."""
        trial = self._full_trial
        if self._trials_ended:
            trial = self._trial_images // self._trials_ended
        trials = max(0, self._total - self.done) * trial
        again = sum(
            max(0, wanted - self._ended(role)) * self._again_images[role]
            for role, wanted in self._again.items()
        )
        under_way = sum(run.images for run in self._running.values())
        return max(0, trials + again - under_way)

    @property
    def done(self) -> int:
        """Return how many trials have ended."""
        return sum(row.status != "running" for row in self._rows.values())

    def brief(self) -> Brief:
        """Return how the sweep stands, in short."""
        states = [row.status for row in self._rows.values()]
        best = leaders(self._plan, self._rows.values())
        searching = self.done < self._total
        return Brief(
            what="trials" if searching else "finals",
            done=self.done if searching else len(self._finals),
            of=self._total if searching else sum(self._again.values()),
            counts=tuple(
                f"{states.count(s)} {s}" for s in ("finished", "pruned", "failed") if s in states
            ),
            best=best[0] if best else None,
        )

    def _open(self, rows: Sequence[TrialRow]) -> None:
        self._rows = {row.number: row for row in rows}
        self._total = max(self._total, len(rows))
        if self.done:
            of = f" of {self._plan.base.backbone}" if self._plan.group else ""
            note(f"{self.done} of {self._total} trials{of} are done already")

    def _epoch(self, task: Task, point: EpochPoint) -> None:
        self.images += point.images
        self.train_s += point.train_s
        if task.role == "trial":
            self._full_trial = task.config.epochs * point.images
        run = self._running.get(task.run_id)
        if run is not None:
            run.images += point.images
            run.epochs = point.epoch
            run.values += [v for v in [self._plan.goals[0].after_epoch(point)] if v is not None]
        if task.role == "final" and not console.is_terminal:
            note(f"{task.run_id}  epoch {point.epoch}/{task.config.epochs}  {quality_text(point)}")

    def _end(self, task: Task, record: RunRecord, row: TrialRow | None) -> None:
        run = self._running.pop(task.run_id, None)
        if row is None:
            self._finals.append(record)
            what = "re-run" if task.role == "rerun" else "final"
            count = f"[{what} {self._ended(task.role)}/{self._again.get(task.role, 0)}]"
        else:
            self._rows[row.number] = row
            self._trials_ended += 1
            self._trial_images += run.images if run else 0
            count = f"[{self.done}/{self._total}]"
        if record.status == "failed":
            say(f"{count} {task.run_id} failed: {record.reason}")
        elif not console.is_terminal:
            note(f"{count} {self._line(task, record, row)}")

    def _line(self, task: Task, record: RunRecord, row: TrialRow | None) -> str:
        goals = self._plan.goals
        values = finite([goal.at_end(record) for goal in goals]) if row is None else row.values
        text = f"{task.run_id} {record.status}"
        for goal, value in zip(goals, values or (), strict=False):
            text += f"  {goal.title} {goal.text(value)}"
        best = leaders(self._plan, self._rows.values())
        if best and row is not None and len(goals) > 1:
            text += f"  front of {len(best)}"
        elif best and row is not None:
            text += f"  best {goals[0].text(best[0].values[0])} (trial {best[0].number})"
        return f"{text}  {self._left()}".rstrip()

    def _left(self) -> str:
        left = self._time_left()
        return "" if not left else f"about {span_text(left)} left"

    def _ended(self, role: str) -> int:
        return sum(record.role == role for record in self._finals)

    def _screen(self) -> Group:
        rows = tuple(self._rows.values())
        trials_left = self.done < self._total
        self._progress.update(
            self._bar, completed=self.done, total=self._total,
            eta=self._left() if trials_left else "",
        )  # fmt: skip
        self._progress.update(
            self._final_bar, completed=len(self._finals), visible=not trials_left,
            eta="" if trials_left else self._left(),
        )  # fmt: skip
        parts: list[RenderableType] = [self._progress]
        counts = self.brief().counts
        if counts:
            parts.append(Text("  ".join(counts)))
        if self._running:
            parts.append(self.running_table())
        elif self._first_s is None:
            parts.append(Text("the workers are starting ..."))
        if leaders(self._plan, rows):
            parts.append(trial_table(self._plan, rows, so_far=True))
        return Group(*parts)

    def running_table(self, table: Table | None = None) -> Table:
        """Return the runs that train now with their curves, below those in `table`."""
        table = table or Table(box=None, show_header=False)
        before = f"{self._plan.group or self._plan.name}{'.' if self._plan.group else '-'}"
        for run in self._running.values():
            table.add_row(
                run.task.run_id.removeprefix(before),
                f"epoch {run.epochs}/{run.task.config.epochs}",
                sparkline(run.values),
                self._plan.goals[0].text(run.values[-1]) if run.values else "",
            )
        return table


def trial_table(plan: SweepPlan, rows: Sequence[TrialRow], *, so_far: bool = False) -> Table:
    """Return the best finished trials as a table: objectives and searched fields.

    With several objectives these are the trials of the front, best in the first one first.
    """
    title = "best trials" if len(plan.objectives) == 1 else "Pareto front"
    title += f" of {plan.base.backbone}" if plan.group else ""
    title += f"{' so far' if so_far else ''} (validation)"
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    for goal in plan.goals:
        table.add_column(goal.name, justify="right")
    best = leaders(plan, rows)[: BEST_SHOWN if len(plan.objectives) == 1 else FRONT_SHOWN]
    names = (*plan.space.names(), *_backed_off(plan, best))
    for name in names:
        # Many columns leave each only a few letters: then a name goes on in the next line.
        heading = name.replace("_", "_\n") if len(names) > 3 else name
        table.add_column(heading, justify="right", overflow="fold")
    for row in best:
        fields = plan.trial_task(row.number, row.settings).config.to_json()
        shown = {*row.params, *_backed_off(plan, best)}
        cells = [_value_text(fields[name]) if name in shown else "" for name in names]
        values = [g.text(v, extra=1) for g, v in zip(plan.goals, row.values, strict=True)]
        table.add_row(str(row.number), *values, *cells)
    return table


def _backed_off(plan: SweepPlan, rows: Iterable[TrialRow]) -> list[str]:
    """Return the field that holds the batch, if one was halved and it is not searched anyway."""
    fields = {row.backoff.field for row in rows if row.backoff}
    return sorted(fields - set(plan.space.names()))


def sparkline(values: Sequence[float]) -> str:
    """Return values as a line of bars, the last 30 of them: from 0 to 1, or to the largest."""
    top = max(1.0, *values) if values else 1.0
    return "".join(_BARS[min(7, max(0, int(8 * value / top)))] for value in values[-30:])


def _value_text(value: Value | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
