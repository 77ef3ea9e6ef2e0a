"""Real photos as the data of a run: letterboxed, split, the test photos sealed."""

from __future__ import annotations

import functools
from typing import cast

import numpy as np
from numpy.typing import NDArray

from harness import letterbox, main_object
from harness.annotated_sources import read_annotations
from harness.augment import Augmentation, augmenter
from harness.config import SCENE_FACTORS, RunConfig, digest_of
from harness.datasets import own_path
from harness.errors import UsageError
from harness.image_set import ImageSet, Part
from harness.image_survey import Survey, survey
from harness.random_bits import permutation
from harness.record import DataIdentity
from harness.scenes import Scenes

CANVAS_PX = 96
"""Side of the canvas if the user names none: photos need more room than digits, and a network for
75 pixels still fits."""

RULES = f"photos ({main_object.RULE}, {letterbox.RULE})"
"""What makes scenes of photos: which object counts, and how they come onto the canvas."""

_VERSION = 1


class PhotoData:
    """Splits of a set of photos, with the interface of `harness.data.Data`.

    Args:
        config: the fields of its group "Data" matter here, and those of augmentation.

    Attributes:
        images: the set itself.

    Raises:
        UsageError: a field is for scenes of small images, or `train_examples` does not fit.
        DataError: there are faults and `skip_bad` is off, or too few photos.
        StoreError: the cache cannot be written.
    """

    def __init__(self, config: RunConfig) -> None:
        check_photo_fields(config)
        own = own_path(config.dataset)
        assert own, "a set of photos has a path"
        self.source, self.dataset = own[0], f"{own[0]}:{own[1]}"
        self.data_seed = config.data_seed
        self.image_px = config.canvas_px or CANVAS_PX
        self.channels = 1 if config.color == "grey" else 3
        self.images = ImageSet(
            _surveyed(self.dataset), canvas_px=self.image_px, channels=self.channels,
            data_seed=config.data_seed, train_examples=config.train_examples,
            cache=config.cache, skip_bad=config.skip_bad,
        )  # fmt: skip
        self.class_names = self.images.class_names
        self.classes = len(self.class_names)
        self.n_train, self.n_validation = len(self.images.train), len(self.images.validation)
        self.n_available = self.images.n_available
        self._augmenter = augmenter(Augmentation.of(config), seed=config.seed, n=self.n_train)

    @property
    def test_opened(self) -> bool:
        """Whether the pixels of the sealed test photos have been looked at."""
        return self.images.test_opened

    def left_out(self) -> tuple[str, ...]:
        """Return in words what is in no split, line by line."""
        words = self.images.left_out.words()
        return (words, *(f"  {each}" for each in self.images.left_out.faults)) if words else ()

    def identity(self) -> DataIdentity:
        """Return what was looked at so far; the fields of the test are None while it is sealed."""
        return DataIdentity(
            source=self.source,
            digest=self.images.digest,
            data_seed=self.data_seed,
            image_px=self.image_px,
            channels=self.channels,
            classes=self.classes,
            class_names=self.class_names,
            n_train=self.n_train,
            n_validation=self.n_validation,
            n_test=self.images.n_test,
            test_digest=self.images.test_digest,
            skipped=len(self.images.left_out.faults),
            scene=RULES,
            scene_version=_VERSION,
            scene_digest=digest_of([RULES, _VERSION]),
        )

    def train_order(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Return the training ids in the random order of an epoch; int64 `[n_train]`."""
        return permutation(self.n_train, "order", seed, epoch)

    def train_scenes(self, epoch: int, ids: NDArray[np.int64]) -> Scenes:
        """Return training photos as they are trained on in an epoch, in the order of `ids`."""
        scenes = _scenes(self.images.train, ids)
        return self._augmenter(scenes, epoch) if self._augmenter else scenes

    def validation(self) -> Scenes:
        """Return all validation photos, whose pixels are read as they are asked for."""
        return _scenes(self.images.validation)

    def open_test(self) -> Scenes:
        """Break the seal and return all test photos; for the final evaluation only.

        Raises:
            DataError: one cannot be decoded, and `skip_bad` is off.
            StoreError: the cache cannot be written.
        """
        return _scenes(self.images.open_test())


def check_photo_fields(config: RunConfig) -> None:
    """Check that no field asks for scenes of small images.

    Raises:
        UsageError: one does.
    """
    default = RunConfig()
    for name in ("scene", *SCENE_FACTORS):
        value = getattr(config, name)
        if name != "canvas_px" and value != getattr(default, name):
            raise UsageError(
                f"`{name}` makes scenes of small images, but {config.dataset} has photos: got "
                f"{value!r}. Leave it out."
            )


@functools.lru_cache(maxsize=1)
def _surveyed(dataset: str) -> Survey:
    """Return what a set holds; a process that trains many trials reads its files once."""
    return survey(read_annotations(dataset))


def _scenes(part: Part, ids: NDArray[np.int64] | None = None) -> Scenes:
    """Return the photos of some ids; of all of them, with pixels that are read on demand."""
    if ids is None:
        every = np.arange(len(part), dtype=np.int64)
        # Whoever evaluates asks for slices and rows only, as of any array.
        images = cast("NDArray[np.uint8]", part.images)
        return Scenes(ids=every, images=images, labels=part.labels, boxes=part.boxes)
    return Scenes(ids=ids, images=part.images[ids], labels=part.labels[ids], boxes=part.boxes[ids])
