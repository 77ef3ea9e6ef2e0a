"""What the workers of a sweep may share, and how many there are."""

from __future__ import annotations

import pytest

from harness.cmd_workers import check_sweepable, count_workers
from harness.config import RunConfig
from harness.errors import UsageError


def test_workers_of_a_sweep_cannot_be_those_of_a_cluster() -> None:
    with pytest.raises(UsageError, match="--strategy must not be multiworker"):
        check_sweepable(None, RunConfig(strategy="multiworker"))


@pytest.mark.parametrize("devices", ["", "tpu:mine"])
def test_a_tpu_has_one_worker(monkeypatch: pytest.MonkeyPatch, devices: str) -> None:
    monkeypatch.setenv("TPU_NAME", "mine")  # which `auto` takes, too
    for strategy in ("auto", "tpu"):
        config = RunConfig(strategy=strategy, devices=devices, threads=1)
        check_sweepable(None, config)
        check_sweepable(1, config)
        assert count_workers(None, config, 4) == 1
        with pytest.raises(UsageError, match="--workers must be 1 with it, got 2"):
            check_sweepable(2, config)


def test_without_a_tpu_there_may_be_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_NAME", "mine")
    check_sweepable(4, RunConfig(strategy="cpu"))
    assert count_workers(4, RunConfig(strategy="cpu"), 4) == 4
