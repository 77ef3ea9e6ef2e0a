"""`npz:PATH`: one NumPy file with images and labels. Nothing in it is ever unpickled."""

from __future__ import annotations

import functools
import math
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.class_parts import Part, Parts
from harness.named_labels import named
from harness.problems import Problem, raise_problems
from harness.small_images import MOST_PX, grey, letterbox

MOST_BYTES = 1 << 32
"""Of one array: a file of a few kilobytes can unpack to terabytes."""

NAMES = "class_names"
_PAIRS = (("x_train", "y_train"), ("x", "y"))
_TEST = ("x_test", "y_test")
_COLOURS = (1, 3)


class _Fault(Exception):
    """An array cannot be used; the text says why, without its name."""


def parts(path: Path) -> Parts:
    """Return the parts of a data set in one file; read its directory and headers only.

    `x_train` and `x_test` (or `x` alone) are uint8 `[n, height, width]`, with a last axis of 1 or
    3 (RGB) if wanted; `y_train`, `y_test` and `y` are whole numbers `[n]`. `class_names`, if it is
    there, is text `[classes]`, from label 0 on.

    Raises:
        DataError: it is no such file, or an array is missing or not what it should be.
    """
    problems: list[Problem] = []
    pairs: dict[str, tuple[str, str]] = {}
    names = None
    try:
        with zipfile.ZipFile(path) as archive:
            there = {item.filename.removesuffix(".npy") for item in archive.infolist()}
            problems += _strays(path, archive)
            pair = next((p for p in _PAIRS if there & set(p)), _PAIRS[0])
            pairs["train"] = pair
            if pair == _PAIRS[0] and there & set(_TEST):
                pairs["test"] = _TEST
            for x, y in pairs.values():
                problems += _header_faults(path, archive, x, y)
            if NAMES in there:
                names = _names(path, archive, problems)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        problems.append(Problem(where=str(path), what=_words(error)))
    raise_problems(problems, skip_bad=False, kept=1, of=f"npz:{path}", skippable=False)
    reads = {part: functools.partial(_read, path, *p, names) for part, p in pairs.items()}
    return Parts(train=reads["train"], test=reads.get("test"))


def _strays(path: Path, archive: zipfile.ZipFile) -> list[Problem]:
    """Return members that would lie outside of a folder that the file is unpacked in."""
    found = []
    for name in archive.namelist():
        inner = PurePosixPath(name.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts:
            what = f"its members must stay inside, but one is called {name!r}"
            found.append(Problem(where=str(path), what=what))
    return found


def _header_faults(path: Path, archive: zipfile.ZipFile, x: str, y: str) -> list[Problem]:
    """Return what the headers of a pair of arrays tell of what is wrong with it."""
    faults, shapes = [], {}
    for name, check in ((x, _check_images), (y, _check_labels)):
        try:
            with _member(archive, name) as member:
                shape, dtype = _header(member)
            check(shape, dtype)
            shapes[name] = shape
        except Exception as error:  # noqa: BLE001 - damaged bytes raise whatever NumPy comes across
            faults.append(Problem(where=f"{path}, array {name}", what=_words(error)))
    if len(shapes) == 2 and shapes[x][0] != shapes[y][0]:
        what = f"there must be a label for each of {shapes[x][0]:,} images, got {shapes[y][0]:,}"
        faults.append(Problem(where=f"{path}, array {y}", what=what))
    return faults


def _check_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    sides = shape[1:3]
    fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in _COLOURS)
    if dtype != np.uint8 or not fits or not all(1 <= side <= MOST_PX for side in sides):
        raise _Fault(
            "images must be uint8 [n, height, width], with a last axis of 1 or 3 if wanted, "
            f"got {dtype} {list(shape)}"
        )


def _check_labels(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iu" or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise _Fault(f"labels must be whole numbers [n], got {dtype} {list(shape)}")


def _names(
    path: Path, archive: zipfile.ZipFile, problems: list[Problem]
) -> tuple[str, ...] | None:
    """Return the names of the classes; add to the problems if there are none."""
    try:
        return _checked_names(_array(archive, NAMES))
    except Exception as error:  # noqa: BLE001 - as above
        problems.append(Problem(where=f"{path}, array {NAMES}", what=_words(error)))
        return None


def _checked_names(array: NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise _Fault(f"it must be text [classes], got {array.dtype} {list(array.shape)}")
    names = tuple(str(name).strip() for name in array)
    if "" in names or len(set(names)) < len(names):
        raise _Fault("each class must have a name of its own")
    return names


def _read(path: Path, x: str, y: str, names: tuple[str, ...] | None) -> Part:
    """Read a pair of arrays whose headers fit; damage inside is told of both."""
    arrays, faults = [], []
    for name in (x, y):
        try:
            with zipfile.ZipFile(path) as archive:
                arrays.append(_array(archive, name))
        except Exception as error:  # noqa: BLE001 - as above
            faults.append(Problem(where=f"{path}, array {name}", what=_words(error)))
    raise_problems(faults, skip_bad=False, kept=1, skippable=False)
    pixels, numbers = arrays[0].astype(np.uint8, copy=False), arrays[1].reshape(-1)

    def place(i: int) -> str:
        return f"{path}, {x}[{i}]"

    rows, labels, class_names, problems = named(
        numbers.astype(np.int64), names, place, f"array {y}"
    )
    flat = _grey(pixels[rows])
    return Part(
        images=letterbox(flat),
        labels=labels,
        names=class_names,
        place=lambda i: place(int(rows[i])),
        sizes=Counter({(flat.shape[1], flat.shape[2]): len(rows)}),
        problems=problems,
        skipped=len(numbers) - len(rows),
    )


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 3:
        return pixels
    return pixels[..., 0] if pixels.shape[3] == 1 else grey(pixels)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(f"{name}.npy")
    except KeyError as error:
        raise _Fault("it is missing") from error


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type; refuse what would be unpickled, or is too large to be unpacked."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, in_fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, in_fortran_order, dtype = np.lib.format.read_array_header_2_0(member)
    else:
        raise _Fault(f"its format must be 1.0 or 2.0, got {version}")
    if dtype.hasobject:
        raise _Fault("it must hold numbers or text, but holds Python objects, which may run code")
    if math.prod(shape) * dtype.itemsize > MOST_BYTES:
        raise _Fault(f"it must be at most {MOST_BYTES:,} bytes, got {dtype} {list(shape)}")
    if in_fortran_order and len(shape) > 1:
        raise _Fault("its values must be in C order, got Fortran's")
    return tuple(map(int, shape)), dtype


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with _member(archive, name) as member:
        shape, dtype = _header(member)
        size = math.prod(shape) * dtype.itemsize
        # One byte more than wanted: it shows an array that is too long, and at the end of the
        # stream zipfile compares its checksum.
        content = member.read(size + 1)
    if len(content) != size:
        came = "more" if len(content) > size else f"{len(content):,}"
        raise _Fault(f"there must be {size:,} bytes, got {came}")
    return np.frombuffer(content, dtype).reshape(shape)


def _words(error: Exception) -> str:
    if isinstance(error, _Fault):
        return str(error)
    if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError):
        return f"it is damaged or no NumPy file: {error}"
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    return f"it is damaged: {str(error).strip(chr(39)) or type(error).__name__}"
