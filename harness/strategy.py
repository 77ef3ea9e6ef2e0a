"""Opens a `tf.distribute` strategy, or says why it cannot be had here."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass
from typing import Any

from harness.cluster import Cluster, read_cluster
from harness.devices import LOCAL_TPU, check_devices, find_tpu, parse_devices
from harness.errors import DeviceError
from harness.freed_memory import keep_freed_memory
from harness.machine import cpu_cores
from harness.tf_keras import tf
from harness.tpu import no_local_tpu, open_tpu, sees_local_tpu


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """An open strategy and what it stands on.

    Attributes:
        strategy: the `tf.distribute.Strategy`.
        name: what was chosen (a key of `STRATEGIES`), never "auto".
        devices: the names of this process's devices, such as ("cpu:0",).
        why: why this one, in words.
        workers: processes that train one model together, each with equally many replicas.
        worker: which of them this process is, in the order of their replicas.
        shards: parts of a batch that one CPU can work on at once, see `harness.shards`.
    """

    strategy: Any
    name: str
    devices: tuple[str, ...]
    why: str
    workers: int = 1
    worker: int = 0
    shards: int = 1

    @property
    def replicas(self) -> int:
        """Return the number of replicas in step, those of all workers."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def local_replicas(self) -> int:
        """Return the number of replicas that this process feeds."""
        return self.replicas // self.workers

    @property
    def chief(self) -> bool:
        """Whether this process speaks for all workers."""
        return self.worker == 0

    @property
    def feeds(self) -> tuple[str | None, ...]:
        """Return the device that holds the inputs of each replica of this process.

        Those of a TPU's cores stay with a host, that TensorFlow chooses: None.
        """
        if self.name == "tpu":
            return (None,) * self.local_replicas
        return tuple(self.strategy.extended.worker_devices)

    def share(self, global_batch: int) -> slice:
        """Return which examples of each global batch belong to this process."""
        local = global_batch // self.workers
        return slice(self.worker * local, (self.worker + 1) * local)


def open_layout(*, strategy: str, devices: str, threads: int, shards: int = 1) -> Layout:
    """Set up threads and devices of this process and open the strategy.

    TensorFlow takes threads and logical devices once per process, before its first operation.
    With `multiworker` this waits until all workers are there.

    Args:
        strategy: a key of `harness.devices.STRATEGIES`.
        devices: as `harness.devices.parse_devices` reads it; empty for the strategy's default.
        threads: threads per operation; 0 for one per core.
        shards: with more than 1, one CPU works on so many at once, with one thread each, unless
            the process was set up otherwise before.

    Raises:
        UsageError: unknown strategy, or no cluster for `multiworker`.
        DeviceError: the devices are not there, or were set up differently before.
    """
    check_devices(strategy, devices)
    keep_freed_memory()
    names = parse_devices(devices)
    cluster = read_cluster(os.environ) if strategy == "multiworker" else None
    tpu, found = _choose_tpu(strategy, names)
    if tpu:
        _set_threads(threads)
        return _tpu_layout(tpu, found)
    gpus = tuple(f"gpu:{i}" for i in range(len(_list("GPU"))))
    chosen, why = _choose(strategy, names, gpus)
    split = shards > 1 and chosen == ("cpu:0",) and not cluster and _set_split(shards)
    if not split:
        _set_threads(threads)
    _require(chosen, gpus)
    if cluster:
        return _multiworker_layout(cluster, chosen, why)
    why += found
    if len(chosen) == 1:
        one = tf.distribute.OneDeviceStrategy(f"/{chosen[0]}")
        return Layout(
            strategy=one, name=chosen[0][:3], devices=chosen, why=why,
            shards=shards if split else 1,
        )  # fmt: skip
    return Layout(strategy=_mirrored(chosen), name="mirrored", devices=chosen, why=why)


def would_take(strategy: str) -> str:
    """Return in words what a strategy would take on this machine; nothing is opened.

    A TPU that is named is not asked whether it is there.

    Args:
        strategy: a key of `harness.devices.STRATEGIES`.

    Raises:
        UsageError: it cannot be used here; the text says why, and what would help.
    """
    cluster = read_cluster(os.environ) if strategy == "multiworker" else None
    tpu, why = _choose_tpu(strategy, ())
    if tpu == LOCAL_TPU and not sees_local_tpu():
        raise no_local_tpu()
    if tpu:
        return f"tpu:{tpu} ({why})"
    gpus = tuple(f"gpu:{i}" for i in range(len(_list("GPU"))))
    chosen, reason = _choose(strategy, (), gpus)
    _check_gpus(chosen, gpus)
    place = f"worker {cluster.index} of {len(cluster.workers)}, " if cluster else ""
    return f"{', '.join(chosen)} ({place}{reason}{why})"


def _choose_tpu(strategy: str, names: tuple[str, ...]) -> tuple[str | None, str]:
    """Return the name of the TPU to use and why; or none, and what there is to say of that."""
    if names:
        kind, _, name = names[0].partition(":")
        return (name, "as asked for with --devices") if kind == "tpu" else (None, "")
    name = find_tpu() or ""
    match strategy:
        case "tpu":
            return name or LOCAL_TPU, "as asked for"
        case "auto" if name == LOCAL_TPU and not sees_local_tpu():
            return None, "; the TPU of this machine is not visible to TensorFlow"
        case "auto" if name:
            return name, "auto: there is a TPU"
        case _:
            return None, ""


