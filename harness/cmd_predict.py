"""`bench predict`: what a trained network says of a user's own pictures."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.table import Table
from rich.text import Text

from harness.cmd_export import CARD
from harness.cmd_find import Finder
from harness.console import console, note, on_stderr, quiet_stderr, waiting
from harness.drawn_boxes import drawn
from harness.errors import StoreError, UsageError
from harness.letterbox import to_source
from harness.own_pictures import Invert, OwnPicture, listed, read_picture
from harness.record import RunRecord
from harness.store import Store, write_atomically

JSON_VERSION = 1
_BATCH = 64
_MARK = ("Software", "bench predict")  # in each drawing, so that it may be written over


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the network says of one picture.

    Attributes:
        path: of the picture.
        probabilities: of each class, with sum 1.
        box: x_min, y_min, x_max, y_max as fractions of the canvas, as the network gave it.
        box_px: the same in pixels of the picture; may reach over its border.
        inverted: whether light and dark were swapped.
        drawing: the picture with box and class.
    """

    path: Path
    class_name: str
    class_index: int
    probabilities: tuple[float, ...]
    box: tuple[float, ...]
    box_px: tuple[float, ...]
    inverted: bool
    drawing: Path

    @property
    def probability(self) -> float:
        """Return that of the class."""
        return self.probabilities[self.class_index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Locator:
    """A trained network that is ready to predict.

    Attributes:
        run_id: of the run that trained it.
        side_px, channels: of its canvas.
        class_names: in the order of their indices.
        black_only: whether it has seen light digits on black ground only.
        serve: from uint8 `[n, side, side, channels]` to the outputs of an export.
    """

    run_id: str
    side_px: int
    channels: int
    class_names: tuple[str, ...]
    black_only: bool
    serve: Callable[..., Mapping[str, Any]]


def predict(
    name: str,
    pictures: Sequence[Path],
    *,
    to: Path | None,
    invert: Invert,
    as_json: bool,
    out: Path,
    tracking_uri: str | None,
    experiment: str,
) -> None:
    """Say and draw what is where in some pictures.

    Args:
        name: a run, a sweep for the best of it, or the folder of an export.
        pictures: files and folders of files.
        to: folder for the drawn pictures; None for one in the output folder.
        invert: whether light and dark are swapped, see `harness.own_pictures`.
        as_json: print one JSON object instead of a table.
        out: output folder.
        tracking_uri: of MLflow; None for the default.
        experiment: where to look for runs.

    Raises:
        UsageError: there is no such run or picture.
        DataError: files are no pictures.
        StoreError: files of the run or export are damaged, or a drawing cannot be written.
        ExportError: the network cannot be rebuilt.
    """
    files = listed(pictures)
    store = Store(out)
    drawings = None if to is None else _drawings(files, to)
    with on_stderr():
        if (Path(name) / CARD).is_file():
            locator = _of_export(Path(name))
        else:
            locator = _of_run(*Finder(store, tracking_uri, experiment).trained(name))
        folder = to or store.root / "predicted" / locator.run_id
        found = list(_look(locator, files, invert, drawings or _drawings(files, folder)))
    if as_json:
        print(json.dumps(_document(locator, found), indent=1))  # noqa: T201 - for scripts
        return
    console.print(_table(found))
    swapped = sum(each.inverted for each in found)
    if swapped:
        note(
            f"light and dark were swapped in {swapped} of {len(found)}: the network knows light "
            "on dark only, and their borders are bright. --invert off leaves them as they are."
        )
    note(f"drawn in {folder}")


def _of_run(record: RunRecord, folder: Path) -> Locator:
    with waiting("loading TensorFlow ..."), quiet_stderr():
        from harness import exported
    assert record.data, "a run with weights has data"
    with waiting("building the network ..."), quiet_stderr():
        served = exported.Served(exported.deployable(record, folder))
    height, _, channels = exported.image_shape(record.data)
    return Locator(
        run_id=record.run_id, side_px=height, channels=channels,
        class_names=exported.class_names(record.data),
        black_only=exported.knows_black_only(record.config), serve=served.serve,
    )  # fmt: skip


def _of_export(folder: Path) -> Locator:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        _, height, _, channels = card["input"]["shape"]
        with waiting("loading TensorFlow ..."), quiet_stderr():
            from harness import exported

            serve = exported.loaded(folder)
        return Locator(
            run_id=str(card["run_id"]), side_px=int(height), channels=int(channels),
            class_names=tuple(map(str, card["class_names"])),
            black_only=bool(card["black_only"]), serve=serve,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder} must be what `bench export` wrote, but is damaged: {error}. Export the "
            "run again."
        ) from error


