"""Pools of small images, and the sources that hand out a training and a sealed test pool."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, UsageError
from harness.problems import Problem
from harness.random_bits import permutation
from harness.scenes import DIGIT_PX

CLASSES = 10
"""Of MNIST and its like, and of a network that is looked at without data."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Small images with their classes.

    Attributes:
        images: uint8 `[n, 28, 28]`, 0 is black.
        labels: int64 `[n]`, 0 to `classes - 1`.
        classes: how many classes there are.
        class_names: one for each class; empty if the classes are just numbers.
        sizes: (height, width, how many images) as they were before they were scaled.
        problems: what was wrong with the images that were left out, if the user asked for that.
        skipped: how many images these were.
        duplicates: how many copies of other images were left out.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: int = CLASSES
    class_names: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int, int], ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: int = 0
    duplicates: int = 0

    def taken(self, rows: NDArray[np.int64]) -> Pool:
        """Return a pool of these images only."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def digest(self) -> str:
        """Return the content hash: 32 hexadecimal digits of the SHA-256 of type, shape and bytes.

        32 of the 64 digits, because MLflow takes at most 36 characters as a data set's digest.
        """
        sha = hashlib.sha256()
        for array in (self.images, self.labels.astype("<i8", copy=False)):
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where small images come from; nothing is read before it is asked for.

    Attributes:
        name: such as "mnist", or the kind of an own data set: "folder", "idx", "npz". Never its
            path: equal content is the same data wherever it lies.
        place: the folder, file or package, in words for the user.
        n_validation: how many of the training pool validate; None for `held_out`.
        dataset: what `--dataset` names it by from any folder; empty if that is the name.
        read_train: reads the training pool, and never opens what holds the test pool alone.
        read_test: reads the sealed test pool.
    """

    name: str
    place: str
    n_validation: int | None
    read_train: Callable[[], Pool]
    read_test: Callable[[], Pool]
    dataset: str = ""


def checked_pool(
    images: NDArray[np.generic], labels: NDArray[np.generic], n: int, where: str,
    class_names: tuple[str, ...] = (),
) -> Pool:  # fmt: skip
    """Return a pool of `n` images of ten classes, or say what is wrong with it.

    Args:
        images: must be uint8 `[n, 28, 28]`.
        labels: must be integers `[n]` in 0..9.
        n: how many there must be.
        where: the file, for the error.
        class_names: ten, or none.

    Raises:
        DataError: type, shape, count or a label is wrong.
    """
    shape = (n, DIGIT_PX, DIGIT_PX)
    if images.dtype != np.uint8 or images.shape != shape:
        found = f"{images.dtype} {list(images.shape)}"
        raise damaged(where, f"the images must be uint8 {list(shape)}, got {found}")
    if labels.dtype.kind not in "iu" or labels.shape != (n,):
        found = f"{labels.dtype} {list(labels.shape)}"
        raise damaged(where, f"the labels must be integers [{n}], got {found}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= CLASSES:
        raise damaged(where, f"labels must be 0 to {CLASSES - 1}, got {low} to {high}")
    return Pool(
        images=images.astype(np.uint8, copy=False), labels=labels.astype(np.int64),
        class_names=class_names,
    )  # fmt: skip


def damaged(where: object, what: str) -> DataError:
    """Return the error for a file with the wrong content."""
    return DataError(f"{where} is damaged or not what it should be: {what}. Replace the file.")


def stratified_order(labels: NDArray[np.int64], *key: str | int) -> NDArray[np.int64]:
    """Return a random order of examples in which every stretch is close to stratified.

    Each class is shuffled; its example of rank `r` among `n` is then placed at `(r + 1/2) / n` of
    the way. So the first 1,000 are contained in the first 2,000, and both hold each class in
    proportion, to about one example.

    Args:
        labels: int64 `[n]`.
        key: what the order is for, see `harness.random_bits`.

    Returns:
        int64 `[n]`, a permutation of `0..n-1`.
    """
    shuffled = permutation(len(labels), *key)
    way = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        way[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(way[shuffled], kind="stable")]


def held_out(labels: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which places of an order to hold out: a tenth of each class, but at least one.

    Args:
        labels: int64 `[n]`.
        order: int64 `[n]`, of `stratified_order`.

    Returns:
        bool `[n]`, by place in the order: of each class the first ones, a tenth to nearest.
    """
    ordered = labels[order]
    out = np.zeros(len(order), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(ordered == label)
        out[members[: max(1, (2 * len(members) + 10) // 20)]] = True
    return out


def subset_size(asked: int | None, available: int, source: str, *, least: int) -> int:
    """Return how many examples to train on.

    Args:
        asked: by the user; None for all.
        available: in the training part of the source.
        source: its name, for the error.
        least: how many there must be at least: one per class.

    Raises:
        UsageError: that many there are not, or too few for the classes.
    """
    if asked is None:
        return available
    if not least <= asked <= available:
        raise UsageError(
            f"`train_examples` must be {least} (one per class) to {available:,} on {source}, "
            f"got {asked:,}. Leave it out to train on all of them."
        )
    return asked
