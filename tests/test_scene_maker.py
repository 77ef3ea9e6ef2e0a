"""Scenes of presets: their bytes for ever, their exact truth, and what they depend on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backgrounds import BRIGHTEST
from harness.config import RunConfig
from harness.data import load
from harness.digits import source
from harness.resample import inked
from harness.scene_data import SceneData
from harness.scene_factors import draw_factors
from harness.scene_maker import INK, SceneMaker
from harness.scene_spec import BACKGROUNDS, PLAIN, PRESETS, SceneSpec
from harness.scenes import FACTORS, Scenes

POOL = source().read_train()
ROWS = np.arange(1000, 1400)
IDS = np.arange(300)


def maker(spec: SceneSpec, n: int = 300, *, seed: int = 7, split: str = "train") -> SceneMaker:
    return SceneMaker(spec, (POOL.images, POOL.labels), ROWS, n, data_seed=seed, split=split)


@functools.cache
def made(spec: SceneSpec) -> Scenes:
    return maker(spec).make(2, IDS)


def digest(scenes: Scenes) -> str:
    arrays = [scenes.images, scenes.labels.astype("<i8"), scenes.boxes.astype("<f4")]
    arrays += [scenes.factors[name].astype("<f4") for name in FACTORS]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:32]


GOLDEN = {
    "plain": [
        "e25620d7c53ae99be1fbf6c741aeffa2",
        "1ad1c765ea7f395b3c4a69b4d4aa1f2a",
        "dd02ab03908d48bda4e22a1a9ccae827",
    ],
    "scaled": [
        "005f5dfed6867b730cb2e536fab573b4",
        "7a3d07cbf41e73698797a9e927698e98",
        "70d4c934a6988d6285c61777bb8605a4",
    ],
    "cluttered": [
        "aba2d9c70d297b48a123cf8e472f382f",
        "e5869d826a8e6bbb80ba82b93c41ba58",
        "a34b38ebe6853c96c41746c7a79332cf",
    ],
    "hard": [
        "af48f3fa66e328a1f230beca50fce9f4",
        "3e67a2a76b4184bbc915af528a2aabd8",
        "d65770caae2f0f4ae3fea74460529630",
    ],
}
"""Training scenes of epoch 1, validation and test scenes of the bundled digits."""


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_same_bytes_for_ever(name: str) -> None:
    data = load(RunConfig(dataset="digits", scene=name), None, say=pytest.fail)  # type: ignore[arg-type]
    splits = data.train_scenes(1, np.arange(data.n_train)), data.validation(), data.open_test()
    assert [digest(scenes) for scenes in splits] == GOLDEN[name]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 299), min_size=1, max_size=20), st.sampled_from(sorted(PRESETS)))
def test_an_example_depends_on_nothing_but_itself(ids: list[int], name: str) -> None:
    every, chosen = made(PRESETS[name]), np.array(ids, np.int64)
    # Of a smaller subset, in another order, in batches of any size.
    some = maker(PRESETS[name], n=max(ids) + 1).make(2, chosen)
    assert (some.images == every.images[chosen]).all()
    assert (some.boxes == every.boxes[chosen]).all()
    for factor in FACTORS:
        assert (some.factors[factor] == every.factors[factor][chosen]).all()


@pytest.mark.parametrize("change", [{"seed": 8}, {"split": "test"}])
def test_seed_split_and_epoch_redraw_every_factor(change: dict[str, object]) -> None:
    spec, one = PRESETS["hard"], made(PRESETS["hard"])
    for other in (maker(spec, **change).make(2, IDS), maker(spec).make(3, IDS)):  # type: ignore[arg-type]
        assert (other.labels == one.labels).all()
        for factor in FACTORS:
            assert (other.factors[factor] != one.factors[factor]).any(), factor


def test_turning_one_knob_leaves_the_draws_of_the_others() -> None:
    hard = PRESETS["hard"]
    for changes in ({"clutter": 2}, {"occlusion_percent": 0}, {"contrast_percent": (90, 100)},
                    {"background": "noise"}, {"canvas_px": 90}):  # fmt: skip
        other = made(dataclasses.replace(hard, **changes))  # type: ignore[arg-type]
        for factor in ("digit_px", "rotation_deg"):
            assert (other.factors[factor] == made(hard).factors[factor]).all()


def test_factors_cover_their_ranges_evenly() -> None:
    factors = draw_factors(PRESETS["hard"], 20_000, data_seed=1, split="train", epoch=1)
    for values, low, high in (
        (factors.digit_px, 14, 42), (factors.rotation_deg, -30, 30),
        (factors.contrast_percent, 40, 100), (factors.clutter, 0, 8),
        (factors.background, 0, 3), (factors.occlusion_percent, 0, 30),
    ):  # fmt: skip
        counts = np.bincount(values - low, minlength=high - low + 1)
        assert len(counts) == high - low + 1
        # Five standard deviations of a binomial count.
        mean = 20_000 / len(counts)
        assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)


def test_the_general_way_makes_plain_scenes_too() -> None:
    general = maker(PLAIN)
    general._pasted = False
    assert digest(general.make(2, IDS)) == digest(made(PLAIN))


def edges_of(scenes: Scenes) -> np.ndarray:
    """Return the boxes in pixels, which they lie on exactly."""
    edges = scenes.boxes * scenes.images.shape[1]
    assert np.abs(edges - np.rint(edges)).max() < 1e-4
    return np.rint(edges).astype(int)


@pytest.mark.parametrize("canvas", [75, 96])
def test_ink_boxes_are_the_tightest_around_inked_pixels(canvas: int) -> None:
    spec = dataclasses.replace(PRESETS["scaled"], rotation_deg=40, canvas_px=canvas)
    scenes = made(spec)
    for image, (left, top, right, bottom) in zip(scenes.images, edges_of(scenes), strict=True):
        rows, columns = np.nonzero(image >= INK)
        assert (left, right) == (columns.min(), columns.max() + 1)
        assert (top, bottom) == (rows.min(), rows.max() + 1)


def test_the_box_is_that_of_the_whole_digit_whatever_hides_it() -> None:
    hard = PRESETS["hard"]
    bare = dataclasses.replace(hard, background="black", contrast_percent=(100, 100), clutter=0,
                               occlusion_percent=0)  # fmt: skip
    assert (made(hard).boxes == made(bare).boxes).all()


def test_patch_boxes_are_around_the_turned_patch() -> None:
    spec = dataclasses.replace(PRESETS["scaled"], box_fit="patch", rotation_deg=30)
    scenes = made(spec)
    angle = np.radians(scenes.factors["rotation_deg"].astype(float))
    reach = scenes.factors["digit_px"] * (np.abs(np.cos(angle)) + np.abs(np.sin(angle)))
    edges = edges_of(scenes)
    sides = edges[:, 2:] - edges[:, :2]
    assert (sides[:, 0] == sides[:, 1]).all()
    # Rounded up to whole pixels; a sine is known to 3e-5, times 42.
    assert ((sides[:, 0] - reach > -0.01) & (sides[:, 0] - reach < 1.01)).all()
    centres = (edges[:, :2] + edges[:, 2:]) / 2 / 75
    assert np.allclose(centres.T, [scenes.factors["x"], scenes.factors["y"]], atol=1e-6)


def test_a_digit_without_ink_has_the_box_of_its_patch() -> None:
    blank = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64)
    spec = dataclasses.replace(PRESETS["hard"], digit_px=(28, 28), rotation_deg=0)
    one = SceneMaker(spec, blank, np.arange(1), 1, data_seed=0, split="train")
    scenes = one.make(1, np.arange(1))
    left, top, right, bottom = edges_of(scenes)[0]
    assert (right - left, bottom - top) == (28, 28)
    assert scenes.factors["occlusion"].tolist() == [0]


def test_the_hidden_share_is_that_of_the_pixels_under_the_bar() -> None:
    spec = dataclasses.replace(PRESETS["scaled"], occlusion_percent=60)
    hidden, bare = made(spec), made(dataclasses.replace(spec, occlusion_percent=0))
    shares = hidden.factors["occlusion"]
    assert shares.max() <= 0.6
    assert (shares > 0.2).mean() > 0.3
    for image, whole, share in zip(hidden.images, bare.images, shares, strict=True):
        ink = whole.astype(int)
        levels = np.unique(image[image != whole])
        # A bar of one level; it may be that of a few inked pixels beneath it, which stay.
        assert len(levels) == (1 if share else 0)
        if share:
            under = image == levels[0]
            assert ink[image != whole].sum() <= share * ink.sum() + 0.5
            assert ink[under].sum() >= share * ink.sum() - 0.5


def test_ink_is_brighter_than_what_it_lies_on() -> None:
    spec = dataclasses.replace(PRESETS["hard"], clutter=0, occlusion_percent=0)
    scenes, black = made(spec), made(dataclasses.replace(spec, background="black"))
    contrast = scenes.factors["contrast"]
    codes = scenes.factors["background"].astype(int)
    assert set(codes.tolist()) == set(range(len(BACKGROUNDS)))
    for image, digit, share, code in zip(
        scenes.images, black.images, contrast, codes, strict=True
    ):
        background = image[digit == 0]
        assert background.max() <= (BRIGHTEST if code else 0)
        if code:
            assert len(np.unique(background)) > 5
        full = digit == np.rint(255 * share)
        # Where ink covers all: (255 - background) * contrast above it, at least 159 * contrast.
        assert (image[full].astype(float) >= 159 * share - 1).all()


def test_clutter_is_cut_from_digits_of_the_split() -> None:
    """Only one digit, all of one grey level, may lend: everything drawn has that level."""
    grey = np.full((3, 28, 28), 50, np.uint8)
    grey[0] = 0  # the digit of the scene itself
    spec = dataclasses.replace(PLAIN, clutter=5)
    lent = SceneMaker(spec, (grey, np.zeros(3, np.int64)), np.array([0, 1]), 1, data_seed=0,
                      split="train")  # fmt: skip
    counts = set()
    for epoch in range(1, 40):
        scenes = lent.make(epoch, np.arange(1))
        drawn = scenes.images[0]
        # Overlapping pieces are drawn one over the other: 50, then 50 + 205 * 50 / 255 = 90, ...
        assert set(np.unique(drawn).tolist()) <= {0, 50, 90, 122, 148, 169}
        count = int(scenes.factors["clutter"][0])
        # Donor 0 is black: half of the pieces leave nothing.
        assert (drawn > 0).sum() <= count * 12 * 12
        counts.add(count)
    assert counts == set(range(6))


def test_training_scenes_move_and_the_others_stand_still() -> None:
    data = SceneData(source(), scene=PRESETS["hard"])
    assert digest(data.validation()) == digest(data.validation())
    assert digest(data.train_scenes(1, IDS)) != digest(data.train_scenes(2, IDS))
    assert data.image_px == 75
    assert SceneData(source(), scene=dataclasses.replace(PLAIN, canvas_px=64)).image_px == 64


def test_what_a_digit_covers_is_what_is_recorded() -> None:
    scenes = made(PRESETS["scaled"])
    sides = scenes.factors["digit_px"].astype(int).tolist()
    ink = inked(POOL.images[ROWS[:300]], sides, [0] * 300)
    sums = np.add.reduceat(ink.coverage.astype(np.int64), ink.starts)
    assert (scenes.images.reshape(300, -1).sum(axis=1) == sums).all()
