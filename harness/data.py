"""The data of one run: training images by epoch, fixed validation, sealed test."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.augment import Augmentation
from harness.config import RunConfig
from harness.datasets import has_photos
from harness.errors import UsageError
from harness.photo_data import PhotoData
from harness.record import DataIdentity
from harness.scene_data import SceneData
from harness.scenes import Scenes
from harness.sources import Say, resolve


class Data(Protocol):
    """Splits of one data set; the test split stays sealed until `open_test`.

    Attributes:
        source: such as "mnist", "folder" or "voc"; never "auto", never a path.
        dataset: what `--dataset` names it by from any folder.
        data_seed: seed of the split into training and validation.
        image_px: side of an image in pixels.
        channels: 1 for grey images, 3 for those in colour.
        classes: number of classes.
        class_names: one for each of them; empty if they are just numbers.
        n_available: how many examples there are to train on, subset or not.
        n_train, n_validation: number of examples; training ids are `0..n_train-1`.
    """

    source: str
    dataset: str
    data_seed: int
    image_px: int
    channels: int
    classes: int
    class_names: tuple[str, ...]
    n_available: int
    n_train: int
    n_validation: int

    @property
    def test_opened(self) -> bool:
        """Whether the sealed test split has been read."""

    def left_out(self) -> tuple[str, ...]:
        """Return in words what is in no split, line by line; nothing if all is used."""

    def identity(self) -> DataIdentity:
        """Return what was looked at so far; the fields of the test are None while it is sealed."""

    def train_order(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Return the training ids in the random order of an epoch; int64 `[n_train]`."""

    def train_scenes(self, epoch: int, ids: NDArray[np.int64]) -> Scenes:
        """Return images as they are trained on in an epoch, in the order of `ids`."""

    def validation(self) -> Scenes:
        """Return the validation split, the same every time."""

    def open_test(self) -> Scenes:
        """Break the seal and return the test split; for the final evaluation only.

        Raises:
            DataError: it cannot be read.
        """


def load(config: RunConfig, data_dir: Path | None, *, say: Say) -> Data:
    """Read and split the training pool that a configuration asks for; the test stays sealed.

    Args:
        config: the fields of its groups "Data" and "Augmentation" matter here.
        data_dir: folder that the user named for MNIST and its like, or None.
        say: gets one line for the user, see `harness.sources.resolve`.

    Raises:
        UsageError: unknown data set, or a field does not fit it.
        DataError: files are missing, damaged or unreadable.
        StoreError: a download or a cache cannot be kept.
    """
    if has_photos(config.dataset):
        return PhotoData(config)
    return load_scenes(config, data_dir, say=say)


def load_scenes(config: RunConfig, data_dir: Path | None, *, say: Say) -> SceneData:
    """Do what `load` does, for data sets of small images.

    Raises:
        UsageError, DataError, StoreError: see `load`.
    """
    if config.color == "rgb":
        raise UsageError(
            f"`color` must be auto or grey for small images, as in {config.dataset}, got 'rgb': "
            "only photos have colours."
        )
    source = resolve(config.dataset, data_dir, say=say, skip_bad=config.skip_bad)
    return SceneData(
        source, data_seed=config.data_seed, train_examples=config.train_examples,
        scene=config.scene_spec(), augment=Augmentation.of(config), seed=config.seed,
    )  # fmt: skip
