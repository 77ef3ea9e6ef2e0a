"""Who trains together: `TF_CONFIG` read and checked into one value; imports nothing slow.

`TF_CONFIG` is how TensorFlow is told of a cluster. It is JSON, the same on every host but for
its `task`:

    {"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}

A `chief`, if there is one, comes before the workers and counts as worker 0.
"""

from __future__ import annotations

import errno
import json
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from harness.config import digest_of
from harness.errors import UsageError

VARIABLE = "TF_CONFIG"

CONTROL_OFFSET = 1000
"""How far above the chief's port in `TF_CONFIG` bench listens by default: far enough to miss the
ports of other workers on the same host, which people number one by one."""

_LAST_PORT = 65_535
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
_EVERYWHERE = ("0.0.0.0", "[::]", "[::0]")
_HOW = (
    "To try it on this machine use `bench launch --local-workers 2`; for several machines "
    "`bench launch --hosts a:2222,b:2222` says what to type on each."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host as it is named in `TF_CONFIG`, and a port on it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def resolved(self) -> tuple[socket.AddressFamily, Any]:
        """Return the address family and what `socket.bind` and `connect` take.

        Raises:
            OSError: the host has no address.
        """
        host = self.host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # such as a..b, or a part of more than 63 letters
            raise socket.gaierror(socket.EAI_NONAME, "no host can have this name") from error
        return found[0][0], found[0][4]

    def is_here(self) -> bool:
        """Tell whether the host is this machine: by a loopback name or an address of its own."""
        try:
            family, (host, _, *rest) = self.resolved()
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # The kernel lets a socket be bound to addresses of this machine alone.
                probe.bind((host, 0, *rest))
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The workers of one training, and which of them this process is.

    Attributes:
        workers: where each worker's TensorFlow listens; the chief is worker 0.
        index: the number of this process.
    """

    workers: tuple[Address, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the record, talks to MLflow and shows the progress."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Return how errors call a worker, such as "worker 1 (b:2222)"."""
        kind = "the chief, worker 0" if index == 0 else f"worker {index}"
        return f"{kind} ({self.workers[index]})"

    def digest(self) -> str:
        """Return what all workers of this cluster share, and those of others do not."""
        return digest_of([str(worker) for worker in self.workers])

    def tf_config(self, index: int | None = None) -> str:
        """Return the `TF_CONFIG` of a worker, of this one if none is named."""
        cluster = {"worker": [str(worker) for worker in self.workers]}
        task = {"type": "worker", "index": self.index if index is None else index}
        return json.dumps({"cluster": cluster, "task": task})


def read_cluster(environment: Mapping[str, str]) -> Cluster:
    """Return the cluster that `TF_CONFIG` describes.

    Args:
        environment: such as `os.environ`.

    Raises:
        UsageError: there is no such variable, or what it says cannot be trained on.
    """
    text = environment.get(VARIABLE, "").strip()
    if not text:
        raise UsageError(
            f"`multiworker` must be told of its workers by {VARIABLE}, but that is not set. {_HOW}"
        )
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{VARIABLE} must be JSON, but is not: {error}. {_HOW}") from error
    groups = values.get("cluster") if isinstance(values, dict) else None
    if not isinstance(groups, dict) or not groups:
        raise UsageError(f'{VARIABLE} must have a "cluster" of workers, but has none. {_HOW}')
    workers = _workers(groups)
    return Cluster(workers=workers, index=_index(values.get("task"), groups, len(workers)))


def parse_hosts(text: str) -> tuple[Address, ...]:
    """Return the addresses in a list such as "a:2222,b:2222".

    Raises:
        UsageError: one is malformed or given twice, or there are fewer than two.
    """
    return _checked([part.strip() for part in text.split(",")], "--hosts")


def control_address(cluster: Cluster, port: int | None) -> Address:
    """Return where the chief listens for the other workers.

    Args:
        cluster: who trains.
        port: as the user set it; None for the port of the chief in `TF_CONFIG` plus 1000 (minus,
            where that leaves the range), or the next one that no worker on its host has.

    Raises:
        UsageError: the port is none, or a worker's.
    """
    chief = cluster.workers[0]
    taken = {worker.port for worker in cluster.workers if worker.host == chief.host}
    if port is None:
        above = chief.port + CONTROL_OFFSET
        port = above if above < _LAST_PORT - len(taken) else chief.port - CONTROL_OFFSET
        while port in taken:
            port += 1
    if not 1 <= port <= _LAST_PORT:
        raise UsageError(f"`--control-port` must be 1 to {_LAST_PORT}, got {port}.")
    if port in taken:
        raise UsageError(f"`--control-port` must be no worker's port, got {port}.")
    return Address(host=chief.host, port=port)


def check_port_free(address: Address, what: str) -> None:
    """Raise `UsageError` if somebody listens at an address of this machine.

    An address that is none of this machine's passes: it may be translated on the way.
    """
    try:
        family, place = address.resolved()
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return
        raise UsageError(
            f"{what} must be free, but another process has {address}. End it, or choose another "
            "port."
        ) from error


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that nobody has; all are held until the last is found."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def _workers(groups: Mapping[str, Any]) -> tuple[Address, ...]:
    """Return the addresses of all workers, the chief's first."""
    for kind in groups:
        if kind == "ps":
            raise UsageError(
                f'{VARIABLE} must not have parameter servers ("ps"): they train asynchronously, '
                "which is another algorithm and cannot be certified. Make them workers."
            )
        if kind not in {"chief", "worker"}:
            raise UsageError(
                f'The cluster of {VARIABLE} must hold "chief" and "worker" alone, got {kind!r}.'
            )
    for kind, found in groups.items():
        if not isinstance(found, list):
            raise UsageError(f"{VARIABLE} must list the addresses of {kind!r}, got {found!r}.")
    chiefs = groups.get("chief", [])
    if len(chiefs) > 1:
        raise UsageError(f"{VARIABLE} must have one chief at most, got {len(chiefs)}.")
    return _checked([*chiefs, *groups.get("worker", [])], VARIABLE)


def _checked(texts: Sequence[Any], origin: str) -> tuple[Address, ...]:
    addresses = tuple(_address(text, origin) for text in texts if text != "")
    twice = [address for address in addresses if addresses.count(address) > 1]
    if twice:
        raise UsageError(f"{origin} must name each address once, but {twice[0]} is named twice.")
    if len(addresses) < 2:
        raise UsageError(
            f"{origin} must name at least 2 workers, got {len(addresses)}. For one machine leave "
            "`--strategy multiworker` out."
        )
    return addresses


def _address(text: Any, origin: str) -> Address:
    found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if found is None or not 1 <= int(found[2]) <= _LAST_PORT:
        raise UsageError(f"{origin} must hold addresses such as a:2222, got {text!r}.")
    if found[1] in _EVERYWHERE:
        raise UsageError(
            f"{origin} must hold addresses that the others can reach, got {text!r}, which means "
            "every address of a machine. Name one."
        )
    return Address(host=found[1], port=int(found[2]))


def _index(task: Any, groups: Mapping[str, Any], workers: int) -> int:
    """Return the number of this process among all workers."""
    if not isinstance(task, dict):
        raise UsageError(
            f'{VARIABLE} must say which worker this is, such as "task": {{"type": "worker", '
            f'"index": 0}}, got {task!r}.'
        )
    kind, index = task.get("type", "worker"), task.get("index", 0)
    if not isinstance(kind, str) or kind not in groups:
        raise UsageError(
            f"The task of {VARIABLE} must be one of its cluster's {', '.join(sorted(groups))}, "
            f"got {kind!r}."
        )
    if isinstance(index, str) and re.fullmatch(r"\d{1,6}", index):
        index = int(index)  # TensorFlow takes it so, and some schedulers write it so
    count = len(groups[kind])
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
        raise UsageError(
            f"The task index of {VARIABLE} must be 0 to {count - 1} for its {count} {kind!r}, "
            f"got {index!r}."
        )
    return index + (workers - count if kind == "worker" else 0)