def _tpu_layout(name: str, why: str) -> Layout:
    strategy = open_tpu(name)
    cores = tuple(f"tpu:{i}" for i in range(strategy.num_replicas_in_sync))
    return Layout(strategy=strategy, name="tpu", devices=cores, why=f"{why}: {name}")


def _multiworker_layout(cluster: Cluster, chosen: tuple[str, ...], why: str) -> Layout:
    if chosen[0].startswith("gpu"):
        # TensorFlow's strategy takes every GPU that it sees.
        physical = _list("GPU")
        _show_only([physical[int(name.partition(":")[2])] for name in chosen])
    workers = len(cluster.workers)
    return Layout(
        strategy=_multiworker(), name="multiworker", devices=chosen,
        why=f"worker {cluster.index} of {workers}, {why}",
        workers=workers, worker=cluster.index,
    )  # fmt: skip


def _show_only(gpus: list[Any]) -> None:
    if gpus == tf.config.get_visible_devices("GPU"):
        return
    try:
        tf.config.set_visible_devices(gpus, "GPU")
    except RuntimeError as error:
        raise DeviceError(
            "The GPUs of a worker must be chosen before TensorFlow's first operation, but this "
            "process has already run some. Start a fresh process."
        ) from error


@functools.cache
def _multiworker() -> Any:
    # One per process, as of `_mirrored`; besides, its server can be started only once.
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(names: tuple[str, ...]) -> Any:
    # One per process: two number their collectives alike, and "shape mismatch in the collective
    # instance" ends the second one's first step and all that follow.
    return tf.distribute.MirroredStrategy([f"/{name}" for name in names])


def _choose(
    strategy: str, names: tuple[str, ...], gpus: tuple[str, ...]
) -> tuple[tuple[str, ...], str]:
    """Return the devices to use and why."""
    if names:
        return names, "as asked for with --devices"
    match strategy:
        case "cpu":
            return ("cpu:0",), "as asked for"
        case "gpu":
            return gpus[:1] or ("gpu:0",), "as asked for"
        case "mirrored" if len(gpus) < 2:
            raise DeviceError(
                f"`mirrored` needs at least 2 GPUs, found {len(gpus)}. To try it on logical CPU "
                "devices add --devices cpu:0,cpu:1."
            )
        case "mirrored":
            return gpus, f"all {len(gpus)} GPUs"
        case "multiworker" if gpus:
            return gpus, "all its GPUs"
        case "multiworker":
            return ("cpu:0",), "no GPU found"
        case _ if len(gpus) > 1:
            return gpus, f"auto: all {len(gpus)} GPUs"
        case _ if gpus:
            return gpus, "auto: the one GPU"
        case _:
            return ("cpu:0",), "auto: no GPU found"


def _require(names: tuple[str, ...], gpus: tuple[str, ...]) -> None:
    """Make logical CPU devices, or check that the GPUs are there."""
    if names[0].startswith("cpu"):
        # A GPU that TensorFlow sees it takes whole, and leaves to nobody else. Too late in a
        # process that has used one.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
        _split_cpu(len(names))
    _check_gpus(names, gpus)


def _check_gpus(names: tuple[str, ...], gpus: tuple[str, ...]) -> None:
    """Raise `DeviceError` if one of the names is a GPU that TensorFlow does not see."""
    missing = sorted(name for name in set(names) - set(gpus) if name.startswith("gpu"))
    if missing:
        found = ", ".join(gpus) if gpus else "none"
        raise DeviceError(
            f"TensorFlow must see {missing[0]}, but the GPUs found are: {found}. Use --strategy "
            "cpu, or install the driver and `pip install 'locbench[gpu]'`."
        )


def _split_cpu(count: int) -> None:
    cpu = _list("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu)
    if len(configured or [None]) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise DeviceError(
            f"{count} logical CPU devices must be made before TensorFlow's first operation, but "
            "this process has already run some. Start a fresh process."
        ) from error


def _set_threads(threads: int) -> None:
    wanted = threads or cpu_cores()
    if tf.config.threading.get_intra_op_parallelism_threads() == wanted:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(wanted)
        tf.config.threading.set_inter_op_parallelism_threads(wanted)
    except RuntimeError as error:
        raise DeviceError(
            f"`threads` must be set before TensorFlow's first operation, but this process already "
            f"runs with {tf.config.threading.get_intra_op_parallelism_threads()}, not {wanted}. "
            "Start a fresh process."
        ) from error


def _set_split(shards: int) -> bool:
    """Set up one thread for each of several shards, unless this process has other threads."""
    threading = tf.config.threading
    found = (
        threading.get_intra_op_parallelism_threads(),
        threading.get_inter_op_parallelism_threads(),
    )
    if found == (1, shards):
        return True
    if found != (0, 0):
        return False
    try:
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(shards)
    except RuntimeError:  # it has run some operation, with threads of TensorFlow's choice
        return False
    return True


def _list(kind: str) -> list[Any]:
    return list(tf.config.list_physical_devices(kind))
