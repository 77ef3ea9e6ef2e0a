"""Figures of a set of photos: classes, sizes and places of boxes, copies, faults."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.box_checks import Photo
from harness.image_splits import main_name
from harness.image_survey import Survey
from harness.main_object import box_area

AREA_EDGES = tuple(round(tenth / 10, 1) for tenth in range(11))
"""Of the area of a box as a fraction of its photo's."""

ASPECT_EDGES = (0.0, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0, float("inf"))
"""Of width over height in pixels; each bin but the outer ones is an octave."""

CENTRE_EDGES = AREA_EDGES
"""Of the centre of a box, along each axis, as a fraction of the photo's side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts between edges; a bin holds its lower edge, the last one also its upper edge.

    Attributes:
        edges: one more than counts, growing.
        counts: of main objects.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStats:
    """Figures of the photos without a fault, and the faults of the others.

    Attributes:
        source: what the user named.
        photos: without a fault and with a main object.
        without_object: photos with nothing to localize.
        unlisted: photos that no list of a split names.
        objects: all objects in photos without a fault.
        clipped: boxes that were cut by up to a pixel.
        photos_by_class: of the main object; by class name, sorted.
        objects_by_class: of all objects.
        classes_without_photo: declared or of some object, but the main object of none.
        photos_by_split: of the splits that the data set gives, "none" for no word.
        side_px: smallest, median and largest side of a photo.
        area, aspect, centre_x, centre_y: of the main objects' boxes.
        copies: groups of photos with the same bytes, by name.
        box_faults: boxes that are impossible or out of range.
        unreadable: images that cannot be read.
        annotation_faults: the other faults.
    """

    source: str
    photos: int
    without_object: int
    unlisted: int
    objects: int
    clipped: int
    photos_by_class: dict[str, int]
    objects_by_class: dict[str, int]
    classes_without_photo: tuple[str, ...]
    photos_by_split: dict[str, int]
    side_px: tuple[int, float, int] | None
    area: Histogram
    aspect: Histogram
    centre_x: Histogram
    centre_y: Histogram
    copies: tuple[tuple[str, ...], ...]
    box_faults: tuple[str, ...]
    unreadable: tuple[str, ...]
    annotation_faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes; the open end of a histogram is None."""
        values = dataclasses.asdict(self)
        for name in ("area", "aspect", "centre_x", "centre_y"):
            edges = values[name]["edges"]
            values[name]["edges"] = [edge if np.isfinite(edge) else None for edge in edges]
        return values


def box_stats(found: Survey) -> BoxStats:
    """Return the figures of a survey; no pixel is decoded."""
    photos = [photo for photo in found.photos if photo.main is not None]
    boxes = np.array([photo.main.box for photo in photos if photo.main], np.float64)
    sizes = np.array([photo.facts.upright_px for photo in photos], np.float64)
    boxes, sizes = boxes.reshape(-1, 4), sizes.reshape(-1, 2)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / sizes
    areas = np.array([box_area(photo.main.box) for photo in photos if photo.main], np.float64)
    objects = [each.name for photo in found.photos for each in photo.objects]
    return BoxStats(
        source=found.source,
        photos=len(photos),
        without_object=len(found.photos) - len(photos),
        unlisted=found.unlisted,
        objects=len(objects),
        clipped=sum(photo.clipped for photo in found.photos),
        photos_by_class=_counted([main_name(photo) for photo in photos]),
        objects_by_class=_counted(objects),
        classes_without_photo=tuple(sorted(set(found.classes).difference(map(main_name, photos)))),
        photos_by_split=_counted([photo.split or "none" for photo in photos]),
        side_px=_three(sizes),
        area=_histogram(areas / np.prod(sizes, axis=1), AREA_EDGES),
        aspect=_histogram(sides[:, 0] / sides[:, 1], ASPECT_EDGES),
        centre_x=_histogram(centres[:, 0], CENTRE_EDGES),
        centre_y=_histogram(centres[:, 1], CENTRE_EDGES),
        copies=_copies(found.photos),
        box_faults=tuple(str(problem) for problem in found.box_problems),
        unreadable=tuple(str(problem) for problem in found.file_problems),
        annotation_faults=tuple(str(problem) for problem in found.annotation_problems),
    )


def _counted(names: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _three(sizes: NDArray[np.float64]) -> tuple[int, float, int] | None:
    if not sizes.size:
        return None
    return int(sizes.min()), float(np.median(sizes)), int(sizes.max())


def _histogram(values: NDArray[np.float64], edges: tuple[float, ...]) -> Histogram:
    counts, _ = np.histogram(values, np.array(edges))
    return Histogram(edges=edges, counts=tuple(int(count) for count in counts))


def _copies(photos: Sequence[Photo]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for photo in photos:
        groups.setdefault(photo.facts.sha256, []).append(photo.image.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)
