"""Reads `TF_CONFIG`, which tells TensorFlow of a cluster and of this worker's place in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError

VARIABLE = "TF_CONFIG"

EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'

_JOBS = ("chief", "worker")
"""The jobs that train, in the order in which TensorFlow numbers their replicas."""

_ADDRESS = re.compile(r"[^\s,/]+:(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The workers that train one model together.

    Attributes:
        addresses: "host:port" of each worker, in the order of their replicas; the first is chief.
        worker: which of them this process is.
    """

    addresses: tuple[str, ...]
    worker: int


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Return the cluster that `TF_CONFIG` describes.

    Raises:
        UsageError: it is missing, or is not what TensorFlow expects of a worker.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        raise UsageError(
            f"`multiworker` needs the workers' addresses in {VARIABLE}, which is not set. Set it "
            f"on each worker, as in {VARIABLE}='{EXAMPLE}'."
        )
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong(f"is not JSON: {error}") from error
    cluster, task = _objects(values)
    jobs = {job: _addresses(job, cluster[job]) for job in _JOBS if cluster.get(job)}
    addresses = tuple(address for job in jobs.values() for address in job)
    if len(set(addresses)) != len(addresses):
        raise _wrong("names an address twice")
    return Cluster(addresses=addresses, worker=addresses.index(_own_address(jobs, task)))


def _objects(values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the cluster and the task."""
    known = values if isinstance(values, dict) else {}
    cluster, task = known.get("cluster"), known.get("task")
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise _wrong("has no cluster and task")
    unknown = sorted(set(cluster) - set(_JOBS))
    if unknown:
        raise _wrong(f"has a job {unknown[0]!r}, but only chief and worker train")
    return cluster, task


def _addresses(job: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(f"must list the addresses of {job!r}, but has {value!r}")
    for address in value:
        found = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if found is None or not 1 <= int(found[1]) <= 65535:
            raise _wrong(f"has {address!r}, which is not HOST:PORT")
    if job == "chief" and len(value) > 1:
        raise _wrong(f"names {len(value)} chiefs")
    return tuple(value)


def _own_address(jobs: Mapping[str, tuple[str, ...]], task: Mapping[str, Any]) -> str:
    kind, index = str(task.get("type")), task.get("index")
    if kind not in jobs:
        names = ", ".join(jobs) or "none"
        raise _wrong(f"has the task type {kind!r}, but the cluster's jobs are: {names}")
    addresses = jobs[kind]
    # TensorFlow takes the number as text too, as some launchers write it.
    number = int(index) if isinstance(index, str) and index.isdecimal() else index
    if type(number) is not int or not 0 <= number < len(addresses):
        raise _wrong(f"has the task index {index!r}, but {kind!r} has {len(addresses)} addresses")
    return addresses[number]


def _wrong(what: str) -> UsageError:
    return UsageError(f"{VARIABLE} must be like {EXAMPLE}, but it {what}.")
