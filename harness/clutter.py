"""Clutter: small pieces cut out of other digits (Mnih et al. 2014, "cluttered MNIST")."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from harness.blend import blend
from harness.random_bits import below, halves

PIECE_PX = (6, 12)
"""Least and greatest sides of a fragment; those of Mnih et al. are 8 by 8."""


def scatter(
    images: NDArray[np.uint8], counts: NDArray[np.int64], drawn: NDArray[np.uint64],
    donors: tuple[NDArray[np.uint8], NDArray[np.int64]], percent: NDArray[np.int64],
) -> None:  # fmt: skip
    """Draw fragments of other digits into scenes, one after the other.

    Args:
        images: uint8 `[n, canvas, canvas]`, drawn into.
        counts: int64 `[n]`, how many fragments.
        drawn: uint64 `[n, most, 3]`, random words for each fragment that there may be.
        donors: digits uint8 `[k, m, m]`, and the rows int64 `[d]` of those to cut from.
        percent: int64 `[n]`, contrast.
    """
    largest = min(PIECE_PX[1], donors[0].shape[1])
    pieces = sliding_window_view(donors[0], (largest, largest), axis=(1, 2))
    places = sliding_window_view(images, (largest, largest), axis=(1, 2), writeable=True)
    for k in range(int(counts.max(initial=0))):
        rows = np.flatnonzero(counts > k)
        which, size, place = (halves(drawn[rows, k, word]) for word in range(3))
        donor = donors[1][below(which[0], len(donors[1]))]
        cut_y, cut_x = _middle(which[1], pieces.shape[1])
        piece = pieces[donor, cut_y, cut_x] * _mask(size, largest)
        y, x = (below(half, places.shape[1]) for half in place)
        places[rows, y, x] = blend(places[rows, y, x], piece, percent[rows, None, None])


def _middle(drawn: NDArray[np.uint64], places: int) -> tuple[NDArray[np.int64], ...]:
    """Return corners from the middle half of all places, where ink is; 16 bits decide each."""
    parts = drawn & np.uint64(0xFFFF_0000), drawn << np.uint64(16) & np.uint64(0xFFFF_0000)
    return tuple(places // 4 + below(part, places // 2 + 1) for part in parts)


def _mask(size: tuple[NDArray[np.uint64], NDArray[np.uint64]], largest: int) -> NDArray[np.uint8]:
    """Return 1 within rectangles of random height and width, else 0; uint8 `[n, l, l]`."""
    least = min(PIECE_PX[0], largest)
    height, width = (least + below(half, largest - least + 1) for half in size)
    along = np.arange(largest)
    inside = (along[:, None] < height[:, None, None]) & (along < width[:, None, None])
    return inside.astype(np.uint8)
