"""Photos with boxes in the layout of Pascal VOC (Everingham et al. 2010).

    Annotations/*.xml       one file for each image
    JPEGImages/             the images
    ImageSets/Main/*.txt    optional: train, val, trainval, test; one name without ending per line

Pixels are counted from 1, and a box includes its last ones: over a whole image of width W, xmin is
1 and xmax is W. As edges that is 0 to W, so 1 is taken from xmin and ymin, as detectron2 does
(`data/datasets/pascal_voc.py`). The lists, and that `trainval` is the union of `train` and `val`,
are those of the VOC2012 development kit, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from harness.annotations import (
    SPLIT_WORDS,
    Annotated,
    Annotations,
    BoxedObject,
    EdgeBox,
    Split,
    UnsafePathError,
    inside,
)
from harness.errors import DataError
from harness.problems import Problem

MAX_XML_BYTES = 2**24
"""An annotation of VOC has a kilobyte; what is 16,000 times longer is none."""


class _UnusableError(Exception):
    """An annotation cannot be read at all; the text says why."""


def read_voc(folder: Path) -> Annotations:
    """Return the annotations below a folder.

    Raises:
        DataError: there is no such layout.
    """
    xml_files = _xml_files(folder)
    listed, problems = _listed_splits(folder)
    images: list[Annotated] = []
    unlisted = 0
    for path in xml_files:
        if listed is not None and path.stem not in listed:
            unlisted += 1
            continue
        image, faults = _annotated(folder, path, (listed or {}).get(path.stem))
        problems += faults
        if image is not None and not faults:
            images.append(image)
    problems += _without_annotation(listed, {path.stem for path in xml_files})
    return Annotations(
        source=f"voc:{folder}",
        images=tuple(images),
        problems=tuple(problems),
        unlisted=unlisted,
    )


def _xml_files(folder: Path) -> list[Path]:
    for name in ("Annotations", "JPEGImages"):
        if not (folder / name).is_dir():
            raise DataError(
                f"A folder of Pascal VOC must hold Annotations and JPEGImages, but {folder} has "
                f"no {name}. Name the folder that holds both."
            )
    return sorted((folder / "Annotations").glob("*.xml"))


def _listed_splits(folder: Path) -> tuple[dict[str, Split] | None, list[Problem]]:
    """Return the split of each listed image; None if there are no lists."""
    listed: dict[str, Split] = {}
    problems: list[Problem] = []
    found = False
    for word in ("train", "val", "test", "trainval"):
        path = folder / "ImageSets" / "Main" / f"{word}.txt"
        if not path.is_file():
            continue
        found = True
        # `trainval` is the union of two, so it says something only of images in neither.
        union, split = word == "trainval", SPLIT_WORDS.get(word, "train")
        for number, name in _names(path):
            before = listed.setdefault(name, split)
            if before == "test" if union else before != split:
                what = f"{name} must be in one split, but is listed in {before} and {word}"
                problems.append(Problem(where=f"{_short(path)}:{number}", what=what))
    return (listed if found else None), problems


def _names(path: Path) -> list[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    words = [(number, line.split()) for number, line in enumerate(lines, start=1)]
    return [(number, first[0]) for number, first in words if first]


def _short(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _without_annotation(listed: dict[str, Split] | None, stems: set[str]) -> list[Problem]:
    what = "a list in ImageSets/Main names it, but it does not exist"
    missing = sorted(set(listed or {}) - stems)
    return [Problem(where=f"Annotations/{name}.xml", what=what) for name in missing]


def _annotated(
    folder: Path, path: Path, split: Split | None
) -> tuple[Annotated | None, list[Problem]]:
    where = f"Annotations/{path.name}"
    try:
        root = _parsed(path)
        name = (root.findtext("filename") or "").strip() or f"{path.stem}.jpg"
        image = inside(folder, folder / "JPEGImages", name)
    except (_UnusableError, UnsafePathError) as error:
        return None, [Problem(where=where, what=str(error))]
    faults: list[Problem] = []
    objects = tuple(_objects(root, where, faults))
    annotated = Annotated(
        path=image,
        name=path.stem,
        objects=objects,
        where=where,
        declared_px=_declared(root),
        split=split,
    )
    return annotated, faults


def _parsed(path: Path) -> Element:
    try:
        if path.stat().st_size > MAX_XML_BYTES:
            raise _UnusableError(f"an annotation must have at most {MAX_XML_BYTES:,} bytes")
        root: Element = ElementTree.parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        raise _UnusableError(
            "it must not define a document type or entities: no annotation needs them, bombs do"
        ) from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: an unknown encoding
        raise _UnusableError(f"it must be XML, but is not: {error}") from error
    except OSError as error:
        raise _UnusableError(f"it cannot be read: {error.strerror or error}") from error
    if root.tag != "annotation":
        raise _UnusableError(f"its root must be <annotation>, got <{root.tag}>")
    return root


def _declared(root: Element) -> tuple[int, int] | None:
    try:
        size = int(root.findtext("size/width", "")), int(root.findtext("size/height", ""))
    except ValueError:
        return None
    # Some tools write 0 where they do not know.
    return size if min(size) > 0 else None


def _objects(root: Element, where: str, faults: list[Problem]) -> Iterator[BoxedObject]:
    # Only children of the root: VOC's <part> elements, such as heads, have boxes too.
    for number, element in enumerate(root.findall("object"), start=1):
        name = (element.findtext("name") or "").strip()
        here = f"{where}, object {number} ({name})"
        if not name:
            faults.append(Problem(where=here, what="its class must have a name"))
        try:
            box = _box(element)
        except ValueError as error:
            faults.append(Problem(where=here, what=str(error)))
            continue
        minor = (element.findtext("difficult") or "").strip() == "1"
        yield BoxedObject(name=name, box=box, minor=minor, where=here)


def _box(element: Element) -> EdgeBox:
    x_min, y_min, x_max, y_max = (
        _number(element, tag) for tag in ("xmin", "ymin", "xmax", "ymax")
    )
    return x_min - 1, y_min - 1, x_max, y_max


def _number(element: Element, tag: str) -> float:
    text = element.findtext(f"bndbox/{tag}")
    if text is None:
        raise ValueError(f"it must have a <bndbox> with <{tag}>, but has none")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"<{tag}> must be a number, got {text.strip()!r}") from None
