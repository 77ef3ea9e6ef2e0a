import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boxes import area
from harness.config import RunConfig
from harness.data import load
from harness.errors import UsageError
from harness.pools import Pool, Source
from harness.scene_data import SceneData
from harness.sources import resolve

N_POOL, N_VALIDATION, N_TEST = 240, 40, 30


def pool_of(n: int, base: int) -> Pool:
    """Return n digits, each recognisable: all pixels hold base + i, its label is i % 10."""
    values = (base + np.arange(n)).astype(np.uint8)
    images = np.repeat(values, 784).reshape(n, 28, 28)
    return Pool(images=images, labels=np.arange(n, dtype=np.int64) % 10)


def source(reads: list[str] | None = None) -> Source:
    """Return a small source that notes what is read."""
    log = [] if reads is None else reads

    def reader(name: str, n: int, base: int) -> Callable[[], Pool]:
        def read() -> Pool:
            log.append(name)
            return pool_of(n, base)

        return read

    return Source(
        name="small", place="memory", n_validation=N_VALIDATION,
        read_train=reader("train", N_POOL, 1), read_test=reader("test", N_TEST, 101),
    )  # fmt: skip


DATA = SceneData(source(), data_seed=5)


def sha256(scenes) -> str:
    arrays = (scenes.ids, scenes.images, scenes.labels, scenes.boxes)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def pixels(scenes) -> list[int]:
    """Return which digits the scenes hold, see `pool_of`."""
    return scenes.images.max(axis=(1, 2)).tolist()


@given(st.lists(st.integers(0, DATA.n_train - 1), max_size=40), st.integers(1, 40))
def test_an_example_has_the_same_bytes_in_every_order_and_batch(ids, batch):
    every = DATA.train_scenes(4, np.arange(DATA.n_train))
    chosen = np.array(ids, np.int64)
    for start in range(0, len(chosen), batch):
        part = chosen[start : start + batch]
        scenes = DATA.train_scenes(4, part)
        assert (scenes.ids == part).all()
        assert (scenes.images == every.images[part]).all()
        assert (scenes.labels == every.labels[part]).all()
        assert (scenes.boxes == every.boxes[part]).all()


@given(st.integers(10, 199), st.integers(10, 200), st.integers(0, 99))
def test_smaller_subsets_are_contained_in_larger_ones_byte_for_byte(a, b, seed):
    small, large = (SceneData(source(), data_seed=seed, train_examples=n) for n in sorted((a, b)))
    ids = np.arange(small.n_train)
    assert sha256(small.train_scenes(2, ids)) == sha256(large.train_scenes(2, ids))
    assert sha256(small.validation()) == sha256(large.validation())
    counts = np.bincount(small.train_scenes(0, ids).labels, minlength=10)
    assert np.abs(counts - small.n_train / 10).max() <= 1  # ten classes of equal size


def test_a_digit_is_moved_by_the_epoch_and_stays_the_same_digit():
    ids = np.arange(DATA.n_train)
    one, two = DATA.train_scenes(1, ids), DATA.train_scenes(2, ids)
    assert pixels(one) == pixels(two)
    assert (one.boxes == two.boxes).all(axis=1).mean() < 0.05
    assert sha256(DATA.train_scenes(1, ids)) == sha256(one)  # also after another epoch


def test_the_box_is_that_of_the_pasted_patch():
    scenes = DATA.train_scenes(1, np.arange(DATA.n_train))
    for image, box in zip(scenes.images, scenes.boxes, strict=True):
        rows, columns = np.nonzero(image)  # the patches of `pool_of` have no black pixel
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.rint(box * 75).tolist() == edges
    assert area(scenes.boxes) == pytest.approx((28 / 75) ** 2)


def test_training_and_validation_share_nothing_and_hold_the_whole_pool():
    train = pixels(DATA.train_scenes(0, np.arange(DATA.n_train)))
    validation = pixels(DATA.validation())
    assert (len(train), len(validation)) == (200, 40)
    assert sorted(train + validation) == list(range(1, N_POOL + 1))
    assert np.bincount(DATA.validation().labels).tolist() == [4] * 10