def _look(
    locator: Locator, files: Sequence[Path], invert: Invert, drawings: Sequence[Path]
) -> Iterator[Found]:
    """Yield what is found in each file and draw it; a batch of pictures is in memory at a time."""
    wish: Invert = "off" if invert == "auto" and not locator.black_only else invert
    for start in range(0, len(files), _BATCH):
        with waiting(f"picture {start + 1} of {len(files)} ..."):
            pictures = [
                read_picture(path, side_px=locator.side_px, channels=locator.channels, invert=wish)
                for path in files[start : start + _BATCH]
            ]
            canvases = np.stack([picture.canvas for picture in pictures])
            outputs = {name: np.asarray(v) for name, v in locator.serve(images=canvases).items()}
        for row, picture in enumerate(pictures):
            mine = {name: values[row] for name, values in outputs.items()}
            yield _drawn(locator, picture, mine, drawings[start + row])


def _drawn(
    locator: Locator, picture: OwnPicture, outputs: Mapping[str, Any], drawing: Path
) -> Found:
    index = int(outputs["class_index"])
    box_px = to_source(outputs["box"][np.newaxis], picture.placement)[0]
    found = Found(
        path=picture.path,
        class_name=locator.class_names[index],
        class_index=index,
        probabilities=tuple(map(float, outputs["probabilities"])),
        box=tuple(map(float, outputs["box"])),
        box_px=tuple(map(float, box_px)),
        inverted=picture.inverted,
        drawing=drawing,
    )
    x_min, y_min, x_max, y_max = found.box_px
    label = f"{found.class_name}  {100 * found.probability:.0f} %"
    content = io.BytesIO()
    mark = PngInfo()
    mark.add_text(*_MARK)
    shown = drawn(picture.shown, (x_min, y_min, x_max, y_max), label)
    shown.save(content, format="PNG", pnginfo=mark)
    write_atomically(drawing, content.getvalue())
    return found


def _drawings(files: Sequence[Path], folder: Path) -> list[Path]:
    """Return where each file is drawn, all different; only older drawings are written over.

    Raises:
        UsageError: something else has one of the names.
    """
    names: dict[str, None] = {}
    for path in files:
        tried = (f"{path.stem}{'' if k == 1 else f'-{k}'}.png" for k in itertools.count(1))
        names[next(name for name in tried if name not in names)] = None
    drawings = [folder / name for name in names]
    looked_at = {path.resolve() for path in files}
    for drawing in drawings:
        if drawing.resolve() in looked_at or (drawing.exists() and not _is_ours(drawing)):
            raise UsageError(
                f"Drawings must not replace other files, but {drawing} is one. Name another "
                "folder with --to."
            )
    return drawings


def _is_ours(path: Path) -> bool:
    """Tell whether a file is a picture that was drawn here."""
    key, value = _MARK
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get(key) == value
    except OSError:
        return False


def _document(locator: Locator, found: Sequence[Found]) -> dict[str, Any]:
    return {
        "version": JSON_VERSION,
        "run_id": locator.run_id,
        "class_names": locator.class_names,
        "pictures": [
            {
                "path": str(each.path),
                "class_name": each.class_name,
                "probability": each.probability,
                "probabilities": each.probabilities,
                "box_px": each.box_px,
                "box": each.box,
                "inverted": each.inverted,
                "drawing": str(each.drawing),
            }
            for each in found
        ],
    }


def _table(found: Sequence[Found]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("picture", overflow="fold")
    table.add_column("class")
    table.add_column("probability", justify="right")
    table.add_column("box (pixels)")
    for each in found:
        box = ", ".join(f"{side:.0f}" for side in each.box_px)
        table.add_row(
            Text(str(each.path)),
            Text(each.class_name),
            f"{each.probability:.3f}",
            Text(f"[{box}]"),
        )
    return table
