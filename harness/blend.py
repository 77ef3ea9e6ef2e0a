"""White ink over what is there, in whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def blend(
    under: NDArray[np.uint8], coverage: NDArray[np.uint8], percent: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return pixels moved towards white: `under + (255 - under) * coverage / 255 * contrast`.

    Ink is therefore brighter than what it lies on, whatever that is; on black at full contrast
    it is the coverage itself.

    Args:
        under: uint8, what is there.
        coverage: uint8 of that shape, in 255ths.
        percent: contrast in percent, of a shape that fits.
    """
    whole = np.uint32(255 * 100)
    ink = coverage * percent.astype(np.uint32)
    ink *= np.uint8(255) - under
    ink += whole // np.uint32(2)
    ink //= whole
    return under + ink.astype(np.uint8)
