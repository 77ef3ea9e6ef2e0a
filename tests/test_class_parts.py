from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import pictures

from harness.class_parts import Part, Parts, own_source, test_pool, train_pool
from harness.errors import DataError
from harness.pools import Pool, held_out, stratified_order
from harness.problems import Problem
from harness.scene_data import SceneData

test_pool.__test__ = False  # type: ignore[attr-defined]  # a pool of test images, no test


def part(images: np.ndarray, labels: list[int], names=("a", "b"), **more) -> Part:
    return Part(
        images=images, labels=np.array(labels, np.int64), names=names,
        place=lambda i: f"image {i}", sizes=Counter({(28, 28): len(labels)}), **more,
    )  # fmt: skip


def source_of(train: Part, test: Part | None = None, *, skip_bad: bool = False):
    parts = Parts(train=lambda: train, test=None if test is None else lambda: test)
    return own_source("folder", Path("/x"), lambda _path: parts, skip_bad=skip_bad)


def contents(pool: Pool) -> set[bytes]:
    return {image.tobytes() for image in pool.images}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 40), min_size=2, max_size=5), st.integers(1, 3), st.integers(0, 99))
def test_no_image_stands_in_two_splits_and_each_class_in_all(sizes, copies, seed):
    labels = [k for k, n in enumerate(sizes) for _ in range(n)]
    images = pictures(len(labels), seed)
    names = tuple("abcde"[: len(sizes)])
    whole = part(np.concatenate([images] * copies), labels * copies, names)
    source = source_of(whole)
    data = SceneData(source, data_seed=seed)
    splits = [data.patches(split) for split in ("train", "validation", "test")]
    assert sum(len(contents(pool)) for pool in splits) == len(labels)
    assert set().union(*map(contents, splits)) == {image.tobytes() for image in images}
    for pool in splits:
        assert set(pool.labels.tolist()) == set(range(len(sizes)))
    identity = data.identity()
    assert identity.duplicates == (copies - 1) * len(labels)
    assert identity.class_names == names
    assert identity.skipped == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200).map(np.array), st.integers(0, 9))
def test_a_tenth_of_each_class_is_held_out_but_at_least_one(labels, seed):
    order = stratified_order(labels, "x", seed)
    out = held_out(labels, order)
    for label in np.unique(labels):
        n = int((labels == label).sum())
        assert out[labels[order] == label].sum() == max(1, int(n / 10 + 0.5))


def test_the_test_part_is_the_same_for_every_seed():
    whole = part(pictures(60, 1), [0, 1] * 30)
    digests = {SceneData(source_of(whole), data_seed=s).patches("test").digest() for s in range(4)}
    assert len(digests) == 1


def test_order_and_names_of_files_do_not_change_what_data_it_is():
    images, labels = pictures(20, 1), [0, 1] * 10
    turned = np.random.default_rng(0).permutation(20)
    one = train_pool(part(images, labels), "x", needed=2, skip_bad=False)
    other = part(images[turned], np.array(labels)[turned].tolist())
    assert train_pool(other, "y", needed=2, skip_bad=False).digest() == one.digest()


def test_classes_that_are_just_numbers_have_no_names():
    images, labels = pictures(8, 1), [0, 1] * 4
    numbers = train_pool(part(images, labels, ("0", "1")), "x", needed=2, skip_bad=False)
    assert (numbers.class_names, numbers.classes) == ((), 2)
    other = train_pool(part(images, labels, ("1", "2")), "x", needed=2, skip_bad=False)
    assert other.class_names == ("1", "2")


def faulty() -> Part:
    """Class c is empty, b has two images, one of them also in a; one file was no image."""
    images = pictures(8, 1)
    images[7] = images[0]
    bad = Problem(where="a/x.txt", what="it must be an image, but is none")
    return part(images, [0, 0, 0, 0, 3, 3, 3, 1], ("a", "b", "c", "d"), problems=(bad,), skipped=1)


def test_every_fault_is_told_at_once():
    with pytest.raises(DataError) as caught:
        train_pool(faulty(), "folder:x", needed=3, skip_bad=False)
    needed = "it must have at least 3 different images, to train, validate and test with, got 0"
    same = "equal images must have one class, but image 7 is the same image; got 'a' and 'b'"
    assert str(caught.value).splitlines() == [
        "folder:x must be without fault, but has 4 problems:",
        "  a/x.txt: it must be an image, but is none",
        f"  image 0: {same}",
        f"  class 'b': {needed}",
        f"  class 'c': {needed}",
        "Mend them, or leave them out with --skip-bad.",
    ]


def test_what_is_bad_can_be_left_out_and_is_counted():
    pool = train_pool(faulty(), "folder:x", needed=3, skip_bad=True)
    assert (pool.class_names, pool.classes) == (("a", "d"), 2)
    assert pool.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert pool.skipped == 3  # the file, and both copies of the image with two classes
    assert len(pool.problems) == 4


@pytest.mark.parametrize("labels", [[0] * 9, []])
def test_two_classes_are_needed(labels):
    whole = part(pictures(len(labels), 1), labels, ("a",) if labels else ())
    with pytest.raises(DataError, match="2 to 1,000 classes, got "):
        train_pool(whole, "x", needed=3, skip_bad=True)


def test_a_test_part_keeps_its_copies_and_takes_the_classes_of_training():
    train = part(pictures(6, 1), [0, 0, 1, 1, 0, 1], ("b", "c"))
    same = np.repeat(pictures(1, 2), 3, axis=0)
    given_test = part(same, [1, 1, 0], ("b", "c"))
    data = SceneData(source_of(train, given_test))
    assert data.patches("test").labels.tolist() == [1, 1, 0]
    assert data.identity().n_test == 3


def test_a_class_that_was_never_trained_is_a_fault_of_each_image():
    train = part(pictures(6, 1), [0, 0, 1, 1, 0, 1], ("b", "c"))
    other = part(pictures(3, 2), [0, 1, 1], ("b", "z"))
    with pytest.raises(
        DataError, match=r"image 1: its class must be in the training part, got 'z'"
    ):
        source_of(train, other).read_test()
    data = SceneData(source_of(train, other, skip_bad=True))
    assert data.identity().skipped == 0
    data.open_test()
    assert (data.identity().n_test, data.identity().skipped) == (1, 2)
