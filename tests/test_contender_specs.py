"""What `--strategies` accepts, and what it says of everything else."""

from __future__ import annotations

import re

import pytest

from harness.contender_specs import check_shares, parse_specs
from harness.errors import DeviceError, UsageError


@pytest.mark.parametrize(
    ("text", "gpus", "expected"),
    [
        ("cpu,mirrored", 0, [("cpu", 1, ""), ("mirrored", 1, "cpu:0,cpu:1")]),
        ("cpu, mirrored:4", 0, [("cpu", 1, ""), ("mirrored", 1, "cpu:0,cpu:1,cpu:2,cpu:3")]),
        ("gpu,mirrored", 1, [("gpu", 1, ""), ("mirrored", 1, "cpu:0,cpu:1")]),
        ("gpu,mirrored", 3, [("gpu", 1, ""), ("mirrored", 1, "gpu:0,gpu:1,gpu:2")]),
        ("gpu,mirrored:2", 3, [("gpu", 1, ""), ("mirrored", 1, "gpu:0,gpu:1")]),
        ("cpu,multiworker", 0, [("cpu", 1, ""), ("multiworker", 2, "")]),
        ("multiworker:3,cpu", 0, [("multiworker", 3, ""), ("cpu", 1, "")]),
    ],
)
def test_what_is_asked_for(text: str, gpus: int, expected: list[tuple[str, int, str]]) -> None:
    found = parse_specs(text, gpus=gpus)
    assert [(spec.strategy, spec.workers, spec.devices) for spec in found] == expected
    assert [spec.text for spec in found] == [part.strip() for part in text.split(",")]


def test_replicas() -> None:
    specs = parse_specs("cpu,mirrored:4,multiworker:3", gpus=0)
    assert [spec.replicas for spec in specs] == [1, 4, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cpu,mirored", "Unknown strategy 'mirored'. Did you mean 'mirrored'? Known: cpu, gpu,"),
        ("cpu,mirrored:x", "Unknown strategy 'mirrored:x'. Did you mean 'mirrored'?"),
        ("cpu,", "Unknown strategy ''. Known: cpu, gpu, mirrored, multiworker."),
        ("cpu", "--strategies must name at least 2, the first of them the reference, got 'cpu'."),
        ("cpu,cpu", "must name each strategy once, but 'cpu' is the same as 'cpu'."),
        ("cpu,mirrored,mirrored:2", "but 'mirrored:2' is the same as 'mirrored'."),
        ("cpu:2,mirrored", "`cpu` is one device and takes no number, got 'cpu:2'."),
        ("cpu,mirrored:1", "`mirrored` must have at least 2 replicas, got 'mirrored:1'."),
        ("cpu,multiworker:0", "`multiworker` must have at least 2 replicas"),
        ("cpu,gpu", "`gpu` needs a GPU, but there is none to be used. Leave it out."),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        parse_specs(text, gpus=0)


def test_replicas_must_share_the_batch_evenly() -> None:
    specs = parse_specs("cpu,mirrored:4,multiworker:3", gpus=0)
    check_shares(specs, 12)
    words = "must be divisible by the 3 replicas of `multiworker:3`, but got 64. Use 63 or 66."
    with pytest.raises(DeviceError, match=re.escape(words)):
        check_shares(specs, 64)
