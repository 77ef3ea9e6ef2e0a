"""`folder:PATH`: a folder of small images for each class, maybe below `train` and `test`."""

from __future__ import annotations

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.class_parts import Part, Parts
from harness.problems import Problem, raise_problems
from harness.scenes import DIGIT_PX
from harness.small_images import MOST_PX, letterbox

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""What Pillow may open. It knows more, some of which start other programs (EPS)."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".pbm", ".tif", ".tiff",
            ".webp")  # fmt: skip

_VALIDATION = {"val", "valid", "validation"}
_CLUTTER = {"thumbs.db", "desktop.ini"}  # what Windows leaves in folders of images


def parts(path: Path) -> Parts:
    """Return the parts of a data set in folders; look at names only.

    Raises:
        DataError: there is no such folder, or its folders are no classes.
    """
    if not path.is_dir():
        what = "must be a folder, but " + ("is a file" if path.exists() else "does not exist")
        _refuse(Problem(where=str(path), what=what))
    inner = _folders(path)
    if not inner:
        _refuse(Problem(where=str(path), what="it must hold a folder for each class, got none"))
    names = {name.lower() for name in inner}
    if "train" not in names or not names <= {"train", "test", *_VALIDATION}:
        return Parts(train=functools.partial(_read, path, path, _classes(path)))
    given = sorted(names & _VALIDATION)
    if given:
        what = "bench itself draws validation from train; move these images there"
        _refuse(Problem(where=str(path / given[0]), what=what))
    by_name = {name.lower(): path / name for name in inner}
    train = _classes(by_name["train"])
    read_train = functools.partial(_read, path, by_name["train"], train)
    if "test" not in by_name:
        return Parts(train=read_train)
    test = _classes(by_name["test"])
    return Parts(train=read_train, test=functools.partial(_read, path, by_name["test"], test))


def _refuse(problem: Problem) -> None:
    raise_problems([problem], skip_bad=False, kept=1, skippable=False)


def _folders(path: Path) -> list[str]:
    return [e.name for e in _entries(path) if e.is_dir() and not e.name.startswith(".")]


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        _refuse(Problem(where=str(path), what=f"it cannot be read: {error.strerror or error}"))
        raise AssertionError from error


def _classes(path: Path) -> tuple[str, ...]:
    """Return the names of the classes; if all are numbers in the order of these."""
    names = _folders(path)
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(names)


def _read(root: Path, folder: Path, names: tuple[str, ...]) -> Part:
    """Read every image below a folder of classes."""
    problems = [
        Problem(where=str(folder / e.name), what="an image must lie in the folder of its class")
        for e in _entries(folder)
        if e.is_file() and e.name.lower().endswith(SUFFIXES)
    ]
    images, labels, paths, sizes = [], [], [], Counter[tuple[int, int]]()
    for label, name in enumerate(names):
        good, bad = _read_class(root.resolve(), folder / name)
        problems += bad
        for path, size, image in good:
            images.append(image)
            labels.append(label)
            paths.append(path)
            sizes[size] += 1
    empty = np.zeros((0, DIGIT_PX, DIGIT_PX), np.uint8)
    return Part(
        images=np.stack(images) if images else empty,
        labels=np.array(labels, np.int64),
        names=names,
        place=lambda i: str(paths[i]),
        sizes=sizes,
        problems=tuple(problems),
        skipped=len(problems),
    )


_Found = tuple[Path, tuple[int, int], NDArray[np.uint8]]


def _read_class(root: Path, folder: Path) -> tuple[list[_Found], list[Problem]]:
    """Return path, size and pixels of each image of a class, and what is no image."""
    good: list[_Found] = []
    bad = []
    if not _inside(folder, root):
        return [], [_escaped(folder)]
    for entry in _entries(folder):
        path = folder / entry.name
        if entry.name.startswith(".") or entry.name.lower() in _CLUTTER:
            continue
        if entry.is_symlink() and not _inside(path, root):
            bad.append(_escaped(path))
            continue
        try:
            image = read_image(path)
        except ImageFault as fault:
            bad.append(Problem(where=str(path), what=str(fault)))
        else:
            height, width = image.shape
            good.append((path, (height, width), letterbox(image[None])[0]))
    return good, bad


def _inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)


def _escaped(path: Path) -> Problem:
    what = f"a link must stay in the data set's folder, but leads to {path.resolve()}"
    return Problem(where=str(path), what=what)


class ImageFault(Exception):
    """A file is no image that can be used; the text says why, without its name."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of an image file in grey; uint8 `[height, width]`.

    Colours become luma (ITU-R BT.601), 16 bits become 8, what is transparent becomes black, and a
    camera's note on how it was held is followed. PNG and its like decode to the same bytes
    everywhere; JPEG may differ by a step of brightness between versions of its library.

    Raises:
        ImageFault: it cannot be read, is no image, damaged, too large or of an unknown kind.
    """
    if path.is_dir():
        raise ImageFault("it must be an image, but is a folder")
    if not path.is_file():  # a pipe would be waited for, for ever
        raise ImageFault("it must be an image, but is no file")
    return _guarded(lambda: _decoded(path))


def _guarded(read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Read an image; put whatever Pillow raises in words."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of up to twice its limit.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return read()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ImageFault(
            f"it must have at most {Image.MAX_IMAGE_PIXELS:,} pixels: more may be a "
            "decompression bomb"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageFault(f"it must be an image ({', '.join(FORMATS)}), but is none") from error
    except ImageFault:
        raise
    except OSError as error:
        raise ImageFault(f"it cannot be read: {error.strerror or error}") from error
    # Damaged files raise whatever the decoders come across.
    except Exception as error:
        raise ImageFault(f"it is damaged: {error or type(error).__name__}") from error


def _decoded(path: Path) -> NDArray[np.uint8]:
    with Image.open(path, formats=FORMATS) as image:
        if max(image.size) > MOST_PX:
            raise ImageFault(f"its sides must have at most {MOST_PX:,} pixels, got {image.size}")
        if image.mode == "F":
            raise ImageFault("its pixels must be whole numbers, but are real ones")
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I"):
            wide = np.asarray(turned).astype(np.int64)
            return (wide.clip(0, 0xFFFF) >> 8).astype(np.uint8)
        if turned.has_transparency_data:
            black = Image.new("RGBA", turned.size, "black")
            turned = Image.alpha_composite(black, turned.convert("RGBA"))
        return np.asarray(turned.convert("L"))
