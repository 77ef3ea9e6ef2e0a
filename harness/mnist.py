"""MNIST and its like on disk: four IDX files, gzipped or not, or Keras's `mnist.npz`."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.class_sets import IDX_FILES as IDX_FILES
from harness.class_sets import MNIST, ClassSet, set_in
from harness.errors import DataError
from harness.idx import IdxFault, existing, read_values
from harness.pools import Pool, Source, checked_pool, damaged
from harness.scenes import DIGIT_PX

N_TRAIN, N_TEST, N_VALIDATION = 60_000, 10_000, 5_000

NPZ_FILE = "mnist.npz"


def find(folder: Path, which: ClassSet = MNIST) -> Source | None:
    """Return a set if it lies in a folder or in one below that has its name; read no image.

    Raises:
        DataError: the files are there, but may not be read.
    """
    for place in (folder, *(folder / name for name in which.folders)):
        source = _in_folder(place, which)
        if source is not None:
            return source
    return None


def find_in_named(folder: Path, which: ClassSet = MNIST) -> Source:
    """Return a set from a folder that the user named.

    Raises:
        DataError: there is no such folder, or the set is not in it or may not be read.
    """
    folder, title = folder.expanduser().absolute(), which.title
    if not os.path.isdir(folder):  # noqa: PTH112
        what = "is not a folder" if os.path.lexists(folder) else "does not exist"
        raise DataError(
            f"The data folder must hold {title}, but {folder} {what}. {_wanted(which)}"
        )
    if not _readable(folder, os.R_OK | os.X_OK):
        raise DataError(
            f"The data folder must be readable, but {folder} is not. Check its rights."
        )
    source = find(folder, which)
    if source is None:
        raise DataError(
            f"The data folder must hold {title}, but {_lack(folder)} {folder}. {_wanted(which)}"
        )
    return source


def _in_folder(folder: Path, which: ClassSet) -> Source | None:
    paths = [existing(folder, name) for name in IDX_FILES]
    found = [path for path in paths if path is not None]
    if len(found) == len(IDX_FILES) and _is(folder, which):
        return _idx_source(folder, found, which)
    npz = folder / NPZ_FILE
    is_there = which is MNIST and os.path.isfile(npz)  # noqa: PTH113
    return _npz_source(npz) if is_there else None


def _is(folder: Path, which: ClassSet) -> bool:
    """Whether IDX files are those of a set; without a sign of another one they are MNIST."""
    return (set_in(folder) or MNIST) is which


def _lack(folder: Path) -> str:
    missing = [name for name in IDX_FILES if existing(folder, name) is None]
    if not missing:
        return "nothing tells it from the other sets of such files in"
    return "it is not in" if len(missing) == len(IDX_FILES) else f"{missing[0]} is missing in"


def _wanted(which: ClassSet) -> str:
    text = f"Looked for {', '.join(IDX_FILES)} (each also as .gz)"
    below = f"there or in its folders {' and '.join(which.folders)}"
    return f"{text}, or for {NPZ_FILE}, {below}." if which is MNIST else f"{text}, {below}."


def _readable(path: Path, mode: int = os.R_OK) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _check_readable(path: Path) -> None:
    if not _readable(path):
        raise DataError(f"{path} must be readable, but its permissions forbid it.")


def _idx_source(folder: Path, paths: list[Path], which: ClassSet) -> Source:
    for path in paths:
        _check_readable(path)
    train_images, train_labels, test_images, test_labels = paths
    names = which.class_names
    return Source(
        name=which.name,
        place=str(folder),
        n_validation=N_VALIDATION,
        read_train=lambda: _idx_pool(train_images, train_labels, N_TRAIN, names),
        read_test=lambda: _idx_pool(test_images, test_labels, N_TEST, names),
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


def _idx_pool(images: Path, labels: Path, n: int, class_names: tuple[str, ...]) -> Pool:
    pixels = read_idx(images, (n, DIGIT_PX, DIGIT_PX))
    return checked_pool(pixels, read_idx(labels, (n,)), n, str(labels), class_names)


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the content of an IDX file of uint8 that must have this shape.

    Raises:
        DataError: the file cannot be read, or is damaged, truncated, too long or of another shape.
    """
    try:
        return read_values(path, shape)
    except IdxFault as fault:
        raise damaged(path, str(fault)) from fault
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


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
