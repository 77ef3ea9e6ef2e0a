"""Opens a `tf.distribute` strategy, or says why it cannot be had here."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from harness.devices import check_devices, parse_devices
from harness.errors import DeviceError
from harness.machine import cpu_cores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """An open strategy and what it stands on.

    Attributes:
        strategy: the `tf.distribute.Strategy`.
        name: what was chosen ("cpu", "gpu" or "mirrored"), also where "auto" was asked for.
        devices: the names of its devices, such as ("cpu:0",).
        why: why this one, in words.
    """

    strategy: Any
    name: str
    devices: tuple[str, ...]
    why: str

    @property
    def replicas(self) -> int:
        """Return the number of replicas in step."""
        return int(self.strategy.num_replicas_in_sync)


def open_layout(*, strategy: str, devices: str, threads: int) -> Layout:
    """Set up threads and devices of this process and open the strategy.

    TensorFlow takes threads and logical devices once per process, before its first operation.

    Args:
        strategy: a key of `harness.devices.STRATEGIES`.
        devices: as `harness.devices.parse_devices` reads it; empty for the strategy's default.
        threads: threads per operation; 0 for one per core.

    Raises:
        UsageError: unknown strategy.
        DeviceError: the devices are not there, or were set up differently before.
    """
    check_devices(strategy, devices)
    names = parse_devices(devices)
    _set_threads(threads)
    gpus = tuple(f"gpu:{i}" for i in range(len(_list("GPU"))))
    chosen, why = _choose(strategy, names, gpus)
    _require(chosen, gpus)
    if len(chosen) == 1:
        one = tf.distribute.OneDeviceStrategy(f"/{chosen[0]}")
        return Layout(strategy=one, name=chosen[0][:3], devices=chosen, why=why)
    return Layout(strategy=_mirrored(chosen), name="mirrored", devices=chosen, why=why)


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
        return
    missing = sorted(set(names) - set(gpus))
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


def _list(kind: str) -> list[Any]:
    return list(tf.config.list_physical_devices(kind))
