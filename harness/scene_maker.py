"""Scenes of one split by a preset: background, clutter, the digit over both, a bar over the digit.

Every step is done in whole numbers from words of a counter-based generator, and keeps the exact
truth: where the digit is, hidden or not, and each factor that made the scene.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backgrounds import paint
from harness.blend import blend
from harness.clutter import scatter
from harness.occlusion import hide
from harness.resample import Inked, inked
from harness.scene_factors import SceneFactors, draw_factors
from harness.scene_spec import SceneSpec
from harness.scenes import Scenes, as_fractions, compose, corners_of, in_pieces

INK = 64
"""A pixel that a digit covers by 64 of 255 or more is inked: a quarter, about what is seen as part
of a stroke. The box around the ink is the tightest around these pixels."""


class SceneMaker:
    """Makes the scenes of one split.

    Args:
        spec: the factors.
        digits: uint8 `[k, m, m]` and labels int64 `[k]` of a pool.
        rows: int64, those of the split in the order of its ids; all of them may lend clutter.
        n: how many of them are examples.
        data_seed: seed of all factors.
        split: its name.
    """

    def __init__(
        self, spec: SceneSpec, digits: tuple[NDArray[np.uint8], NDArray[np.int64]],
        rows: NDArray[np.int64], n: int, *, data_seed: int, split: str,
    ) -> None:  # fmt: skip
        self._spec = spec
        self._images, self._labels = digits
        self._rows, self._n = rows, n
        self._key = data_seed, split
        self._drawn: tuple[int, SceneFactors] | None = None
        # Then nothing but the place is drawn, and pasting is several times as fast.
        self._pasted = replace(
            spec, name="plain", canvas_px=75, digit_px=(28, 28)
        ) == SceneSpec() and set(spec.digit_px) == {self._images.shape[1]}

    def make(self, epoch: int, ids: NDArray[np.int64]) -> Scenes:
        """Return scenes as they stand in an epoch, in the order of `ids`."""
        every = self._factors(epoch)
        if self._pasted:
            return self._pasted_scenes(ids, every)
        return in_pieces(lambda some: self._composed_scenes(some, every), ids)

    def _pasted_scenes(self, ids: NDArray[np.int64], every: SceneFactors) -> Scenes:
        factors, rows, canvas = every.take(ids), self._rows[ids], self._spec.canvas_px
        corners = corners_of(factors.place, canvas - self._images.shape[1] + 1)
        scenes = compose(ids, self._images[rows], self._labels[rows], corners, canvas)
        hidden = np.zeros(len(ids), np.float32)
        return replace(scenes, factors=_known(factors, scenes.boxes, hidden))

    def _composed_scenes(self, ids: NDArray[np.int64], every: SceneFactors) -> Scenes:
        factors, rows = every.take(ids), self._rows[ids]
        canvas, percent = self._spec.canvas_px, factors.contrast_percent
        images = np.zeros((len(ids), canvas, canvas), np.uint8)
        paint(images, factors.background, factors.background_word)
        donors = self._images, self._rows
        scatter(images, factors.clutter, factors.clutter_words, donors, percent)
        ink = inked(self._images[rows], factors.digit_px.tolist(), factors.rotation_deg.tolist())
        corners = corners_of(factors.place, canvas - ink.side_px + 1)
        _write(images, ink, corners, percent)
        hidden = np.zeros(len(ids), np.float32)
        if self._spec.occlusion_percent:
            hidden = hide(images, ink, corners, factors.occlusion_percent, factors.occlusion_words)
        edges = np.concatenate([corners, corners + ink.side_px[:, None]], axis=1)
        if self._spec.box_fit == "ink":
            edges = ink_edges(ink, corners)
        boxes = as_fractions(edges, canvas)
        known = _known(factors, boxes, hidden)
        return Scenes(
            ids=ids, images=images, labels=self._labels[rows], boxes=boxes, factors=known
        )

    def _factors(self, epoch: int) -> SceneFactors:
        """Return the factors of all examples; drawing an epoch takes longer than a batch."""
        if self._drawn is None or self._drawn[0] != epoch:
            data_seed, split = self._key
            drawn = draw_factors(
                self._spec, self._n, data_seed=data_seed, split=split, epoch=epoch
            )
            self._drawn = (epoch, drawn)
        return self._drawn[1]


def ink_edges(ink: Inked, corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tightest edges around inked pixels, in pixels of the canvas; int64 `[n, 4]`.

    A digit without any such pixel keeps the box of its patch.
    """
    dark = ink.coverage < INK
    edges = []
    for at in (ink.x, ink.y):
        low = np.minimum.reduceat(np.where(dark, np.int32(2**30), at), ink.starts)
        high = np.maximum.reduceat(np.where(dark, np.int32(-1), at), ink.starts) + 1
        none = high == 0
        edges.append((np.where(none, 0, low), np.where(none, ink.side_px, high)))
    (left, right), (top, bottom) = edges
    return np.stack([left, top, right, bottom], axis=1) + np.tile(corners, 2)


def _write(
    images: NDArray[np.uint8], ink: Inked, corners: NDArray[np.int64], percent: NDArray[np.int64]
) -> None:
    """Draw digits over what is there."""
    n, canvas = images.shape[:2]
    first = (np.arange(n) * canvas + corners[:, 1]) * canvas + corners[:, 0]
    at = np.repeat(first, ink.counts) + ink.y * canvas + ink.x
    flat = images.reshape(-1)
    flat[at] = blend(flat[at], ink.coverage, np.repeat(percent, ink.counts))


def _known(
    factors: SceneFactors, boxes: NDArray[np.float32], hidden: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Return the factors by the names in `harness.scenes.FACTORS`."""
    half = np.float32(0.5)
    known: dict[str, NDArray[Any]] = {
        "digit_px": factors.digit_px,
        "rotation_deg": factors.rotation_deg,
        "contrast": factors.contrast_percent / 100,
        "clutter": factors.clutter,
        "occlusion": hidden,
        "background": factors.background,
        "x": (boxes[:, 0] + boxes[:, 2]) * half,
        "y": (boxes[:, 1] + boxes[:, 3]) * half,
    }
    return {name: values.astype(np.float32) for name, values in known.items()}
