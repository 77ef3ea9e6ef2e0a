"""MNIST on disk: its four IDX files, gzipped or not, or Keras's `mnist.npz`.

IDX (http://yann.lecun.com/exdb/mnist): two zero bytes, a type (8 is uint8), the number of
dimensions, each dimension as a big-endian 32-bit number, then the values in C order.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.pools import Pool, Source, checked_pool, damaged
from harness.scenes import DIGIT_PX

N_TRAIN, N_TEST, N_VALIDATION = 60_000, 10_000, 5_000

NPZ_FILE = "mnist.npz"
IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def find(folder: Path) -> Source | None:
    """Return MNIST if it lies in a folder; look at names and permissions only.

    Raises:
        DataError: the files are there, but may not be read.
    """
    paths = [_existing(folder, name) for name in IDX_FILES]
    found = [path for path in paths if path is not None]
    if len(found) == len(IDX_FILES):
        return _idx_source(folder, found)
    npz = folder / NPZ_FILE
    return _npz_source(npz) if os.path.isfile(npz) else None  # noqa: PTH113


def find_in_named(folder: Path) -> Source:
    """Return MNIST from a folder that the user named.

    Raises:
        DataError: there is no such folder, or MNIST is not in it or may not be read.
    """
    folder = folder.expanduser().absolute()
    if not os.path.isdir(folder):  # noqa: PTH112
        what = "is not a folder" if os.path.lexists(folder) else "does not exist"
        raise DataError(f"The data folder must hold MNIST, but {folder} {what}. {_wanted()}")
    if not _readable(folder, os.R_OK | os.X_OK):
        raise DataError(
            f"The data folder must be readable, but {folder} is not. Check its rights."
        )
    source = find(folder)
    if source is None:
        missing = [name for name in IDX_FILES if _existing(folder, name) is None]
        lacks = "it is not in" if len(missing) == len(IDX_FILES) else f"{missing[0]} is missing in"
        raise DataError(f"The data folder must hold MNIST, but {lacks} {folder}. {_wanted()}")
    return source


def _wanted() -> str:
    return f"Looked for {', '.join(IDX_FILES)} (each also as .gz), or for {NPZ_FILE}."


def _existing(folder: Path, name: str) -> Path | None:
    """Return the first spelling of an IDX file that exists."""
    for stem in (name, name.replace("-idx", ".idx")):
        for path in (folder / stem, folder / f"{stem}.gz"):
            # Path.is_file raises where a parent may not be searched; this returns False.
            if os.path.isfile(path):  # noqa: PTH113
                return path
    return None


def _readable(path: Path, mode: int = os.R_OK) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _check_readable(path: Path) -> None:
    if not _readable(path):
        raise DataError(f"{path} must be readable, but its permissions forbid it.")


def _idx_source(folder: Path, paths: list[Path]) -> Source:
    for path in paths:
        _check_readable(path)
    train_images, train_labels, test_images, test_labels = paths
    return Source(
        name="mnist",
        place=str(folder),
        n_validation=N_VALIDATION,
        read_train=lambda: _idx_pool(train_images, train_labels, N_TRAIN),
        read_test=lambda: _idx_pool(test_images, test_labels, N_TEST),
    )


def _npz_source(path: Path) -> Source:
    _check_readable(path)
    return Source(
        name="mnist",
        place=str(path),
        n_validation=N_VALIDATION,
        read_train=lambda: _npz_pool(path, "train", N_TRAIN),
        read_test=lambda: _npz_pool(path, "test", N_TEST),
    )


def _idx_pool(images: Path, labels: Path, n: int) -> Pool:
    pixels = read_idx(images, (n, DIGIT_PX, DIGIT_PX))
    return checked_pool(pixels, read_idx(labels, (n,)), n, str(labels))


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the content of an IDX file of uint8 that must have this shape.

    Raises:
        DataError: the file cannot be read, or is damaged, truncated, too long or of another shape.
    """
    expected = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
    size = math.prod(shape)
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if zipped else raw)
            header = file.read(len(expected))
            # One byte more than wanted: it shows a file that is too long, and at the end of the
            # stream gzip compares its checksum.
            content = file.read(size + 1) if header == expected else b""
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if header != expected:
        raise damaged(path, _header_fault(header, expected, shape))
    if len(content) != size:
        came = "more" if len(content) > size else f"{len(content):,}"
        raise damaged(path, f"there must be {size:,} values, got {came}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _header_fault(header: bytes, expected: bytes, shape: tuple[int, ...]) -> str:
    if len(header) < len(expected):
        return f"its header is cut off after {len(header)} bytes"
    if header[:4] != expected[:4]:
        return f"it must begin with {expected[:4].hex()} (IDX), got {header[:4].hex()}"
    found = struct.unpack(f">{len(shape)}I", header[4:])
    return f"its shape must be {list(shape)}, got {list(found)}"


def _npz_pool(path: Path, split: str, n: int) -> Pool:
    """Read one split of Keras's file, and only its two members of the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            images = _member(archive, f"x_{split}.npy")
            labels = _member(archive, f"y_{split}.npy")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    # The ways in which zipfile, zlib and NumPy say that the bytes make no sense.
    except (
        zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, MemoryError,
        NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        raise damaged(path, str(error).strip("'\"")) from error
    return checked_pool(images, labels, n, str(path))


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    with archive.open(name) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        # zipfile compares its checksum only at the end of the stream.
        if member.read(1):
            raise ValueError(f"{name} is longer than its header says")
    return np.asarray(array)
