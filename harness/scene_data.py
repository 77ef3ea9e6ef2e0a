"""Scenes of small images as the data of a run: they move each epoch, but not in validation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.augment import Augmentation, augmenter
from harness.pools import Pool, Source, held_out, stratified_order, subset_size
from harness.problems import listed
from harness.random_bits import permutation
from harness.record import DataIdentity, Split
from harness.scene_maker import SceneMaker
from harness.scene_spec import PLAIN, SCENE_VERSION, SceneSpec
from harness.scenes import Scenes

_NOTHING = Augmentation()

FIXED_EPOCH = 0
"""The epoch in which validation and test scenes stand still; training starts at 1."""


class SceneData:
    """Splits of one source of small images, see `harness.data.Data`.

    The training pool is put into one random stratified order that belongs to the data seed.
    Its first part validates, the rest trains, and a subset is the beginning of that rest: so the
    subset of 1,000 is contained in that of 2,000, and validation is the same for both.

    Args:
        source: where the small images come from.
        data_seed: seed of the split and of all factors of scenes.
        train_examples: size of the subset to train on; None for all.
        scene: what scenes are made of.
        augment: what training scenes are changed by.
        seed: of these changes.

    Attributes:
        scene: what scenes are made of.
        pool: the training pool, from which training and validation come.

    Raises:
        UsageError: `train_examples` does not fit the data set.
        DataError: the training pool cannot be read.
    """

    channels = 1

    def __init__(
        self, source: Source, *, data_seed: int = 0, train_examples: int | None = None,
        scene: SceneSpec = PLAIN, augment: Augmentation = _NOTHING, seed: int = 0,
    ) -> None:  # fmt: skip
        self.source = source.name
        self.scene, self.image_px = scene, scene.canvas_px
        self.data_seed = data_seed
        self.dataset = source.dataset or source.name
        self._source = source
        self.pool = self._pool = source.read_train()
        self.classes, self.class_names = self.pool.classes, self.pool.class_names
        order = stratified_order(self._pool.labels, "split", data_seed)
        validates = _validates(source, self._pool.labels, order)
        self._validation_rows, train_rows = order[validates], order[~validates]
        self.n_validation, self.n_available = len(self._validation_rows), len(train_rows)
        self.n_train = subset_size(
            train_examples, self.n_available, source.name, least=self.classes
        )
        self._train_rows = train_rows[: self.n_train]
        # Clutter comes from all training images: a scene is the same in every subset.
        self._train = self._maker(self._pool, train_rows, self.n_train, "train")
        self._augmenter = augmenter(augment, seed=seed, n=self.n_train)
        self._validation = self._maker(
            self._pool, self._validation_rows, self.n_validation, "validation"
        )
        self._digest = self._pool.digest()
        self._n_test: int | None = None
        self._test_digest: str | None = None
        self._test_skipped = 0

    @property
    def test_opened(self) -> bool:
        """Whether the sealed test pool has been read."""
        return self._test_digest is not None

    def left_out(self) -> tuple[str, ...]:
        """Return in words what is in no split, line by line; nothing if all is used."""
        lines = []
        if self.pool.duplicates:
            copies = self.pool.duplicates
            lines.append(f"{copies:,} cop{'y' if copies == 1 else 'ies'} of other images")
        if self.pool.problems:
            found = len(self.pool.problems)
            lines.append(
                f"{self.pool.skipped:,} images for {found:,} problem{'' if found == 1 else 's'}:\n"
                f"{listed(self.pool.problems, most=3)}"
            )
        return tuple(lines)

    def identity(self) -> DataIdentity:
        """Return what was looked at so far; the fields of the test are None while it is sealed."""
        return DataIdentity(
            source=self.source,
            digest=self._digest,
            data_seed=self.data_seed,
            image_px=self.image_px,
            classes=self.classes,
            n_train=self.n_train,
            n_validation=self.n_validation,
            n_test=self._n_test,
            test_digest=self._test_digest,
            class_names=self.class_names,
            skipped=self.pool.skipped + self._test_skipped,
            duplicates=self.pool.duplicates,
            scene=self.scene.words(),
            scene_version=SCENE_VERSION,
            scene_digest=self.scene.digest(),
        )

    def train_order(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Return the training ids in the random order of an epoch; int64 `[n_train]`."""
        return permutation(self.n_train, "order", seed, epoch)

    def train_scenes(self, epoch: int, ids: NDArray[np.int64]) -> Scenes:
        """Return training scenes as they are trained on in an epoch, in the order of `ids`."""
        scenes = self._train.make(epoch, ids)
        return self._augmenter(scenes, epoch) if self._augmenter else scenes

    def validation(self) -> Scenes:
        """Return all validation scenes, the same every time."""
        return self._validation.make(FIXED_EPOCH, np.arange(self.n_validation, dtype=np.int64))

    def open_test(self) -> Scenes:
        """Break the seal and return all test scenes; for the final evaluation only.

        Raises:
            DataError: the test pool cannot be read.
        """
        pool = self._read_test()
        ids = np.arange(len(pool.labels), dtype=np.int64)
        return self._maker(pool, ids, len(ids), "test").make(FIXED_EPOCH, ids)

    def patches(self, split: Split | Literal["train"]) -> Pool:
        """Return the small images of a split without their places; of "test" breaks the seal.

        Raises:
            DataError: the test pool cannot be read.
        """
        match split:
            case "train":
                return self.pool.taken(self._train_rows)
            case "validation":
                return self.pool.taken(self._validation_rows)
            case "test":
                return self._read_test()

    def _read_test(self) -> Pool:
        pool = self._source.read_test()
        self._n_test, self._test_digest = len(pool.labels), pool.digest()
        self._test_skipped = pool.skipped
        return pool

    def _maker(self, pool: Pool, rows: NDArray[np.int64], n: int, split: str) -> SceneMaker:
        digits = pool.images, pool.labels
        return SceneMaker(self.scene, digits, rows, n, data_seed=self.data_seed, split=split)


def _validates(
    source: Source, labels: NDArray[np.int64], order: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which places of the order validate; bool `[n]`."""
    if source.n_validation is None:
        return held_out(labels, order)
    return np.arange(len(order)) < source.n_validation
