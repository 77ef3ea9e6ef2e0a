"""Scenes written as PNG files with one JSON file of COCO instances, for other tools to read.

Boxes become [x, y, width, height] in pixels, counted from 0 (cocodataset.org, "Data format"). The
fractions are float32, and are given in full: what is read back differs by rounding alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import UsageError
from harness.store import cannot_write, write_atomically

FILE = "instances.json"


def export_coco(
    folder: Path,
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    boxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    *,
    attributes: Mapping[str, Sequence[object]] | None = None,
    prefix: str = "",
) -> Path:
    """Write scenes, and return the path of the JSON file, which is written last.

    Args:
        folder: gets `images/*.png` and `instances.json`; files of these names are replaced.
        images: `n` arrays, uint8 `[h, w]` or `[h, w, 3]`, asked for one by one by index.
        boxes: float `[n, 4]`, see `harness.boxes`; one object in each scene.
        labels: integers `[n]`, index into `class_names`; category ids are one more.
        class_names: all classes, in the order of the labels.
        attributes: more to say of each scene, such as the factors it was made with: `n` numbers,
            words or truth values by name; kept as `attributes` of the annotation.
        prefix: of the names of the image files, such as "test-".

    Raises:
        UsageError: the numbers of images, boxes, labels and attributes differ.
        StoreError: the folder cannot be written.
    """
    extras = _by_scene(attributes or {}, len(images))
    if not len(images) == len(boxes) == len(labels):
        raise _uneven(len(images), len(boxes), len(labels))
    entries, annotations = [], []
    for index, extra in enumerate(extras):
        image = images[index]
        name = f"{prefix}{index:06}.png"
        _write(folder / "images" / name, _png(image))
        height, width = image.shape[:2]
        entries.append({"id": index, "file_name": name, "width": width, "height": height})
        annotations.append(
            {
                "id": index + 1,  # pycocotools takes an id of 0 for no match (cocoeval.py)
                "image_id": index,
                "category_id": int(labels[index]) + 1,
                **_shape(boxes[index], width, height),
                **({"attributes": extra} if extra else {}),
            }
        )
    categories = [{"id": at, "name": name} for at, name in enumerate(class_names, start=1)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    write_atomically(folder / FILE, json.dumps(content).encode())
    return folder / FILE


def _by_scene(attributes: Mapping[str, Sequence[object]], n: int) -> list[dict[str, object]]:
    """Return the attributes of each of `n` scenes."""
    for name, values in attributes.items():
        if len(values) != n:
            raise UsageError(
                f"There must be one {name!r} for each of {n} images, got {len(values)}."
            )
    return [
        {name: _plain(values[index]) for name, values in attributes.items()} for index in range(n)
    ]


def _uneven(images: int, boxes: int, labels: int) -> UsageError:
    return UsageError(
        f"There must be one box and one label for each of {images} images, "
        f"got {boxes} boxes and {labels} labels."
    )


def _write(path: Path, content: bytes) -> None:
    # Not synced one by one: the JSON file comes last, and without it there is no data set.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _shape(box: NDArray[np.floating], width: int, height: int) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = (
        float(edge) * side for edge, side in zip(box, (width, height) * 2, strict=True)
    )
    w, h = x_max - x_min, y_max - y_min
    return {"bbox": [x_min, y_min, w, h], "area": w * h, "iscrowd": 0, "segmentation": []}


def _plain(value: object) -> object:
    """Return a value that JSON has: the scalars of NumPy become those of Python."""
    return value.item() if isinstance(value, np.generic) else value
