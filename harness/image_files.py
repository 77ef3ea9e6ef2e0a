"""Image files of unknown origin: what they are without decoding them, and their pixels.

Images are always shown upright: the orientation of EXIF (tag 0x0112) is applied, as browsers and
labelling tools do.

The pixels of a JPEG depend on the version of libjpeg and all resized ones on Pillow's, by a level
or two. So the identity of a data set covers the bytes of its files, not its pixels; a cache of
pixels is valid for one `decoder_version`.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""No others are tried: Pillow also knows formats that start other programs or have no limits."""

# Damaged metadata beside sound pixels is common in old photos, and nothing to tell of.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Image.init()  # loads the plug-ins here, for two threads that do so at once trip over each other

MAX_PIXELS = 89_478_485
"""Pillow's own limit (`Image.MAX_IMAGE_PIXELS`): a quarter of a gibibyte in RGB."""

ORIENTATION_TAG = 0x0112

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_FAILURES = (
    # The ways in which Pillow's plug-ins say that the bytes make no sense.
    OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    EOFError, RuntimeError, MemoryError, struct.error, zlib.error,
    Image.DecompressionBombError, Warning,
)  # fmt: skip


class UnreadableImageError(Exception):
    """A file cannot be shown as an image; the text says why, without its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of an image file before it is decoded.

    Attributes:
        sha256: of the bytes of the file, 64 hexadecimal digits.
        stored_px: width and height as stored.
        orientation: 1 to 8, how to turn what is stored to show it upright; 1 is not at all.
    """

    sha256: str
    stored_px: tuple[int, int]
    orientation: int

    @property
    def upright_px(self) -> tuple[int, int]:
        """Width and height as shown."""
        width, height = self.stored_px
        return (height, width) if self.orientation >= 5 else (width, height)


def decoder_version() -> str:
    """Return what the pixels of a decoded file depend on, besides the file."""
    jpeg = features.version("libjpeg_turbo") or features.version("jpg")
    return f"pillow {PIL.__version__}, jpeg {jpeg}, webp {features.version('webp')}"


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Turn Pillow's warning of huge images into the error; for all threads, so use it outside."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def probe(path: Path) -> ImageFacts:
    """Return the facts of an image file; read its bytes and header, decode no pixel.

    Raises:
        UnreadableImageError: it cannot be read, is no image of a known format, is cut off or too
            large.
    """
    content = _content(path)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            facts = ImageFacts(
                sha256=hashlib.sha256(content).hexdigest(),
                stored_px=image.size,
                orientation=_orientation(image),
            )
            kind = image.format or ""
    except _FAILURES as error:
        raise _unreadable(error) from error
    width, height = facts.stored_px
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(_too_large(width * height))
    if not _complete(content, kind):
        raise UnreadableImageError("the image file is cut off or damaged")
    return facts


def decode(path: Path, *, channels: int) -> Image.Image:
    """Return the upright pixels of an image file.

    Transparent parts are laid on black; 16 bits become 8 by dropping the lower ones; of several
    frames the first is shown; grey is the luma of ITU-R 601-2, as Pillow computes it.

    Args:
        path: of a file that `probe` accepted.
        channels: 1 for grey, 3 for RGB.

    Returns:
        A Pillow image of mode "L" or "RGB".

    Raises:
        UnreadableImageError: the pixels cannot be decoded.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImageError(_too_large(width * height))
            turn = _TURNS.get(_orientation(image))
            image.load()
            shown = _as_mode(image, "L" if channels == 1 else "RGB")
            return shown if turn is None else shown.transpose(turn)
    except _FAILURES as error:
        raise _unreadable(error) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: BaseException) -> UnreadableImageError:
    if isinstance(error, PIL.UnidentifiedImageError):
        return UnreadableImageError(f"it must be an image ({', '.join(FORMATS)}), but is not")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        if numbers := re.search(r"\((\d+) pixels\)", str(error)):
            return UnreadableImageError(_too_large(int(numbers[1])))
        return UnreadableImageError(f"an image must have at most {MAX_PIXELS:,} pixels")
    if isinstance(error, MemoryError):
        return UnreadableImageError("the memory is too small for the image")
    reason = getattr(error, "strerror", None) or error
    return UnreadableImageError(f"the image cannot be read: {reason}")


def _too_large(pixels: int) -> str:
    return (
        f"an image must have at most {MAX_PIXELS:,} pixels, got {pixels:,}: more may be a "
        "decompression bomb"
    )


def _orientation(image: Image.Image) -> int:
    """Return the orientation that the header gives; decodes nothing."""
    # Pillow turns TIFF by itself. Of PNG, `getexif` decodes the pixels to find a late EXIF chunk.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    found = image.getexif().get(ORIENTATION_TAG, 1)
    return found if found in _TURNS else 1


def _complete(content: bytes, kind: str) -> bool:
    """Tell whether the last bytes are what the format ends with, so far as it has such an end."""
    match kind:
        case "JPEG" | "MPO":
            # ISO/IEC 10918-1, B.1.1: after the last start of scan comes an end of image; within a
            # scan, a byte 0xFF is never followed by either.
            return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
        case "PNG":
            return _verified(content)
        case "WEBP" | "BMP":
            # RIFF counts from its byte 8; a BMP of size 0 does not say.
            start, more = (4, 8) if kind == "WEBP" else (2, 0)
            size = int.from_bytes(content[start : start + 4], "little")
            return len(content) >= size + more
        case "GIF":
            return b"\x3b" in content[-16:]
        case _:
            return True


def _verified(content: bytes) -> bool:
    """Compare the checksums of a PNG, down to its last chunk; decodes nothing."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.verify()
    except _FAILURES:
        return False
    return True


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        eight = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(eight).convert(mode)
    if image.mode in {"I", "F"}:
        raise UnreadableImageError(
            f"an image must have 8 or 16 bits per channel, got 32 (mode {image.mode})"
        )
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        black = Image.new("RGBA", seen.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, seen).convert("RGB").convert(mode)
    if image.mode in {"P", "CMYK", "YCbCr", "HSV"} and mode == "L":
        return image.convert("RGB").convert("L")
    return image.convert(mode)
