"""IDX files (http://yann.lecun.com/exdb/mnist), gzipped or not.

Two zero bytes, a type (8 is uint8), the number of dimensions, each dimension as a big-endian
32-bit number, then the values in C order.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray


class IdxFault(Exception):
    """A file is not what it should be; the text says what, without its name."""


def existing(folder: Path, name: str) -> Path | None:
    """Return the first spelling of an IDX file that exists in a folder."""
    for stem in (name, name.replace("-idx", ".idx")):
        for path in (folder / stem, folder / f"{stem}.gz"):
            # Path.is_file raises where a parent may not be searched; this returns False.
            if os.path.isfile(path):  # noqa: PTH113
                return path
    return None


def read_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """Return the shape that the header of a file of uint8 promises.

    Raises:
        IdxFault: the header is damaged, or says another type or number of dimensions.
        OSError: the file cannot be read.
    """
    magic, size = struct.pack(">4B", 0, 0, 8, dimensions), 4 + 4 * dimensions
    with _opened(path) as file:
        header = file.read(size)
    _check_magic(header, magic, size)
    return struct.unpack(f">{dimensions}I", header[4:])


def read_values(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the content of an IDX file of uint8 that must have this shape.

    Raises:
        IdxFault: it is damaged, truncated, too long or of another shape.
        OSError: the file cannot be read.
    """
    expected = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
    size = math.prod(shape)
    with _opened(path) as file:
        header = file.read(len(expected))
        # One byte more than wanted: it shows a file that is too long, and at the end of the
        # stream gzip compares its checksum.
        content = file.read(size + 1) if header == expected else b""
    if header != expected:
        _check_magic(header, expected[:4], len(expected))
        found = struct.unpack(f">{len(shape)}I", header[4:])
        raise IdxFault(f"its shape must be {list(shape)}, got {list(found)}")
    if len(content) != size:
        came = "more" if len(content) > size else f"{len(content):,}"
        raise IdxFault(f"there must be {size:,} values, got {came}")
    return np.frombuffer(content, np.uint8).reshape(shape)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if zipped else raw)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IdxFault(str(error)) from error


def _check_magic(header: bytes, magic: bytes, size: int) -> None:
    if len(header) < size:
        raise IdxFault(f"its header is cut off after {len(header)} bytes")
    if header[:4] != magic:
        raise IdxFault(f"it must begin with {magic.hex()} (IDX), got {header[:4].hex()}")
