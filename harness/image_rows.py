"""Letterboxed photos as one array that need not be in memory: `rows[3]`, `rows[ids]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.chunked_threads import mapped
from harness.errors import DataError
from harness.image_files import UnreadableImageError, decode
from harness.letterbox import letterboxed

CHUNK_BYTES = 2**24
"""Letterboxed pixels that are in memory at once while files are decoded; 16 MiB."""

_MOST = 64
"""Photos in a chunk: enough for all threads, whose last one the others wait for."""

_FEW = 4
"""Photos that are decoded faster than threads start."""


class Pixels(Protocol):
    """Photos by row, wherever their pixels are."""

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the photos of some rows; uint8 `[k, h, w]` or `[k, h, w, 3]`."""


class ImageRows:
    """An array of photos; what is not asked for is not read.

    Args:
        pixels: where photos come from.
        rows: int64 `[n]`, which of them, in this order.
        image_shape: of one photo, `(h, w)` or `(h, w, 3)`.

    Attributes:
        shape: `(n, h, w)` or `(n, h, w, 3)`.
        dtype: uint8.
        nbytes: what all of it would take in memory.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, pixels: Pixels, rows: NDArray[np.int64], image_shape: tuple[int, ...]
    ) -> None:
        self.shape = (len(rows), *image_shape)
        self.nbytes = int(np.prod(self.shape, dtype=np.int64))
        self._pixels = pixels
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int | slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        if isinstance(index, (int, np.integer)):
            one: NDArray[np.uint8] = self._pixels.take(self._rows[[index]])[0]
            return one
        return self._pixels.take(self._rows[index])


class DecodedPixels:
    """Photos decoded from their files each time they are asked for.

    Args:
        paths: the files.
        canvas_px: side of the canvas.
        channels: 1 for grey, 3 for RGB.

    Attributes:
        image_shape: of one photo.
    """

    def __init__(self, paths: Sequence[Path], *, canvas_px: int, channels: int) -> None:
        self.image_shape = (canvas_px, canvas_px, *((3,) if channels == 3 else ()))
        self.channels = channels
        self.chunk = max(1, min(_MOST, CHUNK_BYTES // int(np.prod(self.image_shape))))
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the photos of some rows, decoded in a few threads.

        Raises:
            DataError: a file that could be read before cannot be read any more.
        """
        taken = np.empty((len(rows), *self.image_shape), np.uint8)
        if len(rows) <= _FEW:
            for at, row in enumerate(rows):
                taken[at] = self._readable(int(row))
            return taken
        at = 0
        for photos in mapped(self._readable, rows.tolist(), chunk=self.chunk):
            taken[at : at + len(photos)] = photos
            at += len(photos)
        return taken

    def attempt(self, row: int) -> NDArray[np.uint8] | UnreadableImageError:
        """Return one photo, or why it cannot be decoded."""
        try:
            image = decode(self._paths[row], channels=self.channels)
            return letterboxed(image, self.image_shape[0])
        except UnreadableImageError as error:
            return error

    def _readable(self, row: int) -> NDArray[np.uint8]:
        photo = self.attempt(row)
        if isinstance(photo, UnreadableImageError):
            raise DataError(
                f"{self._paths[row]} must stay readable while it is used, but now: {photo}. "
                "Let the data set be, and start again."
            )
        return photo
