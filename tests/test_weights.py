"""Weights kept as plain arrays: the same bytes for the same weights, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import StoreError
from harness.weights import load_weights, save_weights

WEIGHTS = [
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.array([7, 8], np.uint32),
    np.array(3, np.int64),
    np.zeros((0, 2), np.float32),
]
NAMES = ["dense/kernel", "dropout/seed", "dense/kernel", "empty"]


def test_what_is_kept_comes_back_in_order_with_its_type(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    save_weights(path, NAMES, WEIGHTS)
    found = load_weights(path)
    assert [array.dtype for array in found] == [array.dtype for array in WEIGHTS]
    assert all(np.array_equal(a, b) for a, b in zip(found, WEIGHTS, strict=True))
    with np.load(path) as archive:
        assert sorted(archive.files) == [
            "0000 dense.kernel", "0001 dropout.seed", "0002 dense.kernel", "0003 empty"
        ]  # fmt: skip


def test_more_than_ten_keep_their_order(tmp_path: Path) -> None:
    many = [np.full(1, i, np.float32) for i in range(120)]
    save_weights(tmp_path / "w.npz", ["x"] * 120, many)
    assert [int(array[0]) for array in load_weights(tmp_path / "w.npz")] == list(range(120))


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / name, NAMES, WEIGHTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_damage_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"must hold the weights of a run, but cannot be read"):
        load_weights(path)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    with path.open("wb") as file:
        np.savez(file, a=np.array([{}], dtype=object))
    with pytest.raises(StoreError, match="allow_pickle"):
        load_weights(path)
