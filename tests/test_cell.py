"""What a cell holds, how it is planned, and that its JSON tells all of it."""

from __future__ import annotations

import json
import math

import pytest
from timed import cell, failed

from harness.cell import Cell, CellPlan
from harness.errors import StoreError, UsageError


def test_a_cell_survives_its_file() -> None:
    shaken = cell(disturbances=(("a", "b"), ()), phases={"latency": ("c",)}, flags=("slow",))
    for one in (cell(), failed(), shaken):
        assert Cell.from_json(json.loads(one.dumps())) == one


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "done"}, "status must be finished or failed, got 'done'"),
        ({"config": {"backbon": "x"}}, "Unknown configuration field 'backbon'"),
        ({"spans": [{"start_s": 2.0, "end_s": 1.0, "steps": 1, "images": 1}]}, "a span must hold"),
        ({"measures": {"mfu": {"value": None, "reason": None, "samples": []}}}, "a measure has"),
        ({"colour": "red"}, "colour"),
        ({"disturbances": 3}, "not iterable"),
    ],
)
def test_what_is_no_cell_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(StoreError, match="This is no cell: ") as error:
        Cell.from_json(cell().to_json() | changes)
    assert words in str(error.value)


def test_the_disturbed_share_is_of_time() -> None:
    # Calls of 1 s and 2 s: the second is two thirds of the time.
    assert cell(disturbances=((), ("steal 12 %",))).disturbed == pytest.approx(2 / 3)
    assert cell(disturbances=(("a", "b"), ("a",))).disturbed == 1.0
    assert cell().disturbed == 0.0
    assert failed().disturbed == 0.0


def test_a_value_is_absent_where_there_is_none() -> None:
    assert cell(rate=100.0).value("images_per_s") == 100.0
    assert cell().value("latency_p99_ms") is None
    assert cell().value("nothing") is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seconds": 0.0}, "--seconds must be above 0 and at most 3600, got 0."),
        ({"seconds": math.nan}, "--seconds must be above 0 and at most 3600, got nan."),
        ({"seconds": math.inf}, "got inf."),
        ({"seconds": -1.0}, "got -1."),
        ({"inference_batch": 0}, "--inference-batch must be 1 to 1048576, got 0."),
        ({"latency_samples": 0}, "--latency-samples must be 1 to 1000000, got 0."),
    ],
)
def test_a_plan_that_cannot_be_is_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError) as error:
        CellPlan(**values)
    assert words in str(error.value)
