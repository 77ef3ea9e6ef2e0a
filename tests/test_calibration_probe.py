"""The cell of a calibration, in a process of its own, with a real network."""

from __future__ import annotations

import pytest

from harness.cell import CellPlan, Contender
from harness.cell_processes import run_cells
from harness.cmd_calibrate import PROBE
from harness.config import RunConfig


@pytest.mark.slow
def test_a_real_cell_trains_and_tells_nothing_but_its_rate() -> None:
    config = RunConfig(backbone="nets:tiny", dataset="digits", train_examples=64, batch_size=8)
    contender = Contender(name="A", config=config)
    (cell,) = run_cells([contender], repeats=1, plan=CellPlan(seconds=0.3), probe=PROBE)
    assert (cell.status, cell.reason, cell.contender) == ("finished", None, "A")
    rate = cell.measures["images_per_s"]
    assert rate.value is not None
    assert min(rate.samples) <= rate.value <= max(rate.samples)
    assert len(rate.samples) == len(cell.spans) == len(cell.disturbances)
    assert cell.warm_up[-1].end_s <= cell.spans[0].start_s
    assert "inference_images_per_s" not in cell.measures
    assert cell.machine is not None
    assert cell.machine.devices == ("cpu:0",)
