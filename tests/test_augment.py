"""Augmentation: what each change does, and that it belongs to seed, epoch and example."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.augment import Augmentation, Augmenter, erase, noisier, paler
from harness.config import RunConfig
from harness.data import load
from harness.random_bits import words
from harness.scenes import Scenes

ALL = Augmentation(
    shift=0.2, zoom=0.2, rotation_deg=20, contrast=0.4, noise=0.1, erase=0.1
)  # fmt: skip
RNG = np.random.default_rng(11)
N = 40


def scenes(shape: tuple[int, ...] = (48, 64)) -> Scenes:
    low = RNG.random((N, 2), np.float32) * np.float32(0.6)
    boxes = np.concatenate([low, low + np.float32(0.3)], axis=1)
    images = RNG.integers(0, 256, (N, *shape), np.uint8)
    return Scenes(ids=np.arange(N), images=images, labels=np.zeros(N, np.int64), boxes=boxes)


SOME = scenes()


def rows(of: Scenes, ids: np.ndarray) -> Scenes:
    return Scenes(ids=ids, images=of.images[ids], labels=of.labels[ids], boxes=of.boxes[ids])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=10))
def test_an_example_is_changed_alike_in_every_batch(ids: list[int]) -> None:
    chosen = np.array(ids, np.int64)
    every = Augmenter(ALL, seed=1, n=N)(SOME, 3)
    some = Augmenter(ALL, seed=1, n=max(ids) + 1)(rows(SOME, chosen), 3)
    assert (some.images == every.images[chosen]).all()
    assert (some.boxes == every.boxes[chosen]).all()


def test_seed_and_epoch_change_what_is_done() -> None:
    one = Augmenter(ALL, seed=1, n=N)
    first = one(SOME, 3)
    for other in (one(SOME, 4), Augmenter(ALL, seed=2, n=N)(SOME, 3)):
        assert (other.images != first.images).any(axis=(1, 2)).all()
        assert (other.boxes != first.boxes).any(axis=1).mean() > 0.9
    assert (one(SOME, 3).images == first.images).all()


@pytest.mark.parametrize("shape", [(9, 33), (75, 75), (31, 20, 3)])
def test_any_size_and_colours_can_be_changed(shape: tuple[int, ...]) -> None:
    before = scenes(shape)
    kept = before.images.copy()
    after = Augmenter(ALL, seed=0, n=N)(before, 1)
    assert (after.images.shape, after.images.dtype) == (before.images.shape, np.uint8)
    assert (before.images == kept).all(), "the images that came are left as they are"
    low, high = after.boxes[:, :2], after.boxes[:, 2:]
    assert ((low >= 0) & (high <= 1) & (high - low > 0.1)).all()


def test_only_what_moves_pixels_moves_boxes() -> None:
    still = Augmentation(contrast=0.5, noise=0.2, erase=0.2)
    found = Augmenter(still, seed=0, n=N)(SOME, 1)
    assert (found.boxes == SOME.boxes).all()
    assert (found.images != SOME.images).any()


def test_contrast_about_the_mean_by_hand() -> None:
    images = np.array([[[0, 100, 200]], [[10, 100, 250]]], np.uint8)
    # About 100 times 1/2; about 360 // 3 = 120 times 2: 120 - 220 and 120 + 260 are cut.
    found = paler(images, np.array([2048, 8192]))
    assert found.tolist() == [[[50, 100, 150]], [[0, 80, 255]]]


def test_noise_has_the_standard_deviation_it_was_asked_for() -> None:
    grey = np.full((64, 50, 300), 128, np.uint8)
    amounts = np.full(64, 4096 // 10)
    noise = noisier(grey, amounts, words(64, "test")).astype(float) - 128
    # A tenth of 255 with an error of 25.5 / sqrt(2 * 960,000), rounded downwards by 1/2.
    assert noise.std() == pytest.approx(25.5, rel=0.02)
    assert noise.mean() == pytest.approx(-0.5, abs=0.3)
    assert (noisier(grey, np.zeros(64, np.int64), words(64, "test")) == grey).all()


def test_an_erased_rectangle_is_no_larger_than_allowed_and_leaves_half_of_the_box() -> None:
    n, shape = 400, (40, 50)
    images = np.zeros((n, *shape), np.uint8)
    marks = np.indices(shape).sum(axis=0).astype(np.uint8) % 2 + 1  # 1 or 2, chequered
    images[:] = marks
    boxes = np.tile(np.float32([0.2, 0.25, 0.6, 0.75]), (n, 1))  # 20 x 20 px
    drawn = words(3 * n, "test").reshape(n, 3)
    erase(images, boxes, np.full(n, 4096 // 5), drawn)
    shares = []
    for image in images:
        found, columns = np.nonzero(image != marks)
        if not len(found):
            continue
        area = image[found.min() : found.max() + 1, columns.min() : columns.max() + 1]
        assert len(np.unique(area)) == 1
        assert area.size <= 0.2 * 40 * 50
        assert 0.4 < area.shape[0] / area.shape[1] < 2.2
        hidden = (image != marks)[10:30, 10:30].sum()
        assert hidden <= 200
        shares.append(area.size / (40 * 50))
    assert len(shares) > 200
    assert np.median(shares) > 0.17


def test_training_scenes_alone_are_changed() -> None:
    plain = load(RunConfig(dataset="digits"), None, say=pytest.fail)
    config = RunConfig(dataset="digits", augment_zoom=0.2, augment_noise=0.05)
    changed = load(config, None, say=pytest.fail)
    ids = np.arange(20)
    assert (plain.train_scenes(1, ids).images != changed.train_scenes(1, ids).images).any()
    assert (plain.validation().images == changed.validation().images).all()
    assert (plain.open_test().boxes == changed.open_test().boxes).all()
    assert plain.identity() == changed.identity()
    assert changed.train_scenes(1, ids).factors == {}


def test_golden_bytes() -> None:
    """The bytes must not change: not with a release of NumPy, nor with a machine."""
    data = load(
        RunConfig(
            dataset="digits", scene="hard", seed=3, augment_shift=0.2, augment_zoom=0.3,
            augment_rotation_deg=40, augment_contrast=0.5, augment_noise=0.1, augment_erase=0.2,
        ), None, say=pytest.fail,
    )  # fmt: skip
    found = data.train_scenes(2, np.arange(200))
    content = found.images.tobytes() + found.boxes.astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest()[:32] == "3744aeb9345b7e028f25f901b6f93dd7"
