"""Real photos as the data of a run: splits, classes, identity, letterboxed pixels on demand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import letterbox, main_object
from harness.annotated_sources import read_annotations
from harness.box_checks import Photo
from harness.errors import DataError
from harness.image_cache import CacheMode, Kept
from harness.image_rows import ImageRows
from harness.image_selection import Storage, decoding_problems, select
from harness.image_splits import main_name, train_and_validation
from harness.image_survey import Survey, survey
from harness.letterbox import Placement, place, to_canvas
from harness.pools import subset_size
from harness.problems import raise_problems


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The photos of one split.

    Attributes:
        images: uint8 `[n, h, w]` or `[n, h, w, 3]`, read on demand.
        labels: int64 `[n]`, index into the class names.
        boxes: float32 `[n, 4]`, of the main object on the canvas, see `harness.boxes`.
        placement: maps boxes back to the photos, see `harness.letterbox`.
        names: what the data set calls each photo.
    """

    images: ImageRows
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    placement: Placement
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


class ImageSet:
    """Splits of one set of photos.

    Every photo of the training pool is decoded once, to find those that cannot be. Of the sealed
    test photos only bytes and headers are read before `open_test`.

    Args:
        found: what `harness.image_survey.survey` found.
        canvas_px: side of the square canvas.
        channels: 1 for grey, 3 for RGB.
        data_seed: seed of the split into training and validation, and of the training order.
        train_examples: size of the subset to train on, nested; None for all.
        cache: where decoded photos are kept: "memory", "disk" or "none".
        cache_dir: for "disk"; None for the user's cache folder.
        skip_bad: leave out what has a fault, and count it, instead of raising.

    Attributes:
        source: what the user named, such as "voc:photos".
        class_names: sorted; a label is an index into it.
        train, validation: the splits.
        n_available: how many photos there are to train on, subset or not.
        left_out: what is in none.
        digest: 32 hexadecimal digits; of the bytes of training and validation photos, their
            classes and boxes, and the rules that make scenes of them. Names of files, Pillow's
            version, the data seed and `train_examples` do not matter to it.

    Raises:
        DataError: there are faults, or too few photos for three splits.
        UsageError: `train_examples` does not fit.
        StoreError: the cache cannot be written.
    """

    def __init__(
        self, found: Survey, *, canvas_px: int, channels: int = 3, data_seed: int = 0,
        train_examples: int | None = None, cache: CacheMode = "memory",
        cache_dir: Path | None = None, skip_bad: bool = False,
    ) -> None:  # fmt: skip
        self.source = found.source
        self.canvas_px, self.channels = canvas_px, channels
        self._skip_bad = skip_bad
        self._storage = Storage(
            canvas_px=canvas_px, channels=channels, cache=cache, cache_dir=cache_dir
        )
        chosen = select(found, self._storage, skip_bad=skip_bad)
        self.class_names, self.left_out = chosen.class_names, chosen.left_out
        self._test = chosen.test
        self._opened: Part | None = None
        self.digest = self._digest(chosen.pool)
        trains, validates = train_and_validation(
            chosen.pool, data_seed=data_seed, validation_given=chosen.validation_given
        )
        self._check_sizes(len(trains), len(validates))
        self.n_available = len(trains)
        least = len(self.class_names)
        trains = trains[: subset_size(train_examples, len(trains), self.source, least=least)]
        rows = np.array(chosen.rows, np.int64)
        self.train, self.validation = (
            self._part([chosen.pool[row] for row in part], chosen.kept, rows[part])
            for part in (trains, validates)
        )

    @property
    def test_opened(self) -> bool:
        """Whether the pixels of the test photos have been looked at."""
        return self._opened is not None

    @property
    def n_test(self) -> int | None:
        """Number of test photos; None while they are sealed."""
        return None if self._opened is None else len(self._opened)

    @property
    def test_digest(self) -> str | None:
        """Like `digest`, of the test photos; None while they are sealed."""
        return None if self._opened is None else self._digest(self._test)

    def open_test(self) -> Part:
        """Break the seal and return the test photos; for the final evaluation only.

        Raises:
            DataError: a photo cannot be decoded and `skip_bad` is off, or none can.
            StoreError: the cache cannot be written.
        """
        if self._opened is not None:
            return self._opened
        kept = self._storage.keep(self._test)
        faults = decoding_problems(self._test, kept)
        left = len(self._test) - len(faults)
        raise_problems(faults, skip_bad=self._skip_bad, kept=left, of=self.source)
        rows = [row for row in range(len(self._test)) if row not in kept.faults]
        self._test = tuple(self._test[row] for row in rows)
        self.left_out = replace(self.left_out, faults=(*self.left_out.faults, *faults))
        self._opened = self._part(self._test, kept, np.array(rows, np.int64))
        return self._opened

    def _part(self, photos: Sequence[Photo], kept: Kept, rows: NDArray[np.int64]) -> Part:
        placement = place(
            np.array([photo.facts.upright_px for photo in photos], np.int64), self.canvas_px
        )
        boxes = np.array([photo.main.box for photo in photos if photo.main], np.float64)
        shape = (self.canvas_px, self.canvas_px, *((3,) if self.channels == 3 else ()))
        return Part(
            images=ImageRows(kept.pixels, rows, shape),
            labels=np.array(
                [self.class_names.index(main_name(photo)) for photo in photos], np.int64
            ),
            boxes=to_canvas(boxes, placement).astype(np.float32),
            placement=placement,
            names=tuple(photo.image.name for photo in photos),
        )

    def _digest(self, photos: Sequence[Photo]) -> str:
        """Return what photos and rules make of the data, as a hash like that of a `Pool`."""
        rules = (main_object.RULE, letterbox.RULE, self.canvas_px, self.channels)
        sha = hashlib.sha256(json.dumps([rules, self.class_names]).encode())
        for photo in photos:
            box = photo.main.box if photo.main else None
            sha.update(json.dumps([photo.facts.sha256, main_name(photo), box]).encode())
        return sha.hexdigest()[:32]

    def _check_sizes(self, n_train: int, n_validation: int) -> None:
        n_test = len(self._test)
        if n_train < len(self.class_names) or not n_validation or not n_test:
            raise DataError(
                f"{self.source} must have photos to train on of every class, to validate and to "
                f"test, but has {n_train}, {n_validation} and {n_test} of "
                f"{len(self.class_names)} classes. Add photos."
            )


def load_images(
    source: str, *, canvas_px: int, channels: int = 3, data_seed: int = 0,
    train_examples: int | None = None, cache: CacheMode = "memory",
    cache_dir: Path | None = None, skip_bad: bool = False,
) -> ImageSet:  # fmt: skip
    """Return the photos that a name stands for, such as "voc:photos"; see `ImageSet`."""
    return ImageSet(
        survey(read_annotations(source)),
        canvas_px=canvas_px,
        channels=channels,
        data_seed=data_seed,
        train_examples=train_examples,
        cache=cache,
        cache_dir=cache_dir,
        skip_bad=skip_bad,
    )
