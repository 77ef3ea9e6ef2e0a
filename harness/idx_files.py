"""`idx:PATH`: pairs of IDX files, images and labels, for training and maybe for test."""

from __future__ import annotations

import functools
import math
from collections import Counter
from pathlib import Path

import numpy as np

from harness.class_parts import Part, Parts
from harness.idx import IdxFault, existing, read_shape, read_values
from harness.named_labels import named
from harness.problems import Problem, raise_problems
from harness.small_images import MOST_PX, letterbox

MOST_BYTES = 1 << 32
"""Of pixels in one file: a small gzip can promise terabytes."""

NAMES_FILE = "classes.txt"
_TRAIN = ("train-", "")
_TEST = ("t10k-", "test-")


def parts(path: Path) -> Parts:
    """Return the parts of a data set in IDX files; read the headers only.

    A folder holds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` (or without `train-`),
    and maybe the same of `t10k` or `test`, each also as `.gz`. Any other path is the beginning of
    such names: `idx:emnist-letters` finds `emnist-letters-train-images-idx3-ubyte`. A file
    `classes.txt` beside them names the classes, one on each line, from label 0 on.

    Raises:
        DataError: files are missing or not what they should be.
    """
    folder, begin = (path, "") if path.is_dir() else (path.parent, f"{path.name}-")
    pairs = {}
    problems: list[Problem] = []
    for part, words in (("train", _TRAIN), ("test", _TEST)):
        found = [(word, *_pair(folder, f"{begin}{word}")) for word in words]
        there = next(((w, i, t) for w, i, t in found if i or t), None)
        if there is None:
            continue
        word, images, labels = there
        if images is None or labels is None:
            lost = "images-idx3-ubyte" if images is None else "labels-idx1-ubyte"
            lost_path = folder / f"{begin}{word}{lost}"
            problems.append(Problem(where=str(lost_path), what="it is missing beside its pair"))
            continue
        pairs[part] = (images, labels)
        problems += _header_faults(images, labels)
    if "train" not in pairs and not problems:
        looked = f"{begin}train-images-idx3-ubyte and {begin}train-labels-idx1-ubyte"
        problems.append(Problem(where=str(folder), what=f"it must hold {looked}, also as .gz"))
    names = _names(folder / NAMES_FILE, problems)
    raise_problems(problems, skip_bad=False, kept=1, of=f"idx:{path}", skippable=False)
    reads = {part: functools.partial(_read, *pair, names) for part, pair in pairs.items()}
    return Parts(train=reads["train"], test=reads.get("test"))


def _pair(folder: Path, begin: str) -> tuple[Path | None, Path | None]:
    return (existing(folder, f"{begin}images-idx3-ubyte"),
            existing(folder, f"{begin}labels-idx1-ubyte"))  # fmt: skip


def _names(path: Path, problems: list[Problem]) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(where=str(path), what=f"it must be text in UTF-8: {error}"))
        return None
    for line, name in enumerate(names, 1):
        if not name or name in names[: line - 1]:
            what = "each line must name another class, got " + (repr(name) if name else "nothing")
            problems.append(Problem(where=f"{path}, line {line}", what=what))
    return tuple(names)


def _header_faults(images: Path, labels: Path) -> list[Problem]:
    """Return what the headers of a pair tell of what is wrong with it."""
    shapes: dict[Path, tuple[int, ...]] = {}
    faults = []
    for path, dimensions in ((images, 3), (labels, 1)):
        try:
            shapes[path] = read_shape(path, dimensions)
        except (IdxFault, OSError) as fault:
            faults.append(Problem(where=str(path), what=_words(fault)))
    if images in shapes:
        shape = shapes[images]
        if not all(1 <= side <= MOST_PX for side in shape[1:]) or math.prod(shape) > MOST_BYTES:
            what = (
                f"images must have sides of 1 to {MOST_PX:,} and be at most {MOST_BYTES:,} bytes "
                f"together, got {list(shape)}"
            )
            faults.append(Problem(where=str(images), what=what))
        elif labels in shapes and shapes[labels][0] != shape[0]:
            what = (
                f"there must be a label for each of {shape[0]:,} images, got {shapes[labels][0]:,}"
            )
            faults.append(Problem(where=str(labels), what=what))
    return faults


def _read(images: Path, labels: Path, names: tuple[str, ...] | None) -> Part:
    """Read a pair whose headers fit; damage inside is told of both."""
    arrays, faults = [], []
    for path, dimensions in ((images, 3), (labels, 1)):
        try:
            arrays.append(read_values(path, read_shape(path, dimensions)))
        except (IdxFault, OSError) as fault:
            faults.append(Problem(where=str(path), what=_words(fault)))
    raise_problems(faults, skip_bad=False, kept=1, skippable=False)
    pixels, numbers = arrays

    def place(i: int) -> str:
        return f"{images}, image {i}"

    rows, found, class_names, problems = named(numbers.astype(np.int64), names, place, str(labels))
    return Part(
        images=letterbox(pixels[rows]),
        labels=found,
        names=class_names,
        place=lambda i: place(int(rows[i])),
        sizes=Counter({(pixels.shape[1], pixels.shape[2]): len(rows)}),
        problems=problems,
        skipped=len(numbers) - len(rows),
    )


def _words(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return f"it cannot be read: {fault.strerror or fault}"
    return str(fault)
