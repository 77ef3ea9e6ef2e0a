"""The factors of each scene of a split in an epoch, drawn by its preset.

Each factor has a stream of random words of its own, with one row for each example: the factors of
example `i` do not depend on how many there are, and turning one knob leaves the others' draws.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from harness.random_bits import below, halves, words
from harness.scene_spec import BACKGROUNDS, SceneSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneFactors:
    """What makes each scene, row by row; words are random and not used up yet.

    Attributes:
        digit_px, rotation_deg, contrast_percent, clutter: int64 `[n]`.
        background: int64 `[n]`, places in `BACKGROUNDS`.
        occlusion_percent: int64 `[n]`, greatest share of the ink that may be hidden.
        place, background_word: uint64 `[n]`.
        clutter_words: uint64 `[n, most, 3]`.
        occlusion_words: uint64 `[n, 2]`.
    """

    digit_px: NDArray[np.int64]
    rotation_deg: NDArray[np.int64]
    contrast_percent: NDArray[np.int64]
    clutter: NDArray[np.int64]
    background: NDArray[np.int64]
    occlusion_percent: NDArray[np.int64]
    place: NDArray[np.uint64]
    background_word: NDArray[np.uint64]
    clutter_words: NDArray[np.uint64]
    occlusion_words: NDArray[np.uint64]

    def take(self, ids: NDArray[np.int64]) -> SceneFactors:
        """Return the rows of some examples."""
        return SceneFactors(**{f.name: getattr(self, f.name)[ids] for f in fields(self)})


def draw_factors(
    spec: SceneSpec, n: int, *, data_seed: int, split: str, epoch: int
) -> SceneFactors:
    """Return the factors of the first `n` examples of a split in an epoch."""
    key = (data_seed, split, epoch)
    size, angle = halves(words(n, "size and angle", *key))
    contrast, kind = halves(words(n, "contrast and background", *key))
    amounts = words(3 * n, "amounts", *key).reshape(n, 3)
    fragments, occlusion = halves(amounts[:, 0])
    pieces = [words(3 * n, "fragment", k, *key).reshape(n, 1, 3) for k in range(spec.clutter)]
    mixed = spec.background == "mixed"
    return SceneFactors(
        digit_px=_within(size, *spec.digit_px),
        rotation_deg=_within(angle, -spec.rotation_deg, spec.rotation_deg),
        contrast_percent=_within(contrast, *spec.contrast_percent),
        clutter=_within(fragments, 0, spec.clutter),
        background=(
            below(kind, len(BACKGROUNDS)) if mixed
            else np.full(n, BACKGROUNDS.index(spec.background))
        ),
        occlusion_percent=_within(occlusion, 0, spec.occlusion_percent),
        place=words(n, "places", *key),
        background_word=words(n, "background", *key),
        clutter_words=np.concatenate([np.empty((n, 0, 3), np.uint64), *pieces], axis=1),
        occlusion_words=amounts[:, 1:],
    )  # fmt: skip


def _within(drawn: NDArray[np.uint64], low: int, high: int) -> NDArray[np.int64]:
    return low + below(drawn, high - low + 1)
