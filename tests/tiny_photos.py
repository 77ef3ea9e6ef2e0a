"""A made-up set of photos: coloured shapes of three classes on textured grounds, in all formats.

Draw with `photos`, then write with `write_voc`, `write_coco` or `write_csv`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("disc", "square", "triangle")
COLOURS = {"disc": (220, 60, 50), "square": (60, 200, 80), "triangle": (70, 90, 230)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """An object: class, and edges in pixels; all its pixels lie within."""

    name: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A picture and its objects, the largest first."""

    name: str
    image: Image.Image
    things: tuple[Thing, ...]


def photos(n: int, *, seed: int = 0, least_px: int = 48, most_px: int = 160) -> list[Photo]:
    """Draw photos whose main classes take turns, every third with a second, smaller object."""
    rng = np.random.default_rng(seed)
    return [_photo(rng, index, least_px, most_px) for index in range(n)]


def _photo(rng: np.random.Generator, index: int, least_px: int, most_px: int) -> Photo:
    width, height = (int(side) for side in rng.integers(least_px, most_px + 1, 2))
    image = _ground(rng, width, height)
    side = int(rng.uniform(0.35, 0.7) * min(width, height))
    sizes = [side] if index % 3 else [side, max(6, side // 3)]
    things = []
    for order, size in enumerate(sizes):
        name = CLASSES[(index + order) % len(CLASSES)]
        thing = _place(rng, name, size, (width, height), things)
        if thing is not None:
            _draw(rng, image, thing)
            things.append(thing)
    return Photo(name=f"{index:06}", image=image, things=tuple(things))


def _ground(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Smooth blotches of a random colour, with grain."""
    coarse = rng.integers(40, 200, (6, 6, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.integers(-12, 13, (height, width, 1))
    pixels = np.asarray(smooth).astype(np.int64) // 2 + 50 + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _place(
    rng: np.random.Generator, name: str, size: int, frame: tuple[int, int], others: list[Thing]
) -> Thing | None:
    width, height = size, max(4, int(size * rng.uniform(0.7, 1.0)))
    for _ in range(20):
        left = int(rng.integers(0, frame[0] - width + 1))
        top = int(rng.integers(0, frame[1] - height + 1))
        box = (left, top, left + width, top + height)
        if not any(_overlap(box, other.box) for other in others):
            return Thing(name=name, box=box)
    return None


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw(rng: np.random.Generator, image: Image.Image, thing: Thing) -> None:
    left, top, right, bottom = thing.box
    shade = tuple(int(np.clip(c + rng.integers(-30, 31), 0, 255)) for c in COLOURS[thing.name])
    pen = ImageDraw.Draw(image)
    last = (left, top, right - 1, bottom - 1)  # Pillow draws the last pixel too
    match thing.name:
        case "disc":
            pen.ellipse(last, fill=shade)
        case "square":
            pen.rectangle(last, fill=shade)
        case _:
            middle = (left + right - 1) / 2
            pen.polygon([(middle, top), (left, last[3]), (last[2], last[3])], fill=shade)


def write_voc(
    folder: Path, drawn: Sequence[Photo], *, lists: dict[str, Sequence[str]] | None = None
) -> str:
    """Write JPEG files in the layout of Pascal VOC; return the source's name for bench."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for photo in drawn:
        photo.image.save(folder / "JPEGImages" / f"{photo.name}.jpg", quality=90)
        xml = voc_xml(f"{photo.name}.jpg", photo.image.size, photo.things)
        (folder / "Annotations" / f"{photo.name}.xml").write_text(xml)
    for word, names in (lists or {}).items():
        (folder / "ImageSets" / "Main" / f"{word}.txt").write_text(
            "".join(f"{n}\n" for n in names)
        )
    return f"voc:{folder}"


def voc_xml(file_name: str, size: tuple[int, int], things: Sequence[Thing]) -> str:
    """Return an annotation; VOC counts pixels from 1 and includes the last."""
    objects = "".join(
        f"<object><name>{escape(thing.name)}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{thing.box[0] + 1}</xmin><ymin>{thing.box[1] + 1}</ymin>"
        f"<xmax>{thing.box[2]}</xmax><ymax>{thing.box[3]}</ymax></bndbox></object>\n"
        for thing in things
    )
    width, height = size
    return (
        f"<annotation><filename>{escape(file_name)}</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>\n{objects}</annotation>\n"
    )


def write_coco(folder: Path, drawn: Sequence[Photo]) -> str:
    """Write PNG files in `images` and `instances.json`; return the source's name for bench."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    annotations = []
    for index, photo in enumerate(drawn):
        photo.image.save(folder / "images" / f"{photo.name}.png")
        for thing in photo.things:
            x, y, right, bottom = thing.box
            bbox, category = [x, y, right - x, bottom - y], CLASSES.index(thing.name) + 1
            entry = {"image_id": index, "category_id": category, "bbox": bbox, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "area": bbox[2] * bbox[3], **entry})
    images = [
        {"id": index, "file_name": f"{photo.name}.png", "width": photo.image.width,
         "height": photo.image.height}
        for index, photo in enumerate(drawn)
    ]  # fmt: skip
    categories = [{"id": at + 1, "name": name} for at, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return f"coco:{folder / 'instances.json'}"


def write_csv(
    folder: Path, drawn: Sequence[Photo], *, fractions: bool = False,
    splits: Sequence[str] | None = None,
) -> str:  # fmt: skip
    """Write PNG files and `boxes.csv`; return the source's name for bench."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        heading = ["path", "label", "x_min", "y_min", "x_max", "y_max"]
        table.writerow([*heading, *(["split"] if splits else [])])
        for index, photo in enumerate(drawn):
            photo.image.save(folder / f"{photo.name}.png")
            sides = photo.image.size * 2
            for thing in photo.things:
                edges = [e / side for e, side in zip(thing.box, sides, strict=True)]
                box = edges if fractions else thing.box
                last = [splits[index]] if splits else []
                table.writerow([f"{photo.name}.png", thing.name, *box, *last])
    return f"csv:{folder / 'boxes.csv'}"
