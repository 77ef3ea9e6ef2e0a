"""`bench data export`: the very scenes of a run, as PNG files and COCO annotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from harness.coco_export import FILE, export_coco
from harness.config import RunConfig
from harness.console import note, say, waiting
from harness.data import Data, load
from harness.errors import UsageError
from harness.scenes import Scenes

ExportSplit = Literal["train", "validation", "test"]

_CHUNK = 256  # scenes in memory at once


def export(
    config: RunConfig,
    folder: Path,
    *,
    splits: Sequence[ExportSplit],
    epoch: int,
    most: int | None,
    data_dir: Path | None,
) -> None:
    """Write the scenes of some splits, each into a folder of its own.

    Args:
        config: its fields of the groups "Data" and "Augmentation" say which scenes.
        folder: gets `SPLIT/images/*.png` and `SPLIT/instances.json`.
        splits: which; the test split is read only if it is among them.
        epoch: of the training scenes.
        most: scenes of each split, the first by id; None for all.
        data_dir: folder of MNIST's files as given, or None.

    Raises:
        UsageError: the folder holds other files.
        DataError: the data cannot be read.
        StoreError: the folder cannot be written.
    """
    for split in splits:
        _check_folder(folder / split)
    data = load(config, data_dir, say=say)
    names = data.class_names or tuple(str(index) for index in range(data.classes))
    for split in splits:
        take, n = _source(data, split, epoch)
        n = n if most is None else min(n, most)
        path = _written(folder / split, take, n, names, split)
        note(f"{n:,} {split} scenes of {data.source} ({data.identity().scene}): {path}")


def _written(
    folder: Path, take: Callable[[NDArray[np.int64]], Scenes], n: int, names: Sequence[str],
    split: str,
) -> Path:  # fmt: skip
    """Write the first `n` scenes; return the path of their annotations."""
    truth = _truth(take, n)
    with waiting(f"{split}: 0 of {n:,} scenes written") as tell:
        images = _Images(take, n, lambda at: tell(f"{split}: {at:,} of {n:,} scenes written"))
        return export_coco(
            folder, cast("Sequence[NDArray[np.uint8]]", images), truth.boxes, truth.labels, names,
            attributes={name: values.tolist() for name, values in truth.factors.items()},
            prefix=f"{split}-",
        )  # fmt: skip


def _check_folder(folder: Path) -> None:
    """Raise `UsageError` if a folder holds something that is no earlier export."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise UsageError(
            f"{folder} must be new, empty or an earlier export, but holds other files. Choose "
            "another folder."
        )


def _source(
    data: Data, split: ExportSplit, epoch: int
) -> tuple[Callable[[NDArray[np.int64]], Scenes], int]:
    """Return what makes scenes of some ids, and how many there are."""
    if split == "train":
        return lambda ids: data.train_scenes(epoch, ids), data.n_train
    whole = data.validation() if split == "validation" else data.open_test()

    def rows(ids: NDArray[np.int64]) -> Scenes:
        return Scenes(
            ids=ids, images=whole.images[ids], labels=whole.labels[ids], boxes=whole.boxes[ids],
            factors={name: values[ids] for name, values in whole.factors.items()},
        )  # fmt: skip

    return rows, len(whole.ids)


def _truth(take: Callable[[NDArray[np.int64]], Scenes], n: int) -> Scenes:
    """Return labels, boxes and factors of the first `n` scenes, without their images."""
    parts = [take(ids) for ids in _chunks(n)]
    return Scenes(
        ids=np.arange(n, dtype=np.int64),
        images=np.zeros((0, 0, 0), np.uint8),
        labels=np.concatenate([part.labels for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        factors={
            name: np.concatenate([part.factors[name] for part in parts])
            for name in parts[0].factors
        },
    )


def _chunks(n: int) -> list[NDArray[np.int64]]:
    every = np.arange(n, dtype=np.int64)
    return [every[start : start + _CHUNK] for start in range(0, n, _CHUNK)]


class _Images:
    """Images by id, made a chunk at a time as they are asked for in order."""

    def __init__(
        self, take: Callable[[NDArray[np.int64]], Scenes], n: int, tell: Callable[[int], None]
    ) -> None:
        self._take, self._n, self._tell = take, n, tell
        self._start, self._chunk = 0, np.zeros((0, 0, 0), np.uint8)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if not self._start <= index < self._start + len(self._chunk):
            self._start = index
            end = min(index + _CHUNK, self._n)
            self._chunk = self._take(np.arange(index, end, dtype=np.int64)).images
            self._tell(index)
        image: NDArray[np.uint8] = self._chunk[index - self._start]
        return image
