"""Augmentation: training images shifted, zoomed, turned, made paler, noisier or partly erased.

What happens to an example is a pure function of (seed, epoch, id), in whole numbers from words of
a counter-based generator, so it does not depend on batches, workers or machines. Boxes move with
their images.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.geometry import Motion, moved_boxes, moved_images
from harness.random_bits import below, halves, words
from harness.scenes import Scenes, in_pieces

_UNIT = 4096
"""Amounts are whole multiples of 1 / 4096."""

_WORDS = 7

# The sum of four bytes has a standard deviation of 147.8; 442 / 2^20 brings 1 to 255 / 4096.
_NOISE_SCALE, _NOISE_SHIFT = np.int32(442), np.int32(20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """The greatest amounts, each drawn evenly from 0 (or from its negative) for each example.

    Attributes:
        shift: as a share of width and height, to each side.
        zoom: factor on sizes, from `1 - zoom` to `1 + zoom`.
        rotation_deg: in whole degrees, to each side.
        contrast: factor on differences from the mean of the image, from `1 - c` to `1 + c`.
        noise: standard deviation as a share of the full scale, the same for all channels.
        erase: share of the image under one even rectangle (Zhong et al. 2017).
    """

    shift: float = 0.0
    zoom: float = 0.0
    rotation_deg: int = 0
    contrast: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    @classmethod
    def of(cls, config: RunConfig) -> Augmentation:
        """Return what a configuration asks for."""
        return cls(**{name: getattr(config, f"augment_{name}") for name in cls.__slots__})

    @property
    def moves(self) -> bool:
        """Return whether pixels change their places."""
        return bool(self.shift or self.zoom or self.rotation_deg)


def augmenter(amounts: Augmentation, *, seed: int, n: int) -> Augmenter | None:
    """Return what changes training scenes; None if nothing does.

    Args:
        amounts: the greatest.
        seed: of all draws.
        n: number of training examples.
    """
    return None if amounts == Augmentation() else Augmenter(amounts, seed=seed, n=n)


class Augmenter:
    """Changes training scenes, the same way every time it is asked.

    Args:
        amounts: the greatest.
        seed: of all draws.
        n: number of training examples.
    """

    def __init__(self, amounts: Augmentation, *, seed: int, n: int) -> None:
        self._amounts, self._seed, self._n = amounts, seed, n
        self._drawn: tuple[int, NDArray[np.uint64]] | None = None

    def __call__(self, scenes: Scenes, epoch: int) -> Scenes:
        """Return scenes as they are trained on in an epoch; their factors are no longer known.

        Args:
            scenes: images uint8 `[n, h, w]` or `[n, h, w, channels]`.
            epoch: from 1.
        """
        drawn = self._words(epoch)

        def changed(rows: NDArray[np.int64]) -> Scenes:
            return self._changed(
                Scenes(
                    ids=scenes.ids[rows], images=scenes.images[rows], labels=scenes.labels[rows],
                    boxes=scenes.boxes[rows],
                ), drawn[scenes.ids[rows]],
            )  # fmt: skip

        return in_pieces(changed, np.arange(len(scenes.ids)))

    def _changed(self, scenes: Scenes, drawn: NDArray[np.uint64]) -> Scenes:
        amounts = self._amounts
        images, boxes = scenes.images, scenes.boxes
        if amounts.moves:
            motion = _motion(amounts, drawn[:, :2], images.shape[1:3])
            boxes, motion = moved_boxes(boxes, motion, images.shape[1:3])
            images = moved_images(images, motion)
        pale, noisy = halves(drawn[:, 2])
        if amounts.contrast:
            images = paler(images, _UNIT + _either(pale, amounts.contrast))
        if amounts.noise:
            images = noisier(images, _upto(noisy, amounts.noise), drawn[:, 3])
        if amounts.erase:
            most = _upto(halves(drawn[:, 4])[0], amounts.erase)
            erase(images, boxes, most, drawn[:, 4:])
        return replace(scenes, images=images, boxes=boxes)

    def _words(self, epoch: int) -> NDArray[np.uint64]:
        """Return the words of all examples; an epoch is drawn at once and kept."""
        if self._drawn is None or self._drawn[0] != epoch:
            drawn = words(self._n * _WORDS, "augment", self._seed, epoch)
            self._drawn = (epoch, drawn.reshape(self._n, _WORDS))
        return self._drawn[1]


def paler(images: NDArray[np.uint8], factors: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return images with differences from their mean multiplied; cut at black and white.

    Args:
        images: uint8 `[n, ...]`.
        factors: int64 `[n]`, in 4096ths.
    """
    n = len(images)
    flat = images.reshape(n, -1)
    mean = flat.sum(axis=1, dtype=np.int64) // flat.shape[1]
    apart = np.arange(256) - mean[:, None]
    changed = mean[:, None] + ((apart * factors[:, None] + _UNIT // 2) >> 12)
    table = np.clip(changed, 0, 255).astype(np.uint8).reshape(-1)
    at = flat + np.arange(n, dtype=np.int32)[:, None] * np.int32(256)
    return np.asarray(table.take(at).reshape(images.shape), np.uint8)


def noisier(
    images: NDArray[np.uint8], amounts: NDArray[np.int64], drawn: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    """Return images with nearly normal noise; cut at black and white.

    Args:
        images: uint8 `[n, h, w, ...]`.
        amounts: int64 `[n]`, standard deviations in 4096ths of the full scale.
        drawn: uint64 `[n]`, random words.
    """
    height, width = images.shape[1:3]
    bank = _noise(256 + -(-max(height, width) // 256) * 256)
    windows = sliding_window_view(bank, (height, width))
    y, x = (below(half, 256) for half in halves(drawn))
    noise = windows[y, x] * amounts.astype(np.int32)[:, None, None]
    noise *= _NOISE_SCALE
    noise >>= _NOISE_SHIFT
    noise = noise.reshape(*noise.shape, *[1] * (images.ndim - 3))
    return np.asarray(np.clip(images + noise, 0, 255), np.uint8)


def erase(
    images: NDArray[np.uint8], boxes: NDArray[np.float32], amounts: NDArray[np.int64],
    drawn: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Cover a rectangle of each image, between half and twice as high as wide, with one level.

    One that would cover more than half of the true box is left out: nobody could find the rest.

    Args:
        images: uint8 `[n, h, w, ...]`, changed in place.
        boxes: float32 `[n, 4]`, the true ones.
        amounts: int64 `[n]`, shares of the image in 4096ths.
        drawn: uint64 `[n, 3]`, random words.
    """
    height, width = images.shape[1:3]
    area = amounts * (height * width) // _UNIT
    (_, shape), (down, across) = halves(drawn[:, 0]), halves(drawn[:, 1])
    ratio = 128 + below(shape, 385)  # of height to width, in 256ths
    # IEEE rounds roots correctly: the same everywhere.
    high = np.clip(np.sqrt(area * ratio / 256).astype(np.int64), 1, height)
    wide = np.minimum(area // high, width)
    top, left = below(down, height - high + 1), below(across, width - wide + 1)
    level = below(halves(drawn[:, 2])[0], 256)
    # IEEE double precision: the same everywhere.
    true = boxes * np.array([width, height, width, height], np.float64)
    common = np.minimum(true[:, 2:], np.stack([left + wide, top + high], axis=1))
    common = common - np.maximum(true[:, :2], np.stack([left, top], axis=1))
    hidden = np.prod(np.maximum(common, 0), axis=1)
    seen = 2 * hidden <= np.prod(true[:, 2:] - true[:, :2], axis=1)
    for i in np.flatnonzero((wide > 0) & seen):
        images[i, top[i] : top[i] + high[i], left[i] : left[i] + wide[i]] = level[i]


def _motion(amounts: Augmentation, drawn: NDArray[np.uint64], shape: tuple[int, int]) -> Motion:
    (x, y), (zoom, angle) = halves(drawn[:, 0]), halves(drawn[:, 1])
    height, width = shape
    return Motion.of(
        zoom=_UNIT + _either(zoom, amounts.zoom),
        degrees=below(angle, 2 * amounts.rotation_deg + 1) - amounts.rotation_deg,
        x=_either(x, amounts.shift) * width * 32 // _UNIT,
        y=_either(y, amounts.shift) * height * 32 // _UNIT,
    )


def _upto(drawn: NDArray[np.uint64], most: float) -> NDArray[np.int64]:
    return below(drawn, round(most * _UNIT) + 1)


def _either(drawn: NDArray[np.uint64], most: float) -> NDArray[np.int64]:
    return below(drawn, 2 * round(most * _UNIT) + 1) - round(most * _UNIT)


@functools.lru_cache(maxsize=2)
def _noise(side: int) -> NDArray[np.int32]:
    """Return sums of four random bytes around 0 (Irwin-Hall); int32 `[side, side]`."""
    drawn = words(side * side // 2, "augment noise").astype("<u8").view(np.uint8)
    sums = drawn.reshape(side, side, 4).sum(axis=2, dtype=np.int32)
    return np.asarray(sums - 510, np.int32)
