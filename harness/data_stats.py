"""What a data set holds, counted: classes, copies, sizes, faults, and where boxes lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.class_parts import class_names
from harness.scene_data import SceneData

StatsSplit = Literal["train", "validation", "test"]
SPLITS: tuple[StatsSplit, ...] = ("train", "validation", "test")

BINS = 10
"""Of a box's sides and centres, each a tenth of the canvas."""

MEASURES = ("width", "height", "centre x", "centre y")

_CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What was counted.

    Attributes:
        source: name of the data set.
        names: of the classes.
        counts: split -> images of each class.
        copies: split -> images that are copies of an earlier one of it.
        shared: such as "train and test" -> images of the second that stand in the first too.
        sizes: (height, width, images) before they were scaled, as read so far.
        skipped, duplicates: images left out for a fault, and as copies.
        problems: these faults in words.
        boxes: measure -> share of the training boxes of epoch 1 in each tenth, in [0, 1].
    """

    source: str
    names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    copies: dict[str, int]
    shared: dict[str, int]
    sizes: tuple[tuple[int, int, int], ...]
    skipped: int
    duplicates: int
    problems: tuple[str, ...]
    boxes: dict[str, tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "source": self.source,
            "classes": [
                {"name": name, **{split: of[k] for split, of in self.counts.items()}}
                for k, name in enumerate(self.names)
            ],
            "images": {split: sum(of) for split, of in self.counts.items()},
            "copies": self.copies,
            "shared": self.shared,
            "sizes": [{"height": h, "width": w, "images": n} for h, w, n in self.sizes],
            "skipped": self.skipped,
            "duplicates": self.duplicates,
            "problems": list(self.problems),
            "boxes": {name: list(shares) for name, shares in self.boxes.items()},
        }


def count(data: SceneData, splits: Sequence[StatsSplit]) -> Stats:
    """Count what splits hold.

    Args:
        data: the test split of it is opened only if it is among the splits.
        splits: in the order of `SPLITS`.

    Raises:
        DataError: the test pool cannot be read.
    """
    pools = {split: data.patches(split) for split in splits}
    contents: dict[str, Counter[bytes]] = {
        split: Counter(image.tobytes() for image in pool.images) for split, pool in pools.items()
    }
    all_pools = (data.pool, *pools.values())
    return Stats(
        source=data.source,
        names=class_names(data.pool),
        counts={
            split: tuple(np.bincount(pool.labels, minlength=data.classes).tolist())
            for split, pool in pools.items()
        },
        copies={split: of.total() - len(of) for split, of in contents.items()},
        shared=dict(_shared(contents)),
        sizes=data.pool.sizes,
        skipped=data.identity().skipped,
        duplicates=data.pool.duplicates,
        problems=tuple(dict.fromkeys(str(p) for pool in all_pools for p in pool.problems)),
        boxes=box_shares(_boxes(data)) if "train" in splits else {},
    )


def box_shares(boxes: NDArray[np.float32]) -> dict[str, tuple[float, ...]]:
    """Return measure -> share of boxes `[n, 4]` in each tenth of the canvas; n at least 1."""
    values = boxes.astype(np.float64)
    sides, centres = values[:, 2:] - values[:, :2], (values[:, 2:] + values[:, :2]) / 2
    columns = (sides[:, 0], sides[:, 1], centres[:, 0], centres[:, 1])
    return {
        name: tuple((np.histogram(of, BINS, (0, 1))[0] / len(of)).tolist())
        for name, of in zip(MEASURES, columns, strict=True)
    }


def _boxes(data: SceneData) -> NDArray[np.float32]:
    """Return the boxes of all training scenes; float32 `[n, 4]`."""
    parts = np.array_split(np.arange(data.n_train, dtype=np.int64), -(-data.n_train // _CHUNK))
    return np.concatenate([data.train_scenes(1, ids).boxes for ids in parts])


def _shared(contents: dict[str, Counter[bytes]]) -> Iterator[tuple[str, int]]:
    known = list(contents)
    for place, one in enumerate(known):
        for two in known[place + 1 :]:
            both = contents[two].keys() & contents[one].keys()
            yield f"{one} and {two}", sum(contents[two][content] for content in both)
