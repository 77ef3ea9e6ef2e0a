"""Timings in their file: all of it comes back, and what is damaged is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from timed import cell, contender, failed, timings

from harness.errors import StoreError
from harness.timings import TIMINGS_FILE, Overhead, Timings, all_timings, read_timings

COST = Overhead(contender="notebook-cnn", pairs=((1.0e-3, 1.1e-3), (1.0e-3, 0.9e-3)))


@pytest.mark.parametrize(
    "made",
    [
        timings(), timings(overhead=COST), timings(cells=(), status="interrupted"),
        timings(cells=(failed(), cell()), contenders=(contender("readme-cnn"), contender())),
        timings(overhead=Overhead(contender="notebook-cnn", reason="It ran out of memory.")),
    ],
)  # fmt: skip
def test_all_of_it_comes_back(made: Timings) -> None:
    assert Timings.loads(made.dumps()) == made
    assert made.dumps().endswith("}\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "A file of timings must have version 1, got 2"),
        ({"status": "running"}, "status must be finished or interrupted, got 'running'"),
        ({"plan": {"seconds": -1}}, "--seconds must be above 0"),
        ({"cells": [{}]}, "This is no cell"),
        ({"contenders": [{"name": "x"}]}, "This is not a file of timings: 'config'"),
        (
            {"overhead": {"contender": "x", "pairs": [], "reason": None}},
            "either pairs or a reason",
        ),
    ],
)
def test_what_is_damaged_is_told(changes: dict[str, object], words: str) -> None:
    with pytest.raises(StoreError) as error:
        Timings.loads(json.dumps(timings().to_json() | changes))
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_what_is_no_object_is_told(text: str) -> None:
    with pytest.raises(StoreError, match="A file of timings must be"):
        Timings.loads(text)


def test_a_folder_of_timings_is_read_in_order_and_a_bad_file_named(tmp_path: Path) -> None:
    assert list(all_timings(tmp_path / "none")) == []
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / TIMINGS_FILE).write_text(timings(name=name).dumps())
    assert [each.name for each in all_timings(tmp_path)] == ["a", "b"]
    path = tmp_path / "a" / TIMINGS_FILE
    path.write_bytes(b"\xff")
    with pytest.raises(StoreError, match=str(path)):
        read_timings(path)


def test_the_machine_is_that_of_the_first_cell_that_knows() -> None:
    assert timings(cells=(failed(), cell())).machine == cell().machine
    assert timings(cells=(failed(),)).machine is None
