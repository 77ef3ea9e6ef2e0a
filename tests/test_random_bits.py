import hashlib
from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.random_bits import permutation, words

MASK = 2**64 - 1


def philox4x64(key: int):
    """Philox4x64-10 written from the paper (Salmon et al. 2011), one word after the other."""
    counter = 0
    while True:
        counter += 1  # NumPy counts up before it makes the first block
        c = [counter, 0, 0, 0]
        k0, k1 = key & MASK, key >> 64
        for _ in range(10):
            p0, p1 = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
            c = [(p1 >> 64) ^ c[1] ^ k0, p1 & MASK, (p0 >> 64) ^ c[3] ^ k1, p0 & MASK]
            k0 = (k0 + 0x9E3779B97F4A7C15) & MASK
            k1 = (k1 + 0xBB67AE8584CAA73B) & MASK
        yield from c


def test_words_agree_with_philox_written_from_the_paper():
    digest = hashlib.sha256(b"('places', 7, 'train', 3)").digest()
    expected = list(islice(philox4x64(int.from_bytes(digest[:16], "little")), 101))
    assert words(101, "places", 7, "train", 3).tolist() == expected


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_longer_draw_begins_with_the_shorter(n, more):
    assert (words(n + more, "k", 1)[:n] == words(n, "k", 1)).all()


def test_keys_that_look_alike_when_joined_differ():
    keys = [("a", 1, 12), ("a", 11, 2), ("a", "1", 12), ("a1", 12), ("a", 112)]
    assert len({words(4, *key).tobytes() for key in keys}) == len(keys)


@given(st.integers(0, 200), st.integers(0, 2**31 - 1))
def test_permutation_holds_each_number_once(n, seed):
    order = permutation(n, "order", seed)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))


def test_permutations_of_three_are_equally_frequent():
    seen = [tuple(permutation(3, "p", i).tolist()) for i in range(6000)]
    counts = np.array([seen.count(order) for order in sorted(set(seen))])
    assert len(counts) == 6
    # 1,000 expected of each; 4.5 standard deviations of a binomial(6000, 1/6) are 130.
    assert np.abs(counts - 1000).max() < 130
