import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError
from harness.pools import Pool, checked_pool, stratified_order

some_labels = st.lists(st.integers(0, 9), min_size=1, max_size=300).map(np.array)


def blank(n: int) -> np.ndarray:
    return np.zeros((n, 28, 28), np.uint8)


@given(some_labels, st.integers(0, 2**31 - 1))
def test_every_beginning_holds_each_class_in_proportion(labels, seed):
    order = stratified_order(labels, "split", seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    classes, sizes = np.unique(labels, return_counts=True)
    for n in range(len(labels) + 1):
        counts = np.array([(labels[order[:n]] == label).sum() for label in classes])
        share = sizes / len(labels)
        # At `t` of the way a class of size s has given t s +- 1/2, all K of them n +- K / 2.
        bound = 0.5 + share * len(classes) / 2
        assert (np.abs(counts - n * share) <= bound + 1e-9).all()


def test_the_order_within_a_class_is_random_and_belongs_to_the_seed():
    labels = np.repeat(np.arange(10), 100)
    orders = [stratified_order(labels, "split", seed) for seed in (0, 0, 1)]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] == orders[2]).mean() < 0.05
    zeros = orders[0][labels[orders[0]] == 0]
    assert not (np.diff(zeros) > 0).all()


def test_first_ten_of_equal_classes_hold_each_class_once():
    labels = np.repeat(np.arange(10), 7)
    assert sorted(labels[stratified_order(labels, "x")[:10]].tolist()) == list(range(10))


def test_digest_is_the_sha256_of_type_shape_and_bytes():
    pool = checked_pool(blank(2), np.array([3, 4], np.uint8), 2, "file")
    text = b"|u1(2, 28, 28)" + bytes(2 * 784) + b"<i8(2,)" + bytes([3, *[0] * 7, 4, *[0] * 7])
    assert pool.digest() == hashlib.sha256(text).hexdigest()[:32]


def test_digest_sees_one_pixel_and_one_label():
    images, labels = blank(3), np.array([1, 2, 3])
    other_image, other_label = images.copy(), labels.copy()
    other_image[2, 27, 27] = 1
    other_label[0] = 2
    pools = [(images, labels), (other_image, labels), (images, other_label)]
    assert len({Pool(images=i, labels=t).digest() for i, t in pools}) == 3


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (blank(2).astype(float), [0, 1], r"uint8 \[2, 28, 28\], got float64 \[2, 28, 28\]"),
        (blank(2)[:, :27], [0, 1], r"got uint8 \[2, 27, 28\]"),
        (blank(3), [0, 1], r"got uint8 \[3, 28, 28\]"),
        (blank(2), [0, 1, 2], r"integers \[2\], got int64 \[3\]"),
        (blank(2), [0.0, 1.0], r"integers \[2\], got float64"),
        (blank(2), [0, 10], "labels must be 0 to 9, got 0 to 10"),
        (blank(2), [-1, 9], "labels must be 0 to 9, got -1 to 9"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(images, labels, text):
    with pytest.raises(DataError, match=rf"^a/file is damaged .*{text}.* Replace the file\.$"):
        checked_pool(images, np.array(labels), 2, "a/file")
