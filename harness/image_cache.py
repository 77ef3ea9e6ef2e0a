"""Where letterboxed photos are kept: in memory, in a file beside other caches, or nowhere.

The file `KEY.pixels` holds the photos one after the other, as C-ordered uint8. Its key is the
digest of all that the pixels depend on, so it is never out of date. `KEY.json` is written last: it
says how long the file is and which photos could not be decoded. Whoever fills a file holds a lock
that the kernel frees when the process dies; the others wait for it, and what a killed one left is
overwritten.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness import letterbox
from harness.chunked_threads import mapped
from harness.image_files import UnreadableImageError, decoder_version
from harness.image_rows import DecodedPixels, Pixels
from harness.store import cannot_write, write_atomically

CacheMode = Literal["memory", "disk", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Photos, and those that could not be decoded.

    Attributes:
        pixels: by row; a row in `faults` is black, or raises.
        faults: why, by row.
    """

    pixels: Pixels
    faults: dict[int, str]


class KeptPixels:
    """Photos of an array in memory or of a file mapped into it.

    Args:
        photos: uint8 `[n, h, w]` or `[n, h, w, 3]`.
    """

    def __init__(self, photos: NDArray[np.uint8]) -> None:
        self._photos = photos

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of some rows."""
        return np.asarray(self._photos[rows])


def images_cache_dir() -> Path:
    """Return the folder where letterboxed photos are kept, whether or not it exists."""
    # Unlike Path.home this does not raise for a user without a home.
    home = os.path.expanduser("~")  # noqa: PTH111
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache"), "locbench", "images")


def keep(
    decoded: DecodedPixels, sha256s: Sequence[str], mode: CacheMode, folder: Path | None = None
) -> Kept:
    """Decode all photos once, whatever the mode, so that those that cannot be are known.

    Args:
        decoded: the files.
        sha256s: of the bytes of each.
        mode: where pixels are kept. With "none" they are dropped, and decoded again each time.
        folder: for "disk"; by default `images_cache_dir()`.

    Raises:
        StoreError: the folder cannot be written.
    """
    match mode:
        case "none":
            return Kept(pixels=decoded, faults=_decode_all(decoded, _Dropped()))
        case "memory":
            return _in_memory(decoded)
        case "disk":
            return _on_disk(decoded, sha256s, folder or images_cache_dir())


class _Dropped:
    def write(self, photo: NDArray[np.uint8]) -> None:
        """Do nothing."""


class _Array:
    """Takes photos in order; `n` of them are allocated at once, and touched when they come."""

    def __init__(self, n: int, image_shape: tuple[int, ...]) -> None:
        self.photos = np.zeros((n, *image_shape), np.uint8)
        self._at = 0

    def write(self, photo: NDArray[np.uint8]) -> None:
        """Put a photo behind those that came before."""
        self.photos[self._at] = photo
        self._at += 1


class _File:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, photo: NDArray[np.uint8]) -> None:
        """Append a photo. Not through a map: there a full disk kills the process."""
        left = photo.data.cast("B")
        while left:
            left = left[os.write(self._descriptor, left) :]


def _decode_all(decoded: DecodedPixels, sink: _Dropped | _Array | _File) -> dict[int, str]:
    """Hand all photos to a sink, in order, and return the faults by row."""
    faults: dict[int, str] = {}
    black = np.zeros(decoded.image_shape, np.uint8)
    start = 0
    for chunk in mapped(decoded.attempt, range(len(decoded)), chunk=decoded.chunk):
        for row, photo in enumerate(chunk, start):
            if isinstance(photo, UnreadableImageError):
                faults[row] = str(photo)
            sink.write(black if isinstance(photo, UnreadableImageError) else photo)
        start += len(chunk)
    return faults


def _in_memory(decoded: DecodedPixels) -> Kept:
    array = _Array(len(decoded), decoded.image_shape)
    faults = _decode_all(decoded, array)
    array.photos.flags.writeable = False
    return Kept(pixels=KeptPixels(array.photos), faults=faults)


def cache_key(decoded: DecodedPixels, sha256s: Sequence[str]) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of all that the pixels depend on."""
    parts = [decoder_version(), letterbox.RULE, decoded.image_shape, list(sha256s)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _on_disk(decoded: DecodedPixels, sha256s: Sequence[str], folder: Path) -> Kept:
    key = cache_key(decoded, sha256s)
    shape = (len(decoded), *decoded.image_shape)
    if not len(decoded):
        return _in_memory(decoded)  # an empty file cannot be mapped
    faults = _complete(folder, key, shape)
    if faults is None:
        faults = _filled(decoded, folder, key, shape)
    pixels = np.memmap(folder / f"{key}.pixels", np.uint8, "r", shape=shape)
    return Kept(pixels=KeptPixels(pixels), faults=faults)


def _complete(folder: Path, key: str, shape: tuple[int, ...]) -> dict[int, str] | None:
    """Return the faults that a complete cache notes; None if there is none."""
    try:
        marker = json.loads((folder / f"{key}.json").read_bytes())
        size = (folder / f"{key}.pixels").stat().st_size
        if marker["shape"] != list(shape) or not size == marker["bytes"] == np.prod(shape):
            return None
        return {int(row): str(what) for row, what in marker["faults"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _filled(
    decoded: DecodedPixels, folder: Path, key: str, shape: tuple[int, ...]
) -> dict[int, str]:
    marker, pixels, partial = (folder / f"{key}.{end}" for end in ("json", "pixels", "partial"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key}.lock"):
            faults = _complete(folder, key, shape)
            if faults is not None:  # another process was faster
                return faults
            marker.unlink(missing_ok=True)
            faults = _written(decoded, partial)
            partial.replace(pixels)
            content = {"shape": shape, "bytes": int(np.prod(shape)), "faults": faults}
            write_atomically(marker, json.dumps(content).encode())
            return faults
    except OSError as error:
        raise cannot_write(pixels, error) from error


def _written(decoded: DecodedPixels, partial: Path) -> dict[int, str]:
    """Write all photos; leave nothing if the disk is full."""
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        faults = _decode_all(decoded, _File(descriptor))
        os.fsync(descriptor)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return faults


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
