"""Photos with boxes, as the files describe them: one value for VOC, COCO and CSV.

No image is opened here. A box is `(x_min, y_min, x_max, y_max)` as edges: 0 is the left or upper
edge of the first pixel, and the width is the right edge of the last. Readers of formats that count
pixels otherwise map them to edges.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.problems import Problem

Split = Literal["train", "validation", "test"]
Unit = Literal["px", "fraction"]
EdgeBox = tuple[float, float, float, float]

SPLIT_WORDS: dict[str, Split] = {
    "train": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "test": "test",
}  # fmt: skip
"""The names of splits that a data set may give its images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxedObject:
    """One object in a photo.

    Attributes:
        name: its class.
        box: edges in the unit of its `Annotated`, not yet checked against the image.
        minor: VOC calls it difficult, or COCO a crowd: it is never the main object.
        where: such as "Annotations/000005.xml, object 3 (chair)".
    """

    name: str
    box: EdgeBox
    minor: bool = False
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """One photo and its objects.

    Attributes:
        path: the image file; it lies below the data set's folder.
        name: what the data set calls it, unique; images are put in the order of their names.
        objects: in the order of the file; may be empty.
        where: the file, and the line or entry in it.
        unit: of the boxes; fractions are of the width and height.
        declared_px: width and height by the annotation, None if it does not say.
        split: which one the data set gives it to, None if it does not say.
    """

    path: Path
    name: str
    objects: tuple[BoxedObject, ...]
    where: str
    unit: Unit = "px"
    declared_px: tuple[int, int] | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """All photos of a data set.

    Attributes:
        source: what the user named, such as "voc:photos".
        images: those without a fault, in the order of their names.
        problems: every fault in the annotations; an image with one is not in `images`.
        unlisted: annotated images that no list of a split names, which are left out.
        classes: that the data set declares, whether or not an object has them.
    """

    source: str
    images: tuple[Annotated, ...]
    problems: tuple[Problem, ...]
    unlisted: int = 0
    classes: tuple[str, ...] = ()


class UnsafePathError(Exception):
    """A file name leads out of the data set's folder, or to nothing; the text says which."""


def inside(root: Path, folder: Path, name: str) -> Path:
    """Return the path of a file that a data set names, if it is a file below the data set.

    Args:
        root: the data set's folder.
        folder: where the name starts, `root` or below it.
        name: from an annotation, so anybody's choice.

    Raises:
        UnsafePathError: the name is absolute, or leads out of `root` by `..` or by a link; or
            there is no such regular file.
    """
    if not name or "\0" in name:
        raise UnsafePathError(f"a file must be named, got {name!r}")
    if os.path.isabs(name) or Path(name).drive:  # noqa: PTH117
        raise UnsafePathError(f"file names must be relative to the data set, got {name!r}")
    path = folder / name
    try:
        real = path.resolve()
        if not real.is_relative_to(root.resolve()):
            raise UnsafePathError(f"{name!r} leads out of the data set's folder")
        if not real.is_file():
            what = "is not a file" if real.exists() else "does not exist"
            raise UnsafePathError(f"image {name!r} {what}")
    # RuntimeError: links in a circle. ValueError: half of a character, which JSON can hold.
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnsafePathError(f"image {name!r} cannot be reached: {reason}") from error
    return path
