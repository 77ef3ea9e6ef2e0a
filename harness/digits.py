"""scikit-learn's bundled digits, scaled to MNIST's size: data on a machine without network.

1,797 digits of 8x8 pixels with values 0 to 16 (Alpaydin and Kaynak 1998, UCI "Optical
Recognition of Handwritten Digits", test part).
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.pools import Pool, Source, checked_pool, stratified_order
from harness.scenes import DIGIT_PX
from harness.small_images import weights

N_DIGITS, N_TEST, N_VALIDATION = 1_797, 300, 300

SMALL_PX, SMALL_MAX = 8, 16


def source() -> Source:
    """Return the digits; the test part is split off the same way for every seed."""
    return Source(
        name="digits",
        place="scikit-learn",
        n_validation=N_VALIDATION,
        read_train=lambda: _read(test=False),
        read_test=lambda: _read(test=True),
    )


def _read(*, test: bool) -> Pool:
    small, labels = _bundled()
    pool = checked_pool(enlarged(small), labels, N_DIGITS, "scikit-learn's digits")
    order = stratified_order(pool.labels, "digits, test")
    rows = np.sort(order[:N_TEST] if test else order[N_TEST:])
    return Pool(images=pool.images[rows], labels=pool.labels[rows])


def _bundled() -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return images `[n, 8, 8]` and labels `[n]` as scikit-learn's `load_digits` does."""
    files = importlib.metadata.distribution("scikit-learn")
    path = Path(str(files.locate_file("sklearn/datasets/data/digits.csv.gz")))
    if path.is_file():  # a table of which scikit-learn, 3 s of imports, makes the same
        table = np.loadtxt(path, delimiter=",", dtype=np.int64)
        return table[:, :-1].reshape(-1, SMALL_PX, SMALL_PX), table[:, -1]
    from sklearn.datasets import load_digits

    bundle = load_digits()
    return bundle.images, bundle.target


def enlarged(small: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale digits from 8x8 to 28x28 pixels and from 0..16 to 0..255, in whole numbers.

    Bilinear, see `harness.small_images.weights`; every step is exact, so the bytes are the same
    everywhere.

    Args:
        small: `[n, 8, 8]`, whole numbers 0..16 of any type.

    Returns:
        uint8 `[n, 28, 28]`, rounded to nearest, halves upwards.
    """
    given = weights(SMALL_PX, DIGIT_PX)
    sums = given @ small.astype(np.int64) @ given.T
    whole = int(given[0].sum()) ** 2 * SMALL_MAX
    return ((2 * 255 * sums + whole) // (2 * whole)).astype(np.uint8)
