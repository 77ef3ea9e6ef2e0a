from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.small_images import grey, letterbox, weights

sides = st.integers(1, 90)


@given(sides, sides)
def test_each_new_pixel_is_one_whole(before, after):
    given_ = weights(before, after)
    assert given_.shape == (after, before)
    assert (given_ >= 0).all()
    assert len(set(given_.sum(axis=1).tolist())) == 1
    assert (given_ == given_[::-1, ::-1]).all()  # neither end is preferred


@given(st.integers(2, 90), sides)
def test_shrinking_gives_each_old_pixel_the_same_weight(before, after):
    if after < before:
        assert len(set(weights(before, after).sum(axis=0).tolist())) == 1


def test_shrinking_by_hand():
    # 3 pixels onto 2: each new one is 1.5 old ones long, so 2 and 1 halves.
    assert weights(3, 2).tolist() == [[2, 1, 0], [0, 1, 2]]
    assert weights(4, 2).tolist() == [[2, 2, 0, 0], [0, 0, 2, 2]]


@given(st.integers(2, 28))
def test_enlarging_agrees_with_interpolation_in_fractions(before):
    rows = weights(before, 28)
    for j, row in enumerate(rows):
        at = Fraction(2 * j + 1, 2) * before / 28 - Fraction(1, 2)
        at = min(max(at, Fraction(0)), Fraction(before - 1))
        below = int(at)
        expected = [Fraction(0)] * before
        expected[below] += 1 - (at - below)
        expected[min(below + 1, before - 1)] += at - below
        assert [Fraction(int(w), int(row.sum())) for w in row] == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(0, 255), st.integers(1, 3))
def test_a_plain_image_stays_plain_in_a_box_of_its_shape(height, width, value, n):
    boxed = letterbox(np.full((n, height, width), value, np.uint8))
    assert boxed.shape == (n, 28, 28)
    assert boxed.dtype == np.uint8
    tall = max(1, round(28 * Fraction(height, max(height, width)) + Fraction(1, 10**9)))
    wide = max(1, round(28 * Fraction(width, max(height, width)) + Fraction(1, 10**9)))
    top, left = (28 - tall) // 2, (28 - wide) // 2
    expected = np.zeros((n, 28, 28), np.uint8)
    expected[:, top : top + tall, left : left + wide] = value
    assert (boxed == expected).all()


def test_images_of_the_right_size_are_not_touched():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    assert (letterbox(images) == images).all()


def test_shrinking_agrees_with_pillows_box_filter():
    image = np.random.default_rng(1).integers(0, 256, (1, 56, 112)).astype(np.uint8)
    theirs = np.asarray(Image.fromarray(image[0]).resize((28, 14), Image.Resampling.BOX))
    # Pillow rounds once for each direction, so it may be one step off.
    assert np.abs(letterbox(image)[0, 7:21].astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("n", [0, 3000])
def test_many_are_scaled_as_one(n):
    images = np.random.default_rng(2).integers(0, 256, (n, 40, 60)).astype(np.uint8)
    boxed = letterbox(images)
    assert boxed.shape == (n, 28, 28)
    for k in range(0, n, 700):
        assert (boxed[k] == letterbox(images[k : k + 1])[0]).all()


def test_grey_is_pillows():
    colours = np.random.default_rng(3).integers(0, 256, (50, 50, 3)).astype(np.uint8)
    assert (grey(colours) == np.asarray(Image.fromarray(colours).convert("L"))).all()
