"""A user's own pictures, as a trained network wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import DataError, UsageError
from harness.image_files import UnreadableImageError, decode, probe
from harness.letterbox import Placement, letterboxed, place

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""What is taken from a folder; a file that is named may end in anything."""

Invert = Literal["auto", "on", "off"]

_GROUND_PERCENTILE = 98  # of the border's pixels: the grain of paper is ground too
_PAPER = 127.5  # a border that is brighter than this on average is paper, not the black of scenes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnPicture:
    """One picture and what the network is given of it.

    Attributes:
        path: where it came from.
        shown: as it is, upright, mode "RGB".
        canvas: uint8 `[side, side, channels]`.
        placement: where it lies on the canvas.
        inverted: whether light and dark were swapped.
    """

    path: Path
    shown: Image.Image
    canvas: NDArray[np.uint8]
    placement: Placement
    inverted: bool


def listed(paths: Sequence[Path]) -> list[Path]:
    """Return the files that were named, and the pictures in the folders that were.

    Raises:
        UsageError: there is no such file, or no picture in a folder.
        DataError: files are no pictures; all of them are named.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"Every picture must exist, but there is no {path}.")
        found = [path] if not path.is_dir() else _pictures_in(path)
        files += [each for each in found if each not in files]
    problems = [f"{path}: {why}" for path in files if (why := _unreadable(path))]
    if problems:
        raise DataError(
            f"Every picture must be readable, but {len(problems)} of {len(files)} "
            f"{'is' if len(problems) == 1 else 'are'} not: {'; '.join(problems)}. "
            "Leave them out, or save them as PNG or JPEG."
        )
    return files


def read_picture(path: Path, *, side_px: int, channels: int, invert: Invert) -> OwnPicture:
    """Return a picture on the canvas of the network.

    Args:
        path: of a file that `listed` accepted.
        side_px: side of the canvas.
        channels: 1 for grey, 3 for RGB.
        invert: whether light and dark are swapped and the ground is made black; "auto" does so
            where the border is bright, for networks that know light digits on black only.

    Raises:
        DataError: the pixels cannot be decoded.
    """
    try:
        image = decode(path, channels=channels)
        shown = decode(path, channels=3)
    except UnreadableImageError as error:
        raise DataError(f"{path}: {error}. Leave it out, or save it as PNG or JPEG.") from error
    inverted = invert == "on" or (invert == "auto" and bool(_border(image).mean() > _PAPER))
    canvas = letterboxed(_as_light_on_black(image) if inverted else image, side_px)
    return OwnPicture(
        path=path,
        shown=shown,
        canvas=canvas.reshape(side_px, side_px, channels),
        placement=place(np.array([image.size], np.int64), side_px),
        inverted=inverted,
    )


def _pictures_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(
            f"A folder must hold pictures, but {folder} has no file that ends in "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    return found


def _unreadable(path: Path) -> str | None:
    try:
        probe(path)
    except UnreadableImageError as error:
        return str(error)
    return None


def _border(image: Image.Image) -> NDArray[np.float64]:
    """Return the intensities of the outermost pixels, 0 to 255, of all channels; `[n]`."""
    pixels = np.asarray(image, np.float64)
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return np.concatenate([edge.ravel() for edge in edges])


def _as_light_on_black(image: Image.Image) -> Image.Image:
    """Return the negative of a picture, its ground black and its lightest pixel white.

    Grey paper would else stand out against the black bars beside it, as nothing in training did.
    """
    negative = 255.0 - np.asarray(image, np.float64)
    ground = float(np.percentile(255.0 - _border(image), _GROUND_PERCENTILE))
    span = float(negative.max()) - ground
    if span > 0:
        negative = np.clip((negative - ground) * (255.0 / span), 0.0, 255.0)
    return Image.fromarray(np.rint(negative).astype(np.uint8))
