"""Predictions and examples on disk: identical bytes, damaged files, arrays that do not fit."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.predictions import Examples, Predictions, predictions_file, write_npz


def predictions(n: int = 5) -> Predictions:
    generator = np.random.default_rng(n)
    return Predictions(
        ids=np.arange(n),
        labels=generator.integers(0, 10, n),
        boxes=generator.random((n, 4), np.float32),
        probabilities=generator.random((n, 10), np.float32),
        predicted_boxes=generator.normal(size=(n, 4)).astype(np.float32),
        factors={"digit_px": generator.random(n, np.float32), "x": np.ones(n, np.float32)},
    )


def examples(k: int = 3) -> Examples:
    generator = np.random.default_rng(k)
    return Examples(
        ids=np.arange(k),
        images=generator.integers(0, 256, (k, 75, 75), np.uint8),
        labels=generator.integers(0, 10, k),
        predicted_labels=generator.integers(0, 10, k),
        boxes=generator.random((k, 4), np.float32),
        predicted_boxes=generator.random((k, 4), np.float32),
    )


def arrays_of(value: Predictions | Examples) -> dict[str, np.ndarray]:
    arrays = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return arrays | arrays.pop("factors", {})


@pytest.mark.parametrize("value", [predictions(), predictions(0), examples(), examples(0)])
def test_round_trip_keeps_values_types_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Predictions | Examples
) -> None:
    value.save(tmp_path / "first.npz")
    monkeypatch.setattr(time, "time", lambda: 2e9)  # another day
    again = type(value).load(tmp_path / "first.npz")
    again.save(tmp_path / "second.npz")
    for name, mine in arrays_of(value).items():
        theirs = arrays_of(again)[name]
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_the_order_in_memory_does_not_show(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    write_npz(tmp_path / "a.npz", {"x": array})
    write_npz(tmp_path / "b.npz", {"x": np.asfortranarray(array)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_diverged_outputs_are_kept_as_they_are(tmp_path: Path) -> None:
    broken = predictions()
    broken.predicted_boxes[2] = np.nan
    broken.save(tmp_path / "p.npz")
    assert np.isnan(Predictions.load(tmp_path / "p.npz").predicted_boxes[2]).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": np.zeros(4, np.int64)}, r"labels must be int64 \(5,\), got int64 \(4,\)"),
        ({"labels": np.zeros(5, np.float64)}, "labels must be int64"),
        ({"boxes": np.zeros((5, 4))}, r"boxes must be float32 \(5, 4\), got float64"),
        ({"predicted_boxes": np.zeros((5, 3), np.float32)}, r"got float32 \(5, 3\)"),
        ({"probabilities": np.zeros(5, np.float32)}, "probabilities must be float32"),
        ({"labels": np.full(5, 10)}, r"labels must lie in \[0, 10\)"),
        ({"labels": np.full(5, -1)}, r"labels must lie in \[0, 10\)"),
    ],
)
def test_arrays_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(predictions(), **changes)


@pytest.mark.parametrize(
    "changes",
    [{"images": np.zeros((3, 75, 75), np.float32)}, {"images": np.zeros((2, 75, 75), np.uint8)},
     {"images": np.zeros((3, 75, 75, 1), np.uint8)}, {"boxes": np.zeros((3, 2), np.float32)}],
)  # fmt: skip
def test_examples_that_do_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must be"):
        dataclasses.replace(examples(), **changes)


@pytest.mark.parametrize("content", [b"", b"PK", b"junk" * 99, b"\x93NUMPY\x01\x00v\x00{}"])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / predictions_file("test")
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"{path} must hold the arrays ids, labels"):
        Predictions.load(path)


def test_files_without_factors_are_read_as_ever(tmp_path: Path) -> None:
    arrays = {n: a for n, a in arrays_of(predictions()).items() if hasattr(Predictions, n)}
    write_npz(tmp_path / "old.npz", arrays)
    found = Predictions.load(tmp_path / "old.npz")
    assert found.factors == {}
    np.testing.assert_array_equal(found.boxes, predictions().boxes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"predictions-validation\.npz must hold"):
        Predictions.load(tmp_path / predictions_file("validation"))


def test_arrays_of_another_kind_are_refused(tmp_path: Path) -> None:
    examples().save(tmp_path / "e.npz")
    with pytest.raises(StoreError, match="probabilities"):
        Predictions.load(tmp_path / "e.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(StoreError, match="must hold the arrays"):
        Predictions.load(tmp_path / "one.npy")
    arrays = {
        name if hasattr(Predictions, name) else f"factor_{name}": array
        for name, array in arrays_of(predictions()).items()
    }
    write_npz(tmp_path / "more.npz", arrays | {"sum": np.zeros(3)})
    with pytest.raises(StoreError, match="an array 'sum', which is none of them"):
        Predictions.load(tmp_path / "more.npz")
    write_npz(tmp_path / "short.npz", arrays | {"labels": np.zeros(2, np.int64)})
    with pytest.raises(StoreError, match="labels must be int64"):
        Predictions.load(tmp_path / "short.npz")


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "p.npz", **{f.name: np.array([{}]) for f in dataclasses.fields(Predictions)}
    )
    with pytest.raises(StoreError, match="allow_pickle"):
        Predictions.load(tmp_path / "p.npz")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "p.npz"
    predictions(20).save(path)
    return path


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_is_a_store_error_or_harmless(saved: Path, data: st.DataObject) -> None:
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans(), label="cut off"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    damaged = saved.with_name("damaged.npz")
    damaged.write_bytes(content)
    try:
        found = Predictions.load(damaged)
    except StoreError:
        return
    # Some bytes (dates, attributes) say nothing; whatever is read must be what was saved.
    assert found.factors.keys() == predictions(20).factors.keys()
    for name, array in arrays_of(predictions(20)).items():
        np.testing.assert_array_equal(arrays_of(found)[name], array)
