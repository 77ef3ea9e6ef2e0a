"""Backgrounds: their banks for ever, planes by hand, and windows that are where they should be."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from harness.backgrounds import BANK_PX, BRIGHTEST, gradients, noise_bank, paint, texture_bank
from harness.random_bits import words
from harness.scene_spec import BACKGROUNDS


def test_banks_are_the_same_bytes_for_ever() -> None:
    banks = noise_bank(), texture_bank()
    digests = [hashlib.sha256(bank.tobytes()).hexdigest()[:16] for bank in banks]
    assert digests == ["7b5014edc6ca7e0a", "d392b96c8f7f1452"]


def test_noise_is_even_and_independent_of_its_neighbours() -> None:
    noise = noise_bank().astype(float)
    counts = np.bincount(noise_bank().reshape(-1), minlength=BRIGHTEST + 1)
    # Of 256 levels two or three fall on each of the 97; five standard deviations of a count.
    shares = np.bincount(np.arange(256) * 97 // 256) * noise.size / 256
    assert np.abs(counts - shares).max() < 5 * np.sqrt(shares.max())
    for shifted in (noise[:, 1:] * noise[:, :-1], noise[1:] * noise[:-1]):
        # The mean of products of neighbours is the square of the mean, about 48, to 1 %.
        assert shifted.mean() == pytest.approx(noise.mean() ** 2, rel=0.01)


def test_texture_is_smooth_and_uses_its_range() -> None:
    texture = texture_bank().astype(int)
    assert (texture.min(), texture.max()) == (0, BRIGHTEST)
    steps = np.abs(np.diff(texture, axis=1))
    assert steps.max() <= 12
    assert texture.std() > 4 * steps.mean()


def test_a_plane_by_hand() -> None:
    # 16 bits each, from the lowest: corners 0, 96, 48 and 0 of 96, on 3 x 3 pixels.
    corner = [0, 0xFFFF, 0x8000, 0]
    word = sum(value << (16 * k) for k, value in enumerate(corner))
    # Halfway between 0 and 96: 48; between 48 and 0: 24; between both: 36.
    expected = [[0, 48, 96], [24, 36, 48], [48, 24, 0]]
    assert gradients(3, np.array([word], np.uint64))[0].tolist() == expected


def test_each_scene_gets_its_own_kind() -> None:
    images = np.zeros((4, 40, 40), np.uint8)
    drawn = words(4, "test")
    paint(images, np.arange(4), drawn)
    assert not images[BACKGROUNDS.index("black")].any()
    assert (images[2] == gradients(40, drawn[2:3])[0]).all()
    for kind, bank in (("noise", noise_bank()), ("texture", texture_bank())):
        i = BACKGROUNDS.index(kind)
        places = BANK_PX - 40 + 1
        y, x = (int(half) * places >> 32 for half in (drawn[i] >> 32, drawn[i] & 0xFFFFFFFF))
        assert (images[i] == bank[y : y + 40, x : x + 40]).all()
