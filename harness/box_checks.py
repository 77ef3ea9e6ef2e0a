"""Are the boxes of a photo possible? If so, they are given in pixels of the upright photo.

Annotations differ in the frame they use if EXIF turns the photo. Labelling tools and detectron2
(`data/detection_utils.py`) show it upright; other readers ignore EXIF. So the declared size
decides, where there is one: if it is only that of the photo as stored, the boxes are turned with
the photo. If both frames have that size, or none is declared, boxes are those of the upright
photo.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from harness.annotations import Annotated, BoxedObject, EdgeBox, Split
from harness.image_files import ImageFacts
from harness.main_object import main_object
from harness.problems import Problem

CLIP_PX = 1.0
"""A box that reaches less far out of its photo is clipped: tools round, or count from 0 or 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo without a fault; boxes are edges in pixels of the upright photo, inside it.

    Attributes:
        image: what the annotation said.
        facts: what the file said.
        objects: in the order of the file.
        main: the one to localize; None if there is none.
        clipped: how many boxes were clipped by up to a pixel.
    """

    image: Annotated
    facts: ImageFacts
    objects: tuple[BoxedObject, ...]
    main: BoxedObject | None
    clipped: int

    @property
    def split(self) -> Split | None:
        """The split that the data set gives it to."""
        return self.image.split


def checked_photo(image: Annotated, facts: ImageFacts) -> tuple[Photo | None, list[Problem]]:
    """Return a photo with its boxes, or every fault of its boxes.

    A photo with one faulty box is left out whole: that box might be the main one.

    Args:
        image: from an annotation.
        facts: of its file.
    """
    turn = _turn(image, facts)
    if turn is None:
        said, got = image.declared_px, facts.stored_px
        what = f"the annotation is for {_size(said)} pixels, but the image has {_size(got)}"
        return None, [Problem(where=image.where, what=what)]
    frame = facts.stored_px if turn != 1 else facts.upright_px
    faults, objects, clipped = [], [], 0
    for each in image.objects:
        box = _in_pixels(each.box, frame) if image.unit == "fraction" else each.box
        fault = _fault(box, frame)
        if fault is not None:
            faults.append(Problem(where=each.where, what=fault))
            continue
        inside = _clipped(box, frame)
        clipped += inside != box
        objects.append(dataclasses.replace(each, box=turned(inside, turn, facts.stored_px)))
    if faults:
        return None, faults
    photo = Photo(
        image=image,
        facts=facts,
        objects=tuple(objects),
        main=main_object(objects),
        clipped=clipped,
    )
    return photo, []


def _turn(image: Annotated, facts: ImageFacts) -> int | None:
    """Return the orientation to apply to the boxes; None if the declared size is wrong."""
    if image.declared_px in {None, facts.upright_px}:
        return 1
    return facts.orientation if image.declared_px == facts.stored_px else None


def _size(size: tuple[int, int] | None) -> str:
    return " x ".join(map(str, size or ()))


def _in_pixels(box: EdgeBox, frame: tuple[int, int]) -> EdgeBox:
    width, height = frame
    x_min, y_min, x_max, y_max = box
    return x_min * width, y_min * height, x_max * width, y_max * height


def _fault(box: EdgeBox, frame: tuple[int, int]) -> str | None:
    """Return what is wrong with a box in a frame of this width and height."""
    edges = f"[{', '.join(f'{edge:g}' for edge in box)}]"
    if not all(map(math.isfinite, box)):
        return f"the box must have finite edges, got {edges}"
    x_min, y_min, x_max, y_max = _clipped(box, frame)
    if not (box[0] < box[2] and box[1] < box[3]):
        return f"the box must have x_min < x_max and y_min < y_max, got edges {edges}"
    beyond = max(abs(a - b) for a, b in zip(box, (x_min, y_min, x_max, y_max), strict=True))
    if not beyond <= CLIP_PX or not (x_min < x_max and y_min < y_max):
        return f"the box must lie in the image of {_size(frame)} pixels, got edges {edges}"
    return None


def _clipped(box: EdgeBox, frame: tuple[int, int]) -> EdgeBox:
    width, height = frame
    x_min, y_min, x_max, y_max = box
    return max(x_min, 0.0), max(y_min, 0.0), min(x_max, float(width)), min(y_max, float(height))


def turned(box: EdgeBox, orientation: int, stored_px: tuple[int, int]) -> EdgeBox:
    """Return a box of the stored photo as it lies in the upright one.

    Args:
        box: edges in pixels of the photo as stored.
        orientation: 1 to 8, see `harness.image_files`.
        stored_px: width and height as stored.
    """
    a = _turned_point(box[0], box[1], orientation, stored_px)
    b = _turned_point(box[2], box[3], orientation, stored_px)
    return min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])


def _turned_point(
    x: float, y: float, orientation: int, stored_px: tuple[int, int]
) -> tuple[float, float]:
    width, height = stored_px
    return {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }[orientation]
