"""Photos with boxes in one JSON file of COCO instances (Lin et al. 2014).

The format (cocodataset.org, "Data format"): `images` with `id`, `file_name`, `width`, `height`;
`categories` with `id` and `name`; `annotations` with `image_id`, `category_id`, `iscrowd` and
`bbox`, which is [x, y, width, height] in pixels, measured from the image's upper left corner and
counted from 0. The images lie beside the file, or in a folder `images` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.annotations import (
    Annotated,
    Annotations,
    BoxedObject,
    EdgeBox,
    UnsafePathError,
    inside,
)
from harness.errors import DataError
from harness.problems import Problem

PARTS = ("images", "annotations", "categories")


def read_coco(file: Path) -> Annotations:
    """Return the annotations of a file.

    Raises:
        DataError: it cannot be read, or is no such JSON.
    """
    content = _content(file)
    reading = _Reading(file=file)
    reading.read_categories(content["categories"])
    reading.read_images(content["images"])
    reading.read_annotations(content["annotations"])
    return Annotations(
        source=f"coco:{file}", images=reading.annotated(), problems=tuple(reading.problems),
        classes=tuple(reading.names.values()),
    )  # fmt: skip


def _content(file: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise DataError(f"{file} must be JSON, but is not: {error}.") from error
    lists = content if isinstance(content, dict) else {}
    missing = [part for part in PARTS if not isinstance(lists.get(part), list)]
    if missing:
        raise DataError(
            f"A file of COCO instances must hold the lists {', '.join(PARTS)}, but {file} has no "
            f"list {missing[0]}. Name the file of instances, not of captions or of results."
        )
    return lists


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What was read so far; ids are whatever JSON holds, so they are keys only if hashable."""

    file: Path
    problems: list[Problem] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    images: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    objects: dict[int, list[BoxedObject]] = field(default_factory=dict)
    spoilt: set[int] = field(default_factory=set)

    def fault(self, entry: str, what: str, *, image: object = None) -> None:
        """Note a fault; the image with this id is left out."""
        self.problems.append(Problem(where=f"{self.file.name}, {entry}", what=what))
        if isinstance(image, int):
            self.spoilt.add(image)

    def read_categories(self, entries: Sequence[Any]) -> None:
        """Keep the name of each category id that has one meaning."""
        ambiguous = set()
        for number, entry in enumerate(entries, start=1):
            here = f"category {number}"
            key, name = _get(entry, "id"), _get(entry, "name")
            if not _is_id(key) or not isinstance(name, str) or not name.strip():
                self.fault(here, "it must have a whole number as id and a name")
            elif key in self.names:
                self.fault(here, f"ids must be unique, but {key} is also {self.names[key]!r}")
                ambiguous.add(key)
            else:
                if name.strip() in self.names.values():
                    self.fault(here, f"names must be unique, but {name!r} came before")
                self.names[key] = name.strip()
        for key in ambiguous:
            del self.names[key]

    def read_images(self, entries: Sequence[Any]) -> None:
        """Keep the entry of each image id."""
        for number, entry in enumerate(entries, start=1):
            key, name = _get(entry, "id"), _get(entry, "file_name")
            here = f"image {number} ({name})"
            if not _is_id(key) or not isinstance(name, str):
                self.fault(here, "it must have a whole number as id and a file_name")
            elif key in self.images:
                first = self.images[key]["file_name"]
                self.fault(here, f"ids must be unique, but {key} is also {first!r}", image=key)
            else:
                self.images[key] = entry

    def read_annotations(self, entries: Sequence[Any]) -> None:
        """Keep the objects of each image."""
        for number, entry in enumerate(entries, start=1):
            image, category = _get(entry, "image_id"), _get(entry, "category_id")
            name = self.names.get(category) if _is_id(category) else None
            here = f"annotation {_get(entry, 'id', number)} ({name or 'unknown'})"
            if not _is_id(image) or image not in self.images:
                self.fault(here, f"image_id must be one of the images, got {image!r}")
                continue
            if name is None:
                what = f"category_id must be one of the categories, got {category!r}"
                self.fault(here, what, image=image)
                continue
            box = _edges(_get(entry, "bbox"))
            if box is None:
                what = f"bbox must be four numbers, got {_get(entry, 'bbox')!r:.60}"
                self.fault(here, what, image=image)
                continue
            where = f"{self.file.name}, {here}"
            crowd = bool(_get(entry, "iscrowd", 0))
            found = BoxedObject(name=name, box=box, minor=crowd, where=where)
            self.objects.setdefault(image, []).append(found)

    def annotated(self) -> tuple[Annotated, ...]:
        """Return the images without a fault, in the order of their file names."""
        found = []
        for key, entry in self.images.items():
            if key in self.spoilt:
                continue
            name = entry["file_name"]
            try:
                path = self._path(name)
            except UnsafePathError as error:
                self.fault(f"image {key} ({name})", str(error))
                continue
            found.append(
                Annotated(
                    path=path,
                    # Two entries may share a file: with its id each has a name of its own.
                    name=f"{name}#{key}",
                    objects=tuple(self.objects.get(key, ())),
                    where=f"{self.file.name}, image {key} ({name})",
                    declared_px=_declared(entry),
                )
            )
        return tuple(sorted(found, key=lambda image: image.name))

    def _path(self, name: str) -> Path:
        root = self.file.parent
        try:
            return inside(root, root, name)
        except UnsafePathError as beside:
            try:
                return inside(root, root / "images", name)
            except UnsafePathError:
                raise beside from None


def _get(entry: object, key: str, default: object = None) -> Any:
    return entry.get(key, default) if isinstance(entry, dict) else default


def _is_id(key: object) -> bool:
    return isinstance(key, int) and not isinstance(key, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _edges(bbox: object) -> EdgeBox | None:
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        return None
    try:
        x, y, width, height = map(float, bbox)
    except OverflowError:  # an integer beyond the floats
        return None
    return x, y, x + width, y + height


def _declared(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    known = isinstance(width, int) and isinstance(height, int) and min(width, height) > 0
    return (width, height) if known else None  # type: ignore[return-value]
