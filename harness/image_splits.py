"""Photos to splits: those that the data set gives, else drawn, and no photo in two of them.

Files with the same bytes are one photo. Bytes and not pixels decide, because the pixels of the
sealed test split must not be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.box_checks import Photo
from harness.image_survey import image_place
from harness.pools import stratified_order
from harness.problems import Problem

TEST_SHARE = 0.2
"""Of all photos, where the data set gives no test split."""

VALIDATION_SHARE = 0.1
"""Of what the test split leaves, where the data set gives no validation split."""

_SEALED_FIRST = ("test", "validation", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Photos for the final evaluation, and the rest.

    Attributes:
        pool: training and validation, in the order of the names.
        test: sealed; the same for every data seed.
        validation_given: whether the data set names the validation split.
    """

    pool: tuple[Photo, ...]
    test: tuple[Photo, ...]
    validation_given: bool


def without_leaks(photos: Sequence[Photo]) -> tuple[list[Photo], list[Problem]]:
    """Return the photos without copies that the data set gives to another split.

    Of such copies the one of the test split is kept, else that of validation.
    """
    kept: dict[str, Photo] = {}
    ranked = sorted(photos, key=_seal)
    for photo in ranked:
        kept.setdefault(photo.facts.sha256, photo)
    clean, problems = [], []
    for photo in photos:
        first = kept[photo.facts.sha256]
        if first.split == photo.split:
            clean.append(photo)
            continue
        what = (
            f"a photo must be in one split, but the same bytes are in {first.split} "
            f"({first.image.name}) and in {photo.split or 'none'}"
        )
        problems.append(Problem(where=image_place(photo.image), what=what))
    return clean, problems


def _seal(photo: Photo) -> int:
    return _SEALED_FIRST.index(photo.split) if photo.split else len(_SEALED_FIRST)


def divide(photos: Sequence[Photo], *, test_share: float = TEST_SHARE) -> Division:
    """Set the test split apart.

    It is that of the data set; if it gives none, it is drawn from the photos that are not given
    to validation, each class in proportion, and depends on nothing but them.

    Args:
        photos: with a main object, in the order of their names.
        test_share: of the photos, if a test split is drawn.
    """
    test = {index for index, photo in enumerate(photos) if photo.split == "test"}
    if not test:
        free = [index for index, photo in enumerate(photos) if photo.split != "validation"]
        wanted = max(1, round(test_share * len(photos)))
        taken, _ = drawn([photos[index] for index in free], wanted, "test split")
        test = {free[row] for row in taken}
    return Division(
        pool=tuple(photo for index, photo in enumerate(photos) if index not in test),
        test=tuple(photos[index] for index in sorted(test)),
        validation_given=any(photo.split == "validation" for photo in photos),
    )


def train_and_validation(
    pool: Sequence[Photo], *, data_seed: int, validation_given: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the pool that train and those that validate, both in stratified order.

    A given validation split is the same for every data seed; the order of training photos, whose
    beginning is a smaller training set, belongs to the seed.

    Args:
        pool: of a `Division`.
        data_seed: seed of the order, and of the validation split if it is drawn.
        validation_given: whether the data set names it.

    Returns:
        Two int64 arrays of rows without common photos.
    """
    if validation_given:
        order = grouped_order(pool, "split", data_seed)
        validates = np.array([pool[row].split == "validation" for row in order], bool)
        return order[~validates], order[validates]
    wanted = max(1, round(VALIDATION_SHARE * len(pool)))
    taken, rest = drawn(pool, wanted, "split", data_seed)
    return rest, taken


def drawn(
    photos: Sequence[Photo], wanted: int, *key: str | int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw photos, each class in proportion, but leave one of each class and part no copies.

    Args:
        photos: with a main object.
        wanted: how many; a few more come if their copies do, fewer if classes are small.
        key: what the draw is for, see `harness.random_bits`.

    Returns:
        The rows drawn and the others, both in stratified order; int64.
    """
    order = grouped_order(photos, *key)
    last_of_class = {main_name(photos[row]): photos[row].facts.sha256 for row in order}
    stay = set(last_of_class.values())
    free = [row for row in order if photos[row].facts.sha256 not in stay]
    taken = np.array(free[: whole_groups([photos[row] for row in free], wanted)], np.int64)
    return taken, order[~np.isin(order, taken)]


def grouped_order(photos: Sequence[Photo], *key: str | int) -> NDArray[np.int64]:
    """Return a random stratified order in which copies of one photo stand together.

    Args:
        photos: with a main object.
        key: what the order is for, see `harness.random_bits`.

    Returns:
        int64 `[n]`, a permutation of `0..n-1`.
    """
    groups: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        groups.setdefault(photo.facts.sha256, []).append(row)
    members = list(groups.values())
    names = [main_name(photos[rows[0]]) for rows in members]
    labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    order = stratified_order(labels, *key)
    return np.array([row for group in order for row in members[group]], np.int64)


def whole_groups(ordered: Sequence[Photo], wanted: int) -> int:
    """Return the length of a beginning of `wanted` photos, or a few more that are copies.

    Args:
        ordered: copies of one photo stand together.
        wanted: how many photos there should be.
    """
    n = min(wanted, len(ordered))
    while 0 < n < len(ordered) and ordered[n].facts.sha256 == ordered[n - 1].facts.sha256:
        n += 1
    return n


def main_name(photo: Photo) -> str:
    """Return the class of the main object, which must be there."""
    assert photo.main is not None, photo.image.name
    return photo.main.name
