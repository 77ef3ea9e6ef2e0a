"""Images and boxes zoomed, turned and shifted about the centre of the image, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.angles import BITS, cosine, sine

_ZOOM = 4096
_FINE = 32  # lengths are in 32nds of a pixel
_SUB = 16  # pixels are looked up at 16ths of a pixel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """How each image moves: first zoomed, then turned, then shifted.

    Attributes:
        zoom: int64 `[n]`, factor on sizes in 4096ths.
        cosine, sine: int64 `[n]`, of the angle (clockwise), times 2^14.
        x, y: int64 `[n]`, shift in 32nds of a pixel.
    """

    zoom: NDArray[np.int64]
    cosine: NDArray[np.int64]
    sine: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]

    @classmethod
    def of(
        cls, *, zoom: NDArray[np.int64], degrees: NDArray[np.int64], x: NDArray[np.int64],
        y: NDArray[np.int64],
    ) -> Motion:  # fmt: skip
        """Return the motion by angles in whole degrees."""
        angles = degrees.tolist()
        return cls(
            zoom=zoom, x=x, y=y,
            cosine=np.array([cosine(angle) for angle in angles], np.int64),
            sine=np.array([sine(angle) for angle in angles], np.int64),
        )  # fmt: skip


def moved_boxes(
    boxes: NDArray[np.float32], motion: Motion, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], Motion]:
    """Return the upright boxes around the moved ones, cut at the image, and the motion.

    Shifts are changed as far as it takes to keep a box inside that fits, else to fill the image
    with it: no motion takes what is to be found out of sight.

    Args:
        boxes: float32 `[n, 4]`, not empty.
        motion: of each image.
        shape: height and width of the images in pixels.
    """
    sides = np.array([shape[1], shape[0]]) * _FINE
    # Doubled, from the centre of the image.
    edges = np.rint(boxes.astype(np.float64) * np.tile(sides, 2)).astype(np.int64) * 2
    low, high = edges[:, :2] - sides, edges[:, 2:] - sides
    (cx, cy), (hx, hy) = ((high + low) // 2).T, ((high - low) // 2).T
    cos, sin = motion.cosine, motion.sine
    middle = np.stack([cos * cx - sin * cy, sin * cx + cos * cy], axis=1)
    half = np.stack([abs(cos) * hx + abs(sin) * hy, abs(sin) * hx + abs(cos) * hy], axis=1)
    zoom, whole = motion.zoom[:, None], (2 * _ZOOM) << BITS
    low = (middle - half) * zoom // whole
    high = -(-(middle + half) * zoom // whole)
    # How far it may go: from the left edge on the left one to the right edge on the right one.
    first, last = -(sides // 2) - low, sides // 2 - high
    shift = np.stack([motion.x, motion.y], axis=1)
    shift = np.clip(shift, np.minimum(first, last), np.maximum(first, last))
    corners = np.concatenate([low + shift, high + shift], axis=1) + np.tile(sides // 2, 2)
    inside = np.clip(corners, 0, np.tile(sides, 2))
    moved = (inside / np.tile(sides, 2)).astype(np.float32)
    return moved, replace(motion, x=shift[:, 0], y=shift[:, 1])


def moved_images(images: NDArray[np.uint8], motion: Motion) -> NDArray[np.uint8]:
    """Return moved images, bilinear between the pixels, black beyond the edges.

    Args:
        images: uint8 `[n, h, w]` or `[n, h, w, channels]`.
        motion: of each.
    """
    n, height, width = images.shape[:3]
    u, v = _sources(motion, height, width)
    at = (v >> 4) * np.int32(width + 3) + (u >> 4) + np.int32(width + 4)
    at += (np.arange(n, dtype=np.int32) * np.int32((height + 3) * (width + 3)))[:, None, None]
    right, below = (u & 15).astype(np.uint16), (v & 15).astype(np.uint16)
    left, above = np.uint16(_SUB) - right, np.uint16(_SUB) - below
    weights = (above * left, above * right, below * left, below * right)
    planes = np.moveaxis(images, -1, 0) if images.ndim == 4 else images[None]
    # One black pixel before and two after: whatever is outside is looked up there.
    padded = np.pad(planes, ((0, 0), (0, 0), (1, 2), (1, 2)))
    moved = [_mixed(plane.reshape(-1), at, weights, width + 3) for plane in padded]
    return np.stack(moved, axis=-1) if images.ndim == 4 else moved[0]


def _sources(
    motion: Motion, height: int, width: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return where pixels come from, in 16ths of a pixel from the first one's centre.

    int32 `[n, h, w]` each, from -16 (all outside) to 16 times the side (outside again).
    """
    # 2^16 / zoom of cosine and sine, then 2^8 times 16ths of a pixel.
    cos, sin = (
        (part * (_ZOOM << (16 - BITS)) + motion.zoom // 2) // motion.zoom
        for part in (motion.cosine, motion.sine)
    )
    x = _SUB * (2 * np.arange(width) + 1 - width) - motion.x[:, None]
    y = _SUB * (2 * np.arange(height) + 1 - height) - motion.y[:, None]
    found = []
    for along, across, side in ((x * cos[:, None], y * sin[:, None], width),
                                (x * -sin[:, None], y * cos[:, None], height)):  # fmt: skip
        columns, rows = (along >> 9).astype(np.int32), (across >> 9).astype(np.int32)
        middle = np.int32(_SUB // 2 * (side - 1))
        places = rows[:, :, None] + (columns + np.int32(128))[:, None, :]
        places >>= np.int32(8)
        places += middle
        found.append(np.clip(places, -_SUB, _SUB * side, out=places))
    return found[0], found[1]


def _mixed(
    flat: NDArray[np.uint8], at: NDArray[np.int32], weights: tuple[NDArray[np.uint16], ...],
    stride: int,
) -> NDArray[np.uint8]:  # fmt: skip
    """Return the weighted sums of four pixels each, the first one's places being `at`."""
    total = np.full(at.shape, 128, np.uint16)
    for weight, step in zip(weights, (0, 1, stride, stride + 1), strict=True):
        total += flat.take(at + np.int32(step)) * weight
    return (total >> np.uint16(8)).astype(np.uint8)
