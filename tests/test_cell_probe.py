"""Cells of real processes on a tiny network: what they measure is what a run measures."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path

import pytest

from harness.cell import Cell, CellPlan, Contender
from harness.cell_probe import measure
from harness.cell_processes import run_cells
from harness.config import RunConfig
from harness.draft import Identity
from harness.machine import memory_gib
from harness.metrics import METRICS
from harness.mfu import TRAINING_OVER_FORWARD
from harness.run import execute
from harness.store import Store
from harness.timed_cell import Request

CONFIG = RunConfig(
    backbone="nets:tiny", dataset="digits", train_examples=100, batch_size=8, steps_per_call=5,
    epochs=2, evaluate_test=False,
)  # fmt: skip

PLAN = CellPlan(seconds=0.5, inference_batch=20, latency_samples=30)


@pytest.fixture(scope="module")
def cell() -> Cell:
    contender = Contender(name="mine", config=CONFIG)
    (found,) = run_cells([contender], repeats=1, plan=PLAN)
    assert found.status == "finished", found.reason
    return found


@pytest.mark.slow
def test_all_is_measured_or_absent_with_a_reason(cell: Cell) -> None:
    absent = {name for name, measure in cell.measures.items() if measure.value is None}
    # 30 samples are no 99th percentile; what a CPU holds TensorFlow does not tell; and the peak
    # is measured on whatever machine this is, so that a busy one may spoil it.
    assert {"latency_p99_ms", "peak_device_mib"} <= absent <= {
        "latency_p99_ms", "peak_device_mib", "mfu",
    }  # fmt: skip
    assert "at least 662 samples (MLPerf's bound), but there are 30" in str(
        cell.measures["latency_p99_ms"].reason
    )
    assert set(cell.measures) == {
        "images_per_s", "step_p50_ms", "step_p90_ms", "inference_images_per_s", "latency_p50_ms",
        "latency_p90_ms", "latency_p99_ms", "first_batch_s", "compile_s", "data_images_per_s",
        "evaluation_s", "peak_rss_mib", "peak_device_mib", "mflops", "mfu",
    }  # fmt: skip
    assert set(cell.measures) <= set(METRICS)
    assert len(cell.measures["latency_p50_ms"].samples) == 30
    assert 100 < (cell.value("peak_rss_mib") or 0) < 1024 * memory_gib()
    assert 0 < (cell.value("compile_s") or 0) < (cell.value("first_batch_s") or 0)
    assert (cell.contender, cell.round, cell.place) == ("mine", 1, 1)
    assert cell.machine is not None
    assert (cell.machine.strategy, cell.machine.jit) == ("cpu", "off")
    assert cell.data is not None
    assert cell.data.n_train == 100
    assert cell.data.test_digest is None, "the test split stays sealed"
    assert cell.parameters


@pytest.mark.slow
def test_the_timed_calls_are_those_of_a_run_and_the_rate_is_made_of_them_alike(
    cell: Cell, tmp_path: Path
) -> None:
    record = execute(CONFIG, identity=Identity(run_id="a"), store=Store(tmp_path), data_dir=None)
    # An epoch of 12 steps is cut into calls of 5, 5 and 2, in both.
    pattern = [(5, 40), (5, 40), (2, 16)]
    for spans in (cell.warm_up, cell.spans):
        assert {(span.steps, span.images) for span in spans} == set(pattern)
        assert [(span.steps, span.images) for span in spans[:6]] == pattern * 2
    assert [point.images for point in record.history] == [96, 96] == [40 + 40 + 16] * 2
    images, seconds = sum(p.images for p in record.history), sum(p.train_s for p in record.history)
    assert record.value("images_per_s") == pytest.approx(images / seconds)
    images, seconds = sum(s.images for s in cell.spans), sum(s.seconds for s in cell.spans)
    assert cell.value("images_per_s") == pytest.approx(images / seconds)
    assert record.value("mflops") == cell.value("mflops")
    assert record.model is not None
    assert record.model.parameters == cell.parameters


@pytest.mark.slow
def test_it_trains_for_the_time_it_is_told_and_makes_its_figures_of_what_it_keeps(
    cell: Cell,
) -> None:
    assert PLAN.seconds < cell.spans[-1].end_s - cell.spans[0].start_s
    # No call begins after the time is over, and each is short here.
    assert cell.spans[-1].start_s - cell.spans[0].start_s < PLAN.seconds + 1
    assert len(cell.disturbances) == len(cell.spans)
    step = cell.measures["step_p50_ms"]
    assert step.value == pytest.approx(
        1e3 * statistics.median(s.seconds / s.steps for s in cell.spans), abs=1e-3
    )
    assert cell.peak_gflops is not None
    used = (cell.value("mfu"), cell.peak_gflops.value)
    if None not in used:
        gflops = TRAINING_OVER_FORWARD * cell.value("mflops") * cell.value("images_per_s") / 1e3  # type: ignore[operator]
        assert used[0] == pytest.approx(gflops / used[1])  # type: ignore[operator]


@pytest.mark.slow
def test_two_replicas_cannot_predict_one_image_and_say_so() -> None:
    config = dataclasses.replace(CONFIG, devices="cpu:0,cpu:1", batch_size=4)
    plan = CellPlan(seconds=0.1, inference_batch=21, latency_samples=1)
    found = measure(Request(contender="two", config=config, round=2, place=3, plan=plan))
    assert found.measures["latency_p50_ms"].reason == (
        "a batch of 1 cannot be shared evenly by 2 replicas"
    )
    assert found.measures["inference_images_per_s"].reason == (
        "a batch of 21 cannot be shared evenly by 2 replicas"
    )
    assert (found.value("images_per_s") or 0) > 0
    assert Cell.from_json(json.loads(found.dumps())) == found


@pytest.mark.slow
def test_a_network_that_cannot_be_built_is_a_reason() -> None:
    config = dataclasses.replace(CONFIG, backbone="nets:broken")
    (found,) = run_cells([Contender(name="bad", config=config)], repeats=2, plan=PLAN)
    assert found.status == "failed"
    assert "no such network for (75, 75, 1)" in (found.reason or "")
    assert "\n" not in (found.reason or "")
