"""Numbers used as labels, turned into classes with names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.problems import Problem


def named(
    numbers: NDArray[np.int64],
    names: tuple[str, ...] | None,
    place: Callable[[int], str],
    where: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...], tuple[Problem, ...]]:
    """Return the usable rows, their classes, the names of these, and what is wrong with the rest.

    Args:
        numbers: int64 `[n]`, as they stand in the file.
        names: of the classes 0, 1, ...; None if each number that comes is a class of that name.
        place: names image `i`.
        where: the file of the labels.
    """
    if names is None:
        known, classes = np.unique(numbers, return_inverse=True)
        rows = np.arange(len(numbers), dtype=np.int64)
        return rows, classes.astype(np.int64), tuple(map(str, known.tolist())), ()
    good = (numbers >= 0) & (numbers < len(names))
    problems = tuple(
        Problem(
            where=place(int(i)),
            what=f"its label in {where} must be 0 to {len(names) - 1}, got {numbers[i]}",
        )
        for i in np.flatnonzero(~good)
    )
    rows = np.flatnonzero(good).astype(np.int64)
    return rows, numbers[rows], names, problems
