"""What commands show on a terminal: rich tables and progress; plain lines where there is none."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from harness.errors import BenchError
from harness.record import METRICS, QUALITY, EpochPoint, RunRecord

console = Console(highlight=False)


def say(text: str) -> None:
    """Print a line that must not be missed."""
    console.print(Text(text, style="bold yellow"), soft_wrap=True)


def note(text: str) -> None:
    """Print an ordinary line."""
    console.print(Text(text), soft_wrap=True)  # never broken: paths must stay whole in a log


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show that something slow goes on, such as importing TensorFlow."""
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield


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


class _ImagesPerSecond(ProgressColumn):
    """Training images per second of the run so far."""

    def render(self, task: Task) -> Text:
        """Return the speed, or nothing while it is unknown."""
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")


class RunProgress:
    """A bar over all epochs of a run; on no terminal, one line an epoch."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"), _ImagesPerSecond(),
            TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[quality]}"),
            console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None, quality="")
        self._epochs = 0
        self._images = 0
        self._batch = 1

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begun(self, epochs: int, images: int, batch: int) -> None:
        """Take in the size of the work: epochs, images per epoch, images per step."""
        self._epochs, self._images, self._batch = epochs, images, batch
        self._bar.update(self._task, total=epochs * images)
        self._bar.reset(self._task)

    def images(self, epoch: int, images: int) -> None:
        """Take in that so many images of an epoch are done."""
        steps, of = images // self._batch, self._images // self._batch
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self._images + images,
            description=f"epoch {epoch}/{self._epochs}  step {steps}/{of}",
        )

    def epoch(self, point: EpochPoint) -> None:
        """Take in a measured epoch."""
        text = quality_text(point)
        self._bar.update(self._task, quality=text)
        if not console.is_terminal:
            speed = point.images / point.train_s
            note(f"epoch {point.epoch}/{self._epochs}  {text}  {speed:,.0f} images/s")


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
    table.add_column("measure")
    for split in splits:
        table.add_column(split, justify="right")
    for name in QUALITY:
        metric = METRICS[name]
        values = [record.value(f"{split}_{name}") for split in splits]
        cells = ["" if v is None else f"{v:.{metric.digits}f}" for v in values]
        table.add_row(metric.title, *cells)
    return table


def facts_lines(record: RunRecord) -> Sequence[str]:
    """Return throughput, compile time, memory and size of a run in words."""
    lines = []
    speed, compile_s = record.value("images_per_s"), record.value("compile_s")
    if speed is not None:
        extra = "" if compile_s is None else f" (compiled in {compile_s:.1f} s before)"
        lines.append(f"{speed:,.0f} training images/s{extra}")
    if record.model is not None:
        lines.append(f"{record.model.parameters:,} parameters")
    memory = record.value("peak_rss_mib")
    if memory is not None:
        lines.append(f"peak memory {memory:,.0f} MiB")
    return lines
