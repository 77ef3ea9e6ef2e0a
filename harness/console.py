"""What commands show on a terminal: rich tables and progress; plain lines where there is none."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from harness.errors import BenchError
from harness.record import METRICS, QUALITY, EpochPoint, RunRecord
from harness.schedule import warmup_epochs

console = Console(highlight=False, emoji=False)


def say(text: str) -> None:
    """Print a line that must not be missed."""
    console.print(Text(text, style="bold yellow"), soft_wrap=True)


def note(text: str) -> None:
    """Print an ordinary line."""
    console.print(Text(text), soft_wrap=True)  # never broken: paths must stay whole in a log


@contextlib.contextmanager
def on_stderr() -> Iterator[None]:
    """Let what is printed meanwhile go to standard error: the output belongs to a script."""
    before, console.stderr = console.stderr, True
    try:
        yield
    finally:
        console.stderr = before


@contextlib.contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something slow goes on, such as importing TensorFlow.

    Yields:
        A function that changes the text.
    """
    if console.is_terminal:
        with console.status(text) as status:
            yield status.update
    else:
        yield lambda _text: None


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what libraries write to file descriptor 2; show it only if they break.

    TensorFlow logs to it from C++ before any of its settings can silence it. An error of ours
    says by itself what is wrong.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception as error:
            if isinstance(error, BenchError):
                raise
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class _Eta(TimeRemainingColumn):
    """The time left, with its name; nothing before the work has a size."""

    def render(self, task: Task) -> Text:
        """Return it as minutes and seconds."""
        return Text.assemble("ETA ", super().render(task)) if task.total else Text("")


class _Bar(Progress):
    """A progress bar with the last measures on a line below, so that neither has to wrap."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bar and, once there are any, the measures."""
        yield from super().get_renderables()
        if self.below:
            yield Text(f"  {self.below}", no_wrap=True, overflow="ellipsis")


class RunProgress:
    """A bar over all epochs of a run; on no terminal, one line an epoch."""

    def __init__(self) -> None:
        whole = Column(no_wrap=True)
        self._bar = _Bar(
            SpinnerColumn(), TextColumn("{task.description}", table_column=whole),
            # The bar takes what the texts leave, at most so much.
            BarColumn(bar_width=None, table_column=Column(max_width=40)),
            TextColumn("{task.percentage:>3.0f}%", table_column=whole),
            TextColumn("{task.fields[speed]}", table_column=whole),
            _Eta(compact=True, table_column=whole),
            console=console, disable=not console.is_terminal, transient=True,
            refresh_per_second=4,
        )  # fmt: skip
        self._task = self._bar.add_task("compiling", total=None, speed="")
        self._epochs = 0
        self._images = 0
        self._batch = 1
        self._trained_s = 0.0
        self._mark_s = 0.0
        self._at_epoch = 0
        self._best: tuple[float, int] | None = None

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begun(self, epochs: int, images: int, batch: int) -> None:
        """Take in the size of the work: epochs, images per epoch, images per step."""
        self._epochs, self._images, self._batch = epochs, images, batch
        self._bar.update(self._task, total=epochs * images)
        self._bar.reset(self._task, description=self._place(1, 0))
        self._mark_s = perf_counter()

    def images(self, epoch: int, images: int) -> None:
        """Take in that so many images of an epoch are done."""
        self._at_epoch = epoch
        now = perf_counter()
        self._trained_s += now - self._mark_s
        self._mark_s = now
        done = (epoch - 1) * self._images + images
        self._bar.update(
            self._task,
            completed=done,
            description=self._place(epoch, images),
            speed=f"{done / self._trained_s:,.0f} images/s",
        )

    def epoch(self, point: EpochPoint) -> None:
        """Take in a measured epoch, also one that was trained before a kill."""
        trained_now = point.epoch == self._at_epoch
        if not trained_now:
            self._trained_s += point.train_s
            # Not an update: so many images at once would make the time left a dream.
            done = point.epoch * self._images
            self._bar.reset(self._task, completed=done, description=self._place(point.epoch, 0))
        self._mark_s = perf_counter()  # validation is no training time
        score = point.metrics.get("validation_score")
        if score is not None and (self._best is None or score > self._best[0]):
            self._best = (score, point.epoch)
        text = f"epoch {point.epoch}/{self._epochs}  {quality_text(point)}"
        if trained_now and not console.is_terminal:
            note(f"{text}  {point.images / point.train_s:,.0f} images/s")
        if self._best is not None:
            text += f"  (best score {self._best[0]:.3f} in epoch {self._best[1]})"
        self._bar.below = text

    def _place(self, epoch: int, images: int) -> str:
        steps, of = images // self._batch, self._images // self._batch
        return (
            f"epoch {epoch:>{len(str(self._epochs))}}/{self._epochs}  "
            f"step {steps:>{len(str(of))}}/{of}"
        )


def quality_text(point: EpochPoint) -> str:
    """Return an epoch's validation measures in a few words."""
    names = (("score", "score"), ("acc", "accuracy"), ("IoU", "mean_iou"))
    values = ((title, point.metrics.get(f"validation_{name}")) for title, name in names)
    return "  ".join(f"{title} {value:.3f}" for title, value in values if value is not None)


