"""Names of strategies and devices, checked before anything slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.devices import (
    STRATEGIES,
    check_devices,
    check_strategy,
    parse_devices,
    replica_batch,
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
    ],
)
def test_devices_that_cannot_be_are_refused(text: str, reason: str) -> None:
    with pytest.raises(DeviceError, match=re.escape(reason)) as error:
        parse_devices(text)
    assert repr(text) in str(error.value)


@given(st.text(alphabet="cpugt:0123, /x", max_size=20))
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
    ],
)
def test_devices_that_do_not_suit_a_strategy_are_refused(
    strategy: str, devices: str, reason: str
) -> None:
    with pytest.raises(DeviceError, match=re.escape(reason)):
        check_devices(strategy, devices)


@pytest.mark.parametrize(
    ("strategy", "devices"),
    [("cpu", "cpu:0"), ("gpu", "gpu:3"), ("mirrored", "cpu:0,cpu:1"), ("auto", "gpu:0,gpu:5")],
)
def test_devices_that_suit_pass(strategy: str, devices: str) -> None:
    check_devices(strategy, devices)
    check_devices(strategy, "")


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
