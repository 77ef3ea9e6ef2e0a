"""The noise floor as a value: what it says, and what its file must be."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from calibrated import floor
from records import MACHINE

from harness.errors import StoreError
from harness.noise_floor import NoiseFloor, Pair, noise_floors
from harness.record import Measure


def test_it_is_told_for_one_process_and_for_several() -> None:
    # ln 1.01 = 0.00995033, t(0.975, 20) = 2.085963: 0.0207562, and over the root of 5 0.00928245.
    found = floor()
    assert found.relative() == pytest.approx(math.expm1(0.0207562), rel=1e-5)
    assert found.relative(5) == pytest.approx(math.expm1(0.00928245), rel=1e-5)
    assert found.relative(20) == found.relative(1000), "20 pairs tell nothing of longer means"
    assert floor([1.01] * 18).relative() is None


def test_its_json_comes_back_as_it_was() -> None:
    found = floor(machine=dataclasses.replace(MACHINE, devices=("gpu:0", "gpu:1")))
    assert NoiseFloor.loads(found.dumps()) == found
    assert found.to_json()["relative"] == found.relative()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON, but it is damaged"),
        ("[]", "must be a JSON object"),
        ('{"version": 2}', "must have version 1, got 2. It was written by another release"),
        ('{"version": 1}', "This is not a noise floor: "),
    ],
)
def test_what_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        NoiseFloor.loads(text)


def test_a_pair_needs_two_rates() -> None:
    for bad in (Measure(reason="none"), Measure(value=0.0)):
        with pytest.raises(ValueError, match="two rates above 0"):
            Pair(first=Measure(value=1.0), second=bad, called=False)


def test_files_are_read_in_order_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert list(noise_floors(tmp_path / "none")) == []
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(floor(name=name).dumps(), encoding="utf-8")
    assert [each.name for each in noise_floors(tmp_path)] == ["a", "b"]
    (tmp_path / "c.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"c\.json: A noise floor must be JSON"):
        list(noise_floors(tmp_path))


@pytest.mark.parametrize(
    ("day", "words"), [(2, "less than a day old"), (3, "1 day old"), (9, "7 days old")]
)
def test_its_age_in_words(day: int, words: str) -> None:
    assert floor().age_words(datetime(2026, 1, day, 4, tzinfo=UTC)) == words
