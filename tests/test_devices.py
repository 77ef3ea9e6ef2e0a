"""Names of strategies and devices, checked before anything slow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import devices as module
from harness.devices import (
    STRATEGIES,
    check_devices,
    check_strategy,
    find_tpu,
    known_replicas,
    parse_devices,
    replica_batch,
    uses_tpu,
    visible_gpus,
)
from harness.errors import DeviceError, UsageError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("  ", ()),
        ("gpu:0", ("gpu:0",)),
        ("GPU:3, gpu:1", ("gpu:3", "gpu:1")),
        ("cpu:1,cpu:0", ("cpu:1", "cpu:0")),
        ("tpu:local", ("tpu:local",)),
        ("TPU:my-tpu-2", ("tpu:my-tpu-2",)),
        ("tpu:grpc://10.0.0.2:8470", ("tpu:grpc://10.0.0.2:8470",)),
    ],
)
def test_devices_are_read(text: str, names: tuple[str, ...]) -> None:
    assert parse_devices(text) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gpu", "must be names such as gpu:0,gpu:1 with commas between"),
        ("gpu:0,", "must be names such as"),
        ("gpu:0 gpu:1", "must be names such as"),
        ("gpu:01", "must be names such as"),
        ("gpu:-1", "must be names such as"),
        ("tpu:0", "must be names such as"),
        ("/gpu:0", "must be names such as"),
        ("gpu:99999", "must be names such as"),
        ("gpu:0,GPU:0", "must name each device once"),
        ("cpu:0,gpu:0", "must be all CPUs or all GPUs"),
        ("cpu:1", "must be numbered from cpu:0"),
        ("cpu:0,cpu:2", "must be numbered from cpu:0"),
        ("tpu:", "must be names such as"),
        ("tpu:my_tpu", "must be names such as"),
        ("tpu:grpc://10.0.0.2", "must be names such as"),
        ("tpu:one,tpu:two", "must name one TPU"),
        ("tpu:local,cpu:0", "must be all CPUs or all GPUs"),
    ],
)
def test_devices_that_cannot_be_are_refused(text: str, reason: str) -> None:
    with pytest.raises(DeviceError, match=re.escape(reason)) as error:
        parse_devices(text)
    assert repr(text) in str(error.value)


@given(st.text(alphabet="cpugtlo:0123, /x", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        names = parse_devices(text)
    except DeviceError:
        return
    assert parse_devices(",".join(names)) == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("strategy", "devices", "reason"),
    [
        ("cpu", "gpu:0", "`cpu` uses one CPU, got devices 'gpu:0'."),
        ("cpu", "cpu:0,cpu:1", "`cpu` uses one CPU"),
        ("gpu", "cpu:0", "`gpu` uses one GPU"),
        ("gpu", "gpu:0,gpu:1", "`gpu` uses one GPU"),
        ("mirrored", "gpu:0", "`mirrored` needs at least 2 devices, got 'gpu:0'."),
        ("mirrored", "tpu:x", "`mirrored` uses CPUs or GPUs, got 'tpu:x'. Use --strategy tpu."),
        ("multiworker", "tpu:x", "`multiworker` uses CPUs or GPUs"),
        (
            "multiworker",
            "cpu:0,cpu:1",
            "`multiworker` uses one CPU device per worker, got 'cpu:0,cpu:1'. For more",
        ),
        ("tpu", "gpu:0", "`tpu` uses a TPU such as tpu:local or tpu:NAME, got 'gpu:0'."),
        ("cpu", "tpu:x", "`cpu` uses one CPU"),
    ],
)
def test_devices_that_do_not_suit_a_strategy_are_refused(
    strategy: str, devices: str, reason: str
) -> None:
    with pytest.raises(DeviceError, match=re.escape(reason)):
        check_devices(strategy, devices)


@pytest.mark.parametrize(
    ("strategy", "devices"),
    [
        ("cpu", "cpu:0"),
        ("gpu", "gpu:3"),
        ("mirrored", "cpu:0,cpu:1"),
        ("auto", "gpu:0,gpu:5"),
        ("auto", "tpu:x"),
        ("tpu", "tpu:local"),
        ("multiworker", "cpu:0"),
        ("multiworker", "gpu:1,gpu:0"),
    ],
)
def test_devices_that_suit_pass(strategy: str, devices: str) -> None:
    check_devices(strategy, devices)
    check_devices(strategy, "")


@pytest.mark.parametrize(
    ("strategy", "devices", "replicas"),
    [
        ("auto", "", None), ("mirrored", "", None), ("cpu", "cpu:0", 1),
        ("mirrored", "cpu:0,cpu:1", 2), ("auto", "gpu:0,gpu:1,gpu:2", 3),
        ("tpu", "tpu:x", None), ("multiworker", "gpu:0,gpu:1", None),
    ],
)  # fmt: skip
def test_replicas_are_known_before_they_are_opened_or_not(
    strategy: str, devices: str, replicas: int | None
) -> None:
    assert known_replicas(strategy, devices) == replicas


def test_a_tpu_is_looked_for_in_the_environment(tmp_path: Path) -> None:
    libtpu = {"TPU_LIBRARY_PATH": "/opt/libtpu.so"}
    assert find_tpu({}, dev=tmp_path) is None
    assert find_tpu(libtpu, dev=tmp_path) is None, "no chip"
    (tmp_path / "accel").mkdir()  # where other accelerators have their files
    (tmp_path / "vfio").mkdir()
    (tmp_path / "vfio" / "vfio").touch()
    assert find_tpu(libtpu, dev=tmp_path) is None
    (tmp_path / "vfio" / "0").touch()
    assert find_tpu(libtpu, dev=tmp_path) == "local"
    (tmp_path / "vfio" / "0").unlink()
    (tmp_path / "accel0").touch()
    assert find_tpu(libtpu, dev=tmp_path) == "local"
    assert find_tpu(libtpu | {"TPU_NAME": " My-TPU "}, dev=tmp_path) == "my-tpu"
    assert find_tpu({"TPU_NAME": ""}, dev=tmp_path / "none") is None


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["0", "1"]),  # a container shows two: CUDA counts them from 0
        ("3", ["3"]),
        ("1, 0", ["1", "0"]),
        ("GPU-8932f937,MIG-3a", ["GPU-8932f937", "MIG-3a"]),
        ("2,-1,3", ["2"]),  # CUDA stops at the first that is none
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_are_those_that_this_process_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str | None, names: list[str]
) -> None:
    environment = {} if allowed is None else {"CUDA_VISIBLE_DEVICES": allowed}
    monkeypatch.setattr(module, "DEV", tmp_path)
    assert visible_gpus(environment) == [], "no file of a GPU"
    for name in ("nvidia6", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus(environment) == names


def test_who_uses_a_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_NAME", "x")
    assert uses_tpu("auto", "")
    assert uses_tpu("tpu", "")
    assert uses_tpu("auto", "tpu:y")
    for strategy, devices in (("auto", "gpu:0"), ("cpu", ""), ("gpu", ""), ("mirrored", "")):
        assert not uses_tpu(strategy, devices)


def test_an_unknown_strategy_is_told_the_nearest() -> None:
    for check in (check_strategy, lambda name: check_devices(name, "")):
        with pytest.raises(
            UsageError, match=r"Unknown strategy 'miror'\. Did you mean 'mirrored'"
        ):
            check("miror")
    for name in STRATEGIES:
        check_strategy(name)


@given(st.integers(1, 4096), st.integers(1, 64))
def test_a_batch_per_replica_does_not_depend_on_replicas(batch: int, replicas: int) -> None:
    found = replica_batch(
        batch_size=batch, global_batch_size=None, replicas=replicas, strategy="mirrored"
    )
    assert found == batch


@given(st.integers(1, 4096), st.integers(1, 64))
def test_a_global_batch_is_shared_evenly_or_refused_with_ones_that_can_be(
    size: int, replicas: int
) -> None:
    def shared(size: int) -> int:
        return replica_batch(
            batch_size=7, global_batch_size=size, replicas=replicas, strategy="mirrored"
        )

    if size % replicas == 0:
        assert shared(size) * replicas == size
        return
    with pytest.raises(DeviceError, match=f"by the {replicas} replicas of `mirrored`") as error:
        shared(size)
    advice = [int(word) for word in re.findall(r"\d+", str(error.value).rpartition("Use")[2])]
    assert advice
    for better in advice:
        assert abs(better - size) < replicas
        assert shared(better) * replicas == better


def test_the_words_for_a_batch_that_cannot_be_shared() -> None:
    with pytest.raises(DeviceError) as error:
        replica_batch(batch_size=1, global_batch_size=30, replicas=4, strategy="mirrored")
    assert str(error.value) == (
        "`global_batch_size` must be divisible by the 4 replicas of `mirrored`, but got 30. "
        "Use 28 or 32."
    )
