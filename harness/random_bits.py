"""Random draws that are the same on every machine and with every release of NumPy.

Only the raw output of the bit generators is under NumPy's guarantee of stability (NEP 19);
`Generator.integers` and `Generator.permutation` may change. So everything random in the data is
made here from raw 64-bit words of Philox (Salmon et al. 2011), a counter-based generator: word `i`
is a pure function of the key and `i`.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def words(n: int, *key: str | int) -> NDArray[np.uint64]:
    """Return the first `n` random words that belong to a key; uint64 `[n]`.

    Args:
        n: how many; a longer draw begins with the shorter one.
        key: what the draw is for, such as a purpose, a seed and an epoch.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    philox = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    return np.asarray(philox.random_raw(n), np.uint64)


def permutation(n: int, *key: str | int) -> NDArray[np.int64]:
    """Return a uniformly random permutation of `0..n-1` that belongs to a key; int64 `[n]`."""
    # The stable sort decides even the tie of two equal words, whose probability is n^2 / 2^65.
    return np.argsort(words(n, *key), kind="stable").astype(np.int64)


def halves(drawn: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the upper and the lower 32 bits of words, for two draws each."""
    return drawn >> np.uint64(32), drawn & np.uint64(0xFFFF_FFFF)


def below(drawn: NDArray[np.uint64], bounds: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Map draws of 32 bits onto `0..bound-1` each; int64 of their shape.

    Multiply and shift, with a bias below bound / 2^32 (Lemire 2019).
    """
    return ((drawn * np.asarray(bounds, np.uint64)) >> np.uint64(32)).astype(np.int64)
