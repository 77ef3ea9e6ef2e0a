"""`bench data preview`: a picture of scenes with their true boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.config import RunConfig
from harness.console import note, say, waiting
from harness.data import load
from harness.predictions import Examples
from harness.store import Store, write_atomically

SHOWN = 12


def preview(
    *, dataset: str, data_seed: int, split: str, epoch: int, to: Path | None, out: Path,
    data_dir: Path | None,
) -> None:  # fmt: skip
    """Draw the first scenes of a split.

    Raises:
        DataError: the data cannot be read.
        StoreError: the picture cannot be written.
    """
    data = load(RunConfig(dataset=dataset, data_seed=data_seed), data_dir, say=say)
    train = split == "train"
    scenes = data.train_scenes(epoch, np.arange(SHOWN)) if train else data.validation()
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
    path = to or Store(out).root / f"preview-{data.source}-{split}.png"
    picture = scenes_plot(examples, name=path.stem, what=f"{data.source} {split}")
    write_atomically(path, picture.png())
    note(f"{SHOWN} {split} scenes of {data.source}: {path}")
