"""Data sets that a user brings: what a reader found of a part becomes a pool, or a list of faults.

Copies are left out, so that no image stands in two splits, and images are ordered by class and
content: two data sets with the same images have the same bytes and digest, whatever their files
are called and wherever they lie.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.pools import Pool, Source, held_out, stratified_order
from harness.problems import Problem, raise_problems

MOST_CLASSES = 1000
"""As many as ImageNet has; more is a column of numbers taken for labels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What a reader found in the training or the test part.

    Attributes:
        images: uint8 `[n, 28, 28]`.
        labels: int64 `[n]`, places in `names`.
        names: of the classes, in order; some may have no image.
        place: names the file, or the image in it, of image `i`.
        sizes: (height, width) before scaling -> how many.
        problems: what cannot be used but can be left out.
        skipped: how many images these are.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    place: Callable[[int], str]
    sizes: Mapping[tuple[int, int], int]
    problems: tuple[Problem, ...] = ()
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a data set; nothing is read before it is asked for.

    `train` and `test` raise `DataError` for what cannot be left out.
    """

    train: Callable[[], Part]
    test: Callable[[], Part] | None = None


Reader = Callable[[Path], Parts]
"""Takes the absolute path that the user named; raises `DataError` if nothing fits there."""


def own_source(kind: str, path: Path, reader: Reader, *, skip_bad: bool) -> Source:
    """Return the source of a user's data set.

    Without a test part, a tenth of each class, but at least one image, becomes the test pool: the
    same images for every seed. See `harness.pools.held_out` for validation.

    Args:
        kind: one of `harness.datasets.OWN`.
        path: absolute.
        reader: of that kind.
        skip_bad: whether to leave out what is bad, instead of an error.

    Raises:
        DataError: there is nothing of that kind at the path.
    """
    parts = reader(path)
    where = f"{kind}:{path}"
    read_test, needed = parts.test, 3 if parts.test is None else 2

    @functools.cache
    def whole() -> Pool:
        return train_pool(parts.train(), where, needed=needed, skip_bad=skip_bad)

    def test() -> Pool:
        if read_test is None:
            return _split(whole(), test=True)
        return test_pool(read_test(), whole(), where, skip_bad=skip_bad)

    return Source(
        name=kind,
        place=str(path),
        n_validation=None,
        read_train=lambda: _split(whole(), test=False) if read_test is None else whole(),
        read_test=test,
        dataset=where,
    )


def train_pool(part: Part, where: str, *, needed: int, skip_bad: bool) -> Pool:
    """Return the images without copies, by class and content.

    Args:
        part: what was read.
        where: the data set, for errors.
        needed: different images that each class must have.
        skip_bad: whether to leave out what is bad, instead of an error.

    Raises:
        DataError: it has problems that are not passed over, or less than two classes.
    """
    n, contents = len(part.labels), [image.tobytes() for image in part.images]
    disputed = _disputed(contents, part)
    first = {content: i for i, content in reversed(list(enumerate(contents)))}
    rows = np.array([i for i in first.values() if contents[i] not in disputed], np.int64)
    counts = np.bincount(part.labels[rows], minlength=len(part.names))
    scarce = np.flatnonzero(counts < needed)
    problems = (*part.problems, *_conflicts(disputed, part),
                *_too_few(scarce, counts, part.names, needed))  # fmt: skip
    rows = rows[~np.isin(part.labels[rows], scarce)]
    raise_problems(problems, skip_bad=skip_bad, kept=len(rows), of=where)
    kept = np.setdiff1d(np.arange(len(part.names)), scarce)
    _check_classes(len(kept), where)
    rows = np.array(sorted(rows.tolist(), key=lambda i: (part.labels[i], contents[i])), np.int64)
    lost = set(scarce.tolist())
    skipped = sum(
        content in disputed or label in lost
        for content, label in zip(contents, part.labels.tolist(), strict=True)
    )
    return Pool(
        images=part.images[rows],
        labels=np.searchsorted(kept, part.labels[rows]).astype(np.int64),
        classes=len(kept),
        class_names=_shown(tuple(part.names[k] for k in kept)),
        sizes=_sizes(part.sizes),
        problems=problems,
        skipped=part.skipped + skipped,
        duplicates=n - skipped - len(rows),
    )


def test_pool(part: Part, train: Pool, where: str, *, skip_bad: bool) -> Pool:
    """Return the test images as they are, copies included, with the classes of training.

    Raises:
        DataError: it has problems that are not passed over, such as a class that is not trained.
    """
    known = {name: k for k, name in enumerate(class_names(train))}
    to = np.array([known.get(name, -1) for name in part.names], np.int64)
    labels = to[part.labels]
    unknown = tuple(
        Problem(
            where=part.place(int(i)),
            what=f"its class must be in the training part, got {part.names[part.labels[i]]!r}",
        )
        for i in np.flatnonzero(labels < 0)
    )
    rows = np.flatnonzero(labels >= 0)
    problems = (*part.problems, *unknown)
    raise_problems(problems, skip_bad=skip_bad, kept=len(rows), of=f"The test part of {where}")
    if not len(rows):
        empty = Problem(where=where, what="its test part must hold an image, but is empty")
        raise_problems([empty], skip_bad=False, kept=0, skippable=False)
    return Pool(
        images=part.images[rows], labels=labels[rows], classes=train.classes,
        class_names=train.class_names, sizes=_sizes(part.sizes), problems=problems,
        skipped=part.skipped + len(unknown),
    )  # fmt: skip


def class_names(pool: Pool) -> tuple[str, ...]:
    """Return a name for each class, its number if it has no other."""
    return pool.class_names or tuple(map(str, range(pool.classes)))


def _split(pool: Pool, *, test: bool) -> Pool:
    """Return the part of a pool that is sealed as test, or the rest, which tells of all faults."""
    order = stratified_order(pool.labels, "own data, test")
    out = held_out(pool.labels, order)
    part = pool.taken(np.sort(order[out if test else ~out]))
    return replace(part, sizes=(), problems=(), skipped=0, duplicates=0) if test else part


def _disputed(contents: list[bytes], part: Part) -> dict[bytes, list[int]]:
    """Return the images that come with more than one class: content -> where."""
    classes: dict[bytes, set[int]] = {}
    for content, label in zip(contents, part.labels.tolist(), strict=True):
        classes.setdefault(content, set()).add(label)
    several = {content for content, labels in classes.items() if len(labels) > 1}
    found: dict[bytes, list[int]] = {}
    for i, content in enumerate(contents):
        if content in several:
            found.setdefault(content, []).append(i)
    return found


def _conflicts(disputed: Mapping[bytes, list[int]], part: Part) -> Iterable[Problem]:
    for first, *others in disputed.values():
        names = [part.names[part.labels[i]] for i in (first, *others)]
        other = next(i for i in others if part.labels[i] != part.labels[first])
        yield Problem(
            where=part.place(first),
            what=f"equal images must have one class, but {part.place(other)} is the same image; "
            f"got {' and '.join(map(repr, dict.fromkeys(names)))}",
        )


def _too_few(
    scarce: NDArray[np.int64], counts: NDArray[np.int64], names: tuple[str, ...], needed: int
) -> Iterable[Problem]:
    uses = "to train, validate and test with" if needed == 3 else "to train and validate with"
    for k in scarce.tolist():
        yield Problem(
            where=f"class {names[k]!r}",
            what=f"it must have at least {needed} different images, {uses}, got {counts[k]}",
        )


def _check_classes(count: int, where: str) -> None:
    if not 2 <= count <= MOST_CLASSES:
        what = f"there must be 2 to {MOST_CLASSES:,} classes, got {count:,}"
        raise_problems([Problem(where=where, what=what)], skip_bad=False, kept=1, skippable=False)


def _shown(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return no names if they are just the numbers."""
    return () if names == tuple(map(str, range(len(names)))) else names


def _sizes(sizes: Mapping[tuple[int, int], int]) -> tuple[tuple[int, int, int], ...]:
    return tuple((height, width, n) for (height, width), n in sorted(sizes.items()))
