"""`bench data`: pictures of scenes, counts of what a data set holds, and downloads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from harness.class_sets import SETS, Mirrors
from harness.config import RunConfig
from harness.console import console, note, say, waiting
from harness.data import load, load_scenes
from harness.data_stats import BINS, Stats, StatsSplit, count
from harness.predictions import Examples
from harness.problems import MOST_SHOWN
from harness.sources import cache_dir, fetched
from harness.store import Store, write_atomically

SHOWN = 12


def preview(
    config: RunConfig, *, split: str, epoch: int, to: Path | None, out: Path,
    data_dir: Path | None,
) -> None:  # fmt: skip
    """Draw the first scenes of a split, training scenes as they are trained on.

    Raises:
        DataError: the data cannot be read.
        StoreError: the picture cannot be written.
    """
    data = load(config, data_dir, say=say)
    train, shown = split == "train", np.arange(min(SHOWN, data.n_train))
    scenes = data.train_scenes(epoch, shown) if train else data.validation()
    with waiting("loading the plotting libraries ..."):
        from reports.scene_figures import scenes_plot
    examples = Examples(
        ids=scenes.ids[:SHOWN],
        images=scenes.images[:SHOWN],
        labels=scenes.labels[:SHOWN],
        predicted_labels=scenes.labels[:SHOWN],
        boxes=scenes.boxes[:SHOWN],
        predicted_boxes=scenes.boxes[:SHOWN],
    )
    scene = "" if config.scene == "plain" else f"-{config.scene}"
    path = to or Store(out).root / f"preview-{data.source}{scene}-{split}.png"
    picture = scenes_plot(examples, name=path.stem, what=f"{data.source} {split}",
                           class_names=data.class_names)  # fmt: skip
    write_atomically(path, picture.png())
    note(f"{len(examples.ids)} {split} scenes of {data.source} ({data.identity().scene}): {path}")


def fetch(name: str, *, to: Path | None, mirrors: Mirrors | None = None) -> None:
    """Download a set, unless it is there, and say where it lies.

    Args:
        name: a key of `SETS`.
        to: folder below which it gets one of its own; by default the cache.
        mirrors: where to fetch it from, instead of its own.

    Raises:
        FetchError: no mirror delivered.
        StoreError: the folder cannot be written.
    """
    which = SETS[name]
    folder = cache_dir(name) if to is None else to.expanduser().absolute() / name
    source = fetched(which, folder, say=say, mirrors=mirrors)
    use = f"--dataset {name}" if to is None else f"--dataset {name} --data-dir {folder.parent}"
    note(f"{which.title} is in {source.place}: {use} finds it")


def stats(
    config: RunConfig, *, splits: Sequence[StatsSplit], as_json: bool, data_dir: Path | None
) -> None:
    """Count what a data set holds and print it; what is bad is listed, and no error.

    Args:
        config: its fields of the group "Data" say what is counted.
        splits: which to look at; the test split is read only if it is among them.
        as_json: print one JSON object instead of tables.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        DataError: the data cannot be used at all.
    """
    found = count(load_scenes(config, data_dir, say=say), splits)
    if as_json:
        console.file.write(json.dumps(found.to_json(), indent=1) + "\n")
        return
    console.print(class_counts(found))
    if found.boxes:
        console.print(box_table(found))
    for line in findings(found):
        note(line)
    for problem in found.problems[:MOST_SHOWN]:
        note(f"  {problem}")
    if len(found.problems) > MOST_SHOWN:
        note(f"  and {len(found.problems) - MOST_SHOWN:,} more; --json lists all")


def class_counts(found: Stats) -> Table:
    """Return the images of each class and split, with their share of the split."""
    table = Table(title=f"Images of {found.source}", title_justify="left", box=None)
    table.add_column("class")
    for split in found.counts:
        table.add_column(split, justify="right", no_wrap=True)
    totals = {split: sum(of) for split, of in found.counts.items()}
    for k, name in enumerate(found.names):
        cells = [
            f"{of[k]:,} ({of[k] / max(1, totals[split]):6.1%})"
            for split, of in found.counts.items()
        ]
        table.add_row(Text(name), *cells)
    table.add_row("all", *(f"{n:,} (100.0%)" for n in totals.values()), style="bold")
    return table


def box_table(found: Stats) -> Table:
    """Return how the sides and centres of training boxes are spread over the canvas."""
    title = "Training boxes of epoch 1, per cent in each tenth of the canvas"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("from")
    for name in found.boxes:
        table.add_column(name, justify="right")
    for k in range(BINS):
        table.add_row(f"{k / BINS:.1f}", *(f"{100 * of[k]:.1f}" for of in found.boxes.values()))
    return table


def findings(found: Stats) -> list[str]:
    """Return in words what copies, sizes and faults there are."""
    lines = [f"copies within {split}: {n:,}" for split, n in found.copies.items()]
    lines += [f"in both {pair}: {n:,}" for pair, n in found.shared.items()]
    if found.duplicates:
        lines.append(f"copies left out before the split: {found.duplicates:,}")
    if found.sizes:
        (height, width, n), *others = sorted(found.sizes, key=lambda size: -size[2])
        more = f" and {len(others):,} other sizes" if others else ""
        lines.append(f"sizes before scaling to 28x28: {height}x{width} ({n:,} images){more}")
    bad = "none" if not found.problems else f"{len(found.problems):,}"
    lines.append(f"problems: {bad}" + (f", {found.skipped:,} images" if found.problems else ""))
    return lines