def test_labels_stay_with_their_digits():
    scenes = DATA.train_scenes(0, np.arange(DATA.n_train))
    assert [(value - 1) % 10 for value in pixels(scenes)] == scenes.labels.tolist()


def test_the_data_seed_changes_the_split_and_nothing_of_the_test():
    other = SceneData(source(), data_seed=6)
    assert set(pixels(other.validation())) != set(pixels(DATA.validation()))
    assert pixels(other.open_test()) == pixels(SceneData(source(), data_seed=5).open_test())


def test_order_is_a_permutation_that_belongs_to_seed_and_epoch():
    data = SceneData(source(), train_examples=50)
    orders = [data.train_order(epoch, seed) for epoch in (1, 2) for seed in (0, 1)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert len({order.tobytes() for order in orders}) == 4
    assert (data.train_order(2, 1) == orders[-1]).all()


def test_the_test_pool_is_read_by_open_test_alone():
    reads: list[str] = []
    data = SceneData(source(reads))
    for epoch in (1, 2):
        data.train_scenes(epoch, data.train_order(epoch, 0))
    data.validation()
    sealed = data.identity()
    assert reads == ["train"]
    assert not data.test_opened
    assert (sealed.n_test, sealed.test_digest) == (None, None)
    scenes = data.open_test()
    assert reads == ["train", "test"]
    assert data.test_opened
    assert pixels(scenes) == list(range(101, 101 + N_TEST))
    opened = data.identity()
    assert (opened.n_test, opened.test_digest) == (N_TEST, pool_of(N_TEST, 101).digest())
    assert opened.digest == sealed.digest == pool_of(N_POOL, 1).digest()


@pytest.mark.parametrize("asked", [1, 9, 201, 10**9])
def test_a_subset_that_does_not_fit_is_refused(asked):
    with pytest.raises(UsageError) as caught:
        SceneData(source(), train_examples=asked)
    assert str(caught.value) == (
        "`train_examples` must be 10 (one per class) to 200 on small, "
        f"got {asked:,}. Leave it out to train on all of them."
    )


def test_load_takes_the_digits_from_the_configuration():
    config = RunConfig(dataset="digits", data_seed=3, train_examples=100)
    data = load(config, None, say=pytest.fail)
    identity = data.identity()
    assert (identity.source, identity.data_seed, identity.n_train) == ("digits", 3, 100)
    assert load(RunConfig(dataset="digits"), None, say=pytest.fail).n_train == 1197
    assert len(data.validation().ids) == identity.n_validation == 300
    assert len(data.open_test().ids) == 300


def test_golden_bytes_of_the_digits():
    data = load(RunConfig(dataset="digits"), None, say=pytest.fail)
    assert (
        sha256(data.train_scenes(1, np.arange(data.n_train)))
        == "63bb9e351ac840c010a37abadc90a0a1ff5f43f9ddaa14d94ce8c48425a6a4ef"
    )
    assert (
        sha256(data.validation())
        == "054a7fe26bd6802e34057884971a961a6bface9fa82b91011ba3fb0206ea43f9"
    )
    assert (
        sha256(data.open_test())
        == "839e5985b865ec846e691293501b055423d55cd44bd31a5f73a895d2845457d2"
    )


@pytest.mark.mnist
def test_golden_bytes_of_mnist():
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder:
        pytest.skip("BENCH_DATA_DIR names no folder with MNIST")
    data = SceneData(resolve("mnist", Path(folder), say=pytest.fail))
    assert (
        sha256(data.train_scenes(1, np.arange(5000)))
        == "76e357841dde5a01d161a40868a7ced679ec71798bcd24f48c24325b6c73931a"
    )
    assert (
        sha256(data.validation())
        == "bbf80ee9ce7ee6ac0c89023caf74408df207ef7f13e39578f0cdeb513517df0d"
    )
    assert (
        sha256(data.open_test())
        == "c81a8948d791c902f8d18b71c194e30c59df303cc57a3fe947819c378e87a2e6"
    )
    identity = data.identity()
    assert (identity.n_train, identity.n_validation, identity.n_test) == (55000, 5000, 10000)
    assert identity.digest == "7a20c28713f9dfe2c89b1c34d09b1699"
    assert identity.test_digest == "525742b0fb098deccd38061811818b11"
