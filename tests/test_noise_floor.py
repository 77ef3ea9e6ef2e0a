"""The noise floor as a value: by hand, its age, and the way to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from simulated_timings import floor_of

from harness.errors import StoreError
from harness.noise_floor import NoiseFloor, Pair, least_pairs, noise_floors
from harness.record import Measure

# 19 pairs, each 1 % apart: the limit is t(0.975, 19) = 2.093024 times ln 1.01, by hand in
# test_speed_floor.
APART = np.array([1.01, 1 / 1.01] * 9 + [1.01])
FLOOR = floor_of(100 * APART, np.full(19, 100.0))


def test_a_floor_is_relative_and_falls_with_the_root_of_the_rounds() -> None:
    limit = 2.093024 * math.log(1.01)
    assert FLOOR.relative() == pytest.approx(math.exp(limit) - 1, rel=1e-6)
    assert FLOOR.relative(4) == pytest.approx(math.exp(limit / 2) - 1, rel=1e-6)
    assert FLOOR.relative(1000) == FLOOR.relative(19), "no more than pairs were seen"
    assert dataclasses.replace(FLOOR, log_limit=None).relative() is None


def test_the_least_number_of_pairs_is_what_a_largest_value_needs() -> None:
    assert least_pairs() == 19
    assert least_pairs(0.01) == 99


@pytest.mark.parametrize("rate", [0.0, -1.0, None])
def test_a_pair_has_two_rates(rate: float | None) -> None:
    bad = Measure(reason="none") if rate is None else Measure(value=rate)
    with pytest.raises(ValueError, match="two rates above 0"):
        Pair(first=Measure(value=1.0), second=bad, called=False)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ("2026-01-02T03:05:00+00:00", "less than a day old"),
        ("2026-01-03T03:05:00+00:00", "1 day old"),
        ("2026-03-03T05:00:00+02:00", "59 days old"),
    ],
)
def test_its_age_in_words(now: str, words: str) -> None:
    assert FLOOR.started_at == "2026-01-02T03:04:05+00:00"
    assert FLOOR.age_words(datetime.fromisoformat(now)) == words


def test_it_comes_back_from_json() -> None:
    pair = Pair(
        first=Measure(value=101.0, samples=(100.0, 102.0)),
        second=Measure(value=100.0, samples=(99.0, 101.0)), called=True, disturbed=("steal 3 %",),
    )  # fmt: skip
    for each in (FLOOR, dataclasses.replace(FLOOR, pairs=(pair,), log_limit=None)):
        assert NoiseFloor.loads(each.dumps()) == each
        assert json.loads(each.dumps())["relative"] == each.relative()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "must be JSON, but it is damaged"),
        ("[]", "must be a JSON object"),
        ("{}", "must have version 1, got None"),
        (FLOOR.dumps().replace('"version": 1', '"version": 2'), "measure anew with `bench"),
        (FLOOR.dumps().replace('"asked"', '"wanted"'), "This is not a noise floor: "),
        (FLOOR.dumps().replace('"value": 101.0', '"value": -1'), "two rates above 0"),
    ],
)
def test_what_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason):
        NoiseFloor.loads(text)


def test_a_folder_of_calibrations(tmp_path: Path) -> None:
    assert list(noise_floors(tmp_path / "none")) == []
    later = dataclasses.replace(FLOOR, name="later")
    (tmp_path / "b.json").write_text(later.dumps())
    (tmp_path / "a.json").write_text(FLOOR.dumps())
    assert list(noise_floors(tmp_path)) == [FLOOR, later]
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(StoreError, match=r"c\.json: A noise floor must be JSON"):
        list(noise_floors(tmp_path))
