"""Reading TF_CONFIG: what TensorFlow would read, and what is wrong with what it would not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from harness.errors import UsageError
from harness.tf_config import EXAMPLE, Cluster, read_cluster

TWO = ["a:1", "b:2"]


def read(cluster: Any, kind: Any = "worker", index: Any = 0) -> Cluster:
    values = {"cluster": cluster, "task": {"type": kind, "index": index}}
    return read_cluster({"TF_CONFIG": json.dumps(values)})


def test_a_worker_finds_its_place() -> None:
    for index in (0, 1):
        assert read({"worker": TWO}, index=index) == Cluster(
            addresses=("a:1", "b:2"), worker=index
        )
    assert read({"worker": TWO}, index="1").worker == 1
    assert read_cluster({"TF_CONFIG": EXAMPLE}).addresses == ("a:2222", "b:2222")


def test_a_chief_comes_first() -> None:
    cluster = {"worker": TWO, "chief": ["c:3"]}
    assert read(cluster, kind="chief") == Cluster(addresses=("c:3", "a:1", "b:2"), worker=0)
    assert read(cluster, index=1).worker == 2


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "  "}])
def test_without_it_there_is_no_cluster(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="needs the workers' addresses in TF_CONFIG") as error:
        read_cluster(environment)
    assert EXAMPLE in str(error.value)


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "reason"),
    [
        (None, "worker", 0, "has no cluster and task"),
        (["a:1"], "worker", 0, "has no cluster and task"),
        ({}, "worker", 0, "has the task type 'worker', but the cluster's jobs are: none"),
        ({"worker": []}, "worker", 0, "has the task type 'worker', but the cluster's jobs are"),
        ({"worker": "a:1"}, "worker", 0, "must list the addresses of 'worker', but has 'a:1'"),
        ({"worker": ["a"]}, "worker", 0, "has 'a', which is not HOST:PORT"),
        ({"worker": ["a:0"]}, "worker", 0, "has 'a:0', which is not HOST:PORT"),
        ({"worker": ["a:65536"]}, "worker", 0, "has 'a:65536', which is not HOST:PORT"),
        ({"worker": [1]}, "worker", 0, "has 1, which is not HOST:PORT"),
        ({"worker": ["a:1", "a:1"]}, "worker", 0, "names an address twice"),
        ({"worker": TWO, "ps": ["c:1"]}, "worker", 0, "has a job 'ps', but only chief and worker"),
        ({"worker": TWO, "chief": ["c:1", "d:1"]}, "worker", 0, "names 2 chiefs"),
        (
            {"worker": TWO},
            "chief",
            0,
            "has the task type 'chief', but the cluster's jobs are: wor",
        ),
        ({"worker": TWO}, "worker", 2, "has the task index 2, but 'worker' has 2 addresses"),
        ({"worker": TWO}, "worker", -1, "has the task index -1"),
        ({"worker": TWO}, "worker", True, "has the task index True"),
        ({"worker": TWO}, "worker", None, "has the task index None"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    cluster: Any, kind: str, index: Any, reason: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)) as error:
        read(cluster, kind, index)
    assert str(error.value).startswith("TF_CONFIG must be like {")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", "3", "null", '"x"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="TF_CONFIG must be like"):
        read_cluster({"TF_CONFIG": text})
