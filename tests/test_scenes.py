import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chisquare

from harness.random_bits import words
from harness.scenes import CANVAS_PX, DIGIT_PX, PLACES, compose, places


def digits_of(n: int) -> np.ndarray:
    """Return n different digits without any random numbers: pixel = (31 i + 7 row + col) % 256."""
    i, row, column = np.ogrid[:n, :DIGIT_PX, :DIGIT_PX]
    return ((31 * i + 7 * row + column) % 256).astype(np.uint8)


def sha256(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_first_places_by_hand():
    # test_random_bits proves the words; the upper half times 48 over 2^32 is x, the lower half y.
    expected = [
        [(w >> 32) * 48 // 2**32, (w & 0xFFFFFFFF) * 48 // 2**32]
        for w in words(2, "places", 0, "train", 1).tolist()
    ]
    assert places(2, data_seed=0, split="train", epoch=1).tolist() == expected


def test_places_are_uniform_and_x_is_independent_of_y():
    corners = places(PLACES**2 * 20, data_seed=3, split="train", epoch=1)
    joint = np.zeros((PLACES, PLACES))
    np.add.at(joint, (corners[:, 0], corners[:, 1]), 1)
    assert corners.min() == 0
    assert corners.max() == 47
    for counts in (joint.sum(axis=0), joint.sum(axis=1), joint.ravel()):
        assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(
    "other",
    [
        {"data_seed": 1, "split": "train", "epoch": 1},
        {"data_seed": 0, "split": "validation", "epoch": 1},
        {"data_seed": 0, "split": "train", "epoch": 2},
    ],
)
def test_each_part_of_the_key_moves_the_digits(other):
    # 5,000 independent pairs agree about 5000 / 48^2 = 2 times.
    same = places(5000, data_seed=0, split="train", epoch=1) == places(5000, **other)
    assert same.all(axis=1).sum() < 15


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 2**31 - 1), st.integers(0, 9))
def test_place_of_an_example_does_not_depend_on_how_many_there_are(n, more, seed, epoch):
    key = {"data_seed": seed, "split": "train", "epoch": epoch}
    assert (places(n + more, **key)[:n] == places(n, **key)).all()


@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.integers(0, 47)))
def test_compose_agrees_with_pasting_pixel_by_pixel(corners):
    n = len(corners)
    digits = digits_of(n)
    ids, labels = np.arange(n) + 5, np.arange(n) % 10
    scenes = compose(ids, digits, labels, corners)
    assert scenes.images.dtype == np.uint8
    assert scenes.images.shape == (n, CANVAS_PX, CANVAS_PX)
    for image, digit, (x, y) in zip(scenes.images, digits, corners, strict=True):
        for row in range(CANVAS_PX):
            inside = y <= row < y + DIGIT_PX
            left = [0] * x + digit[row - y].tolist() if inside else []
            assert image[row].tolist() == left + [0] * (CANVAS_PX - len(left))
    assert scenes.ids is ids
    assert scenes.labels is labels


def test_boxes_of_the_corner_cases_by_hand():
    # x = 0, y = 47: [0, 47, 28, 75] / 75; x = 15, y = 30: [15, 30, 43, 58] / 75
    corners, ids = np.array([[0, 47], [15, 30]]), np.arange(2)
    boxes = compose(ids, digits_of(2), ids, corners).boxes
    assert boxes.dtype == np.float32
    exact = [[0, 47 / 75, 28 / 75, 1], [0.2, 0.4, 43 / 75, 58 / 75]]
    assert (boxes == np.array(exact).astype(np.float32)).all()


def test_golden_bytes():
    """The bytes of scenes must not change: not with a release of NumPy, nor with a machine."""
    corners = places(100, data_seed=7, split="train", epoch=3)
    scenes = compose(np.arange(100), digits_of(100), np.arange(100) % 10, corners)
    assert (
        sha256(corners.astype("<i8"))
        == "4209894f7aba182c68b3ea873f4682c49675ff9d35d457a2d959b3534d39b8e2"
    )
    assert (
        sha256(scenes.images) == "119f7cfc28338565e8ecff91ec4b5238fc181c6fcefd46cd713237568c78fe9b"
    )
    assert (
        sha256(scenes.boxes.astype("<f4"))
        == "56f156761aba8ebbd4ccd8948f548d8b79682208b8689ac9afe515ea02e6e2cb"
    )