def result_table(record: RunRecord) -> Table:
    """Return the measures of a run: one row each, one column for each split."""
    splits = [s for s in ("validation", "test") if record.value(f"{s}_score") is not None]
    table = Table(
        title=f"{record.config.backbone} on {record.config.dataset}", title_justify="left"
    )
    table.add_column("measure", no_wrap=True)
    for split in splits:
        table.add_column(split, justify="right")
    for name in QUALITY:
        metric = METRICS[name]
        values = [record.value(f"{split}_{name}") for split in splits]
        cells = ["" if v is None else f"{v:.{metric.digits}f}" for v in values]
        table.add_row(metric.title, *cells)
    return table


def comparison_table(records: Iterable[RunRecord]) -> Table:
    """Return one row for each run, the best score first: of the test split if it was opened."""
    rows = list(records)
    opened = all(record.value("test_score") is not None for record in rows)
    split = "test" if opened else "validation"
    title = f"runs by score on the {split} split"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("backbone", overflow="fold")
    titles = [METRICS[n].title for n in ("score", "accuracy", "mean_iou", "images_per_s")]
    aimed = any(record.targets for record in rows)
    for title in ("seed", *titles, "parameters", "MFLOP", *(["to target (s)"] if aimed else [])):
        table.add_column(title, justify="right", no_wrap=True)
    rows.sort(key=lambda record: record.value(f"{split}_score") or 0.0, reverse=True)
    for record in rows:
        quality = [_cell(record, f"{split}_{n}", 3) for n in ("score", "accuracy", "mean_iou")]
        table.add_row(
            record.config.backbone,
            str(record.config.seed),
            *quality,
            _cell(record, "images_per_s", METRICS["images_per_s"].digits),
            f"{record.model.parameters:,}" if record.model else "",
            _cell(record, "mflops", METRICS["mflops"].digits),
            *([_cell(record, "time_to_target_s", 1)] if aimed else []),
        )
    return table


def _cell(record: RunRecord, measure: str, digits: int) -> str:
    value = record.value(measure)
    return "absent" if value is None else f"{value:,.{digits}f}"


def facts_lines(record: RunRecord) -> Sequence[str]:
    """Return throughput, compile time, memory, size and what else to know of a run in words."""
    lines = []
    speed, compile_s = record.value("images_per_s"), record.value("compile_s")
    if speed is not None:
        extra = "" if compile_s is None else f" (compiled in {compile_s:.1f} s before)"
        lines.append(f"{speed:,.0f} training images/s{extra}")
    if record.model is not None:
        mflops = record.value("mflops")
        cost = "" if mflops is None else f", {mflops:,.1f} MFLOP per image forward"
        lines.append(f"{record.model.parameters:,} parameters{cost}")
    lines += _training_lines(record)
    lines += _timing_lines(record)
    memory, held = record.value("peak_rss_mib"), record.value("peak_device_mib")
    if memory is not None:
        device = "" if held is None else f", {held:,.0f} MiB on a device"
        lines.append(f"peak memory {memory:,.0f} MiB{device}")
    return lines


def _timing_lines(record: RunRecord) -> Iterator[str]:
    """Yield what a step took, when the targets were reached, and what disturbed the timing."""
    p50, p90 = record.value("step_p50_ms"), record.value("step_p90_ms")
    first, data = record.value("first_batch_s"), record.value("data_images_per_s")
    if p50 is not None and p90 is not None:
        parts = [f"a step took {p50:,.1f} ms (median; 90 % within {p90:,.1f} ms)"]
        parts += [] if first is None else [f"the first batch was done after {first:,.1f} s"]
        parts += [] if data is None else [f"scenes alone {data:,.0f} images/s"]
        yield ", ".join(parts)
    reached = record.measures.get("time_to_target_s")
    if reached is not None:
        what = f"{' and '.join(record.targets)}"
        end = ", where the run ended" if record.stopped_at_target else ""
        yield (
            f"{what}: not reached, as {reached.reason}"
            if reached.value is None
            else f"{what}: reached in {reached.value:,.1f} s of training and validation (epoch "
            f"{len(reached.samples)}{end}); loading, compilation and checkpoints not counted"
        )
    disturbed = record.disturbance()
    if disturbed is not None:
        yield f"disturbed while it was timed: {disturbed}"


def _training_lines(record: RunRecord) -> Iterator[str]:
    """Yield the learning rate, if it was scaled, and how many steps were skipped, if any."""
    config, rate = record.config, record.value("scaled_learning_rate")
    if config.learning_rate_scaling != "none" and rate is not None:
        warmup = warmup_epochs(config)
        after = (
            f" after {warmup:g} {'epoch' if warmup == 1 else 'epochs'} of warm-up"
            if warmup
            else ""
        )
        yield (
            f"learning rate {rate:.4g}{after}: {config.learning_rate:.4g} at a global batch of "
            f"{config.reference_batch_size}, {config.learning_rate_scaling} scaling"
        )
    skipped = record.value("skipped_steps")
    if skipped:
        yield f"{skipped:,.0f} steps skipped: a gradient in float16 was not finite"
