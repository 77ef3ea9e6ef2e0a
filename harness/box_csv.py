"""Photos with boxes in one CSV file (RFC 4180, with a heading).

Columns `path`, `label`, `x_min`, `y_min`, `x_max`, `y_max` and optional `split` (train, validation
or val, test), in any order. Paths are relative to the file. A photo with several objects has
several rows; one whose label and box are all empty has no object.

Boxes are edges, either all in pixels counted from 0, or all fractions of width and height. A row
is in fractions if its four numbers are at most 1, for a box inside the first pixel shows nothing.
If a file has rows of both kinds, those of the rarer kind are faults (in a tie, the fractions).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.annotations import (
    SPLIT_WORDS,
    Annotated,
    Annotations,
    BoxedObject,
    EdgeBox,
    Split,
    Unit,
    UnsafePathError,
    inside,
)
from harness.errors import DataError
from harness.problems import Problem

EDGES = ("x_min", "y_min", "x_max", "y_max")
COLUMNS = ("path", "label", *EDGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    line: int
    path: str
    split: Split | None
    label: str
    box: EdgeBox | None

    @property
    def unit(self) -> Unit | None:
        """The unit that the numbers speak for; None without a box of finite numbers."""
        if self.box is None or not all(map(math.isfinite, self.box)):
            return None
        return "fraction" if max(self.box) <= 1 else "px"


@dataclass(slots=True, kw_only=True)
class _Photo:
    line: int
    split: Split | None
    objects: list[BoxedObject] = field(default_factory=list)
    spoilt: bool = False


def read_csv(file: Path) -> Annotations:
    """Return the annotations of a file.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    problems: list[Problem] = []
    spoilt: set[str] = set()
    rows = _rows(file, problems, spoilt)
    unit = _unit(rows)
    photos = _photos(file, rows, unit, problems)
    images = []
    for name in sorted(photos.keys() - spoilt):
        photo = photos[name]
        where = f"{file.name}:{photo.line}"
        try:
            path = inside(file.parent, file.parent, name)
        except UnsafePathError as error:
            problems.append(Problem(where=where, what=str(error)))
            continue
        if not photo.spoilt:
            images.append(
                Annotated(
                    path=path,
                    name=name,
                    objects=tuple(photo.objects),
                    where=where,
                    unit=unit,
                    split=photo.split,
                )
            )
    return Annotations(source=f"csv:{file}", images=tuple(images), problems=tuple(problems))


def _rows(file: Path, problems: list[Problem], spoilt: set[str]) -> list[_Row]:
    """Return the rows without a fault of their own, and note the photos of those with one."""
    found = []
    try:
        # The signature that some spreadsheets write first would become part of the first heading.
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, strict=True)
            has_split = "split" in _heading(reader, file)
            for values in reader:
                line = reader.line_num
                try:
                    found.append(_row(values, line, has_split=has_split))
                except ValueError as error:
                    problems.append(Problem(where=f"{file.name}:{line}", what=str(error)))
                    spoilt.add((values.get("path") or "").strip())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file} must be CSV in UTF-8, but is not: {error}.") from error
    return found


def _heading(reader: csv.DictReader[str], file: Path) -> list[str]:
    heading = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in heading]
    if missing:
        raise DataError(
            f"The first line of {file} must name the columns {', '.join(COLUMNS)}, but there is "
            f"no {missing[0]}. It names: {', '.join(heading) or 'nothing'}."
        )
    reader.fieldnames = heading
    return heading


def _row(values: Mapping[str | None, str | None], line: int, *, has_split: bool) -> _Row:
    cells = {name: (values.get(name) or "").strip() for name in (*COLUMNS, "split")}
    if None in values or None in values.values():
        raise ValueError("it must have as many values as the first line has columns")
    empty = not any(cells[name] for name in COLUMNS[1:])
    if not empty and not cells["label"]:
        raise ValueError("the label must not be empty")
    return _Row(
        line=line,
        path=cells["path"],
        split=_split(cells["split"]) if has_split else None,
        label=cells["label"],
        box=None if empty else _box(cells),
    )


def _split(word: str) -> Split:
    if word not in SPLIT_WORDS:
        raise ValueError(f"split must be train, validation or test, got {word!r}")
    return SPLIT_WORDS[word]


def _box(cells: Mapping[str, str]) -> EdgeBox:
    numbers = []
    for name in EDGES:
        try:
            numbers.append(float(cells[name]))
        except ValueError:
            raise ValueError(f"{name} must be a number, got {cells[name]!r}") from None
    x_min, y_min, x_max, y_max = numbers
    return x_min, y_min, x_max, y_max


def _unit(rows: list[_Row]) -> Unit:
    units = [row.unit for row in rows]
    return "fraction" if units.count("fraction") > units.count("px") else "px"


def _photos(
    file: Path, rows: list[_Row], unit: Unit, problems: list[Problem]
) -> dict[str, _Photo]:
    others = {"px": "fractions", "fraction": "pixels"}
    photos: dict[str, _Photo] = {}
    for row in rows:
        where = f"{file.name}:{row.line}"
        photo = photos.setdefault(row.path, _Photo(line=row.line, split=row.split))
        what = None
        if row.split != photo.split:
            what = f"{row.path} must be in one split, but is in {photo.split} and {row.split}"
        elif row.unit not in {None, unit}:
            what = f"all boxes must have one unit, but this is in {others[unit]}, most are not"
        if what is not None:
            photo.spoilt = True
            problems.append(Problem(where=where, what=what))
        elif row.box is not None:
            here = f"{where} ({row.label})"
            photo.objects.append(BoxedObject(name=row.label, box=row.box, where=here))
    return photos
