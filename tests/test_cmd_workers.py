"""What the workers of a sweep may share, and how many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import devices
from harness.cmd_workers import check_sweepable, count_workers, worker_environment
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


def test_workers_get_one_each_of_the_gpus_that_were_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        (tmp_path / f"nvidia{number}").touch()
    monkeypatch.setattr(devices, "DEV", tmp_path)

    def given(**fields: str) -> list[str | None]:
        config = RunConfig(threads=1, **fields)
        return [worker_environment(config, k).get("CUDA_VISIBLE_DEVICES") for k in range(3)]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,6")
    assert count_workers(None, RunConfig(threads=1), 100) == 2
    assert given() == ["3", "6", "3"]
    assert given(strategy="cpu") == ["-1"] * 3
    assert given(strategy="mirrored") == given(devices="gpu:1") == [None] * 3, "as it is"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert given() == ["-1"] * 3
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert count_workers(None, RunConfig(threads=1), 100) == 8
    assert given() == ["0", "1", "2"]
