"""Names of strategies and devices: what can be checked before TensorFlow is imported."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

from harness.errors import DeviceError, unknown_name

STRATEGIES: dict[str, str] = {
    "auto": "the TPU if there is one, else all GPUs (mirrored), else the GPU, else the CPU",
    "cpu": "one CPU device",
    "gpu": "one GPU",
    "mirrored": "one replica per device on this machine, gradients summed each step",
    "multiworker": "mirrored over the devices of all workers that TF_CONFIG names",
    "tpu": "one replica per core of a TPU, of this machine or named by TPU_NAME or --devices",
}
"""Each strategy with one line on what it does."""

LOCAL_TPU = "local"
"""How the TPU of this machine is named, by TensorFlow's resolver too."""

DEV = Path("/dev")
"""Folder of the device files."""

# A number, or the beginning of a unique name; CUDA ignores all from the first other word on.
_VISIBLE = re.compile(r"\d+|(GPU|MIG)-.+")

# A TPU's name, as Google Cloud allows it, or its address.
_DEVICE = re.compile(
    r"(cpu|gpu):(0|[1-9]\d{0,3})|tpu:([a-z]([-a-z0-9]{0,61}[a-z0-9])?|grpc://[^\s,/:]+:\d+)"
)


def check_strategy(name: str) -> None:
    """Raise `UsageError` with the nearest name if there is no such strategy."""
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the device names in a list such as "gpu:0,gpu:1"; empty text gives none.

    A TPU is one name, whatever its cores: "tpu:local", "tpu:NAME" or "tpu:grpc://HOST:PORT".

    Raises:
        DeviceError: a name is malformed or given twice, kinds are mixed, CPU numbers have gaps,
            or several TPUs are named.
    """
    names = tuple(part.strip().lower() for part in text.split(",")) if text.strip() else ()
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise DeviceError(
                f"`devices` must be names such as gpu:0,gpu:1 with commas between, or tpu:NAME, "
                f"got {text!r}."
            )
    if len(set(names)) != len(names):
        raise DeviceError(f"`devices` must name each device once, got {text!r}.")
    if len({name[:3] for name in names}) > 1:
        raise DeviceError(f"`devices` must be all CPUs or all GPUs, got {text!r}.")
    if len(names) > 1 and names[0].startswith("tpu"):
        raise DeviceError(f"`devices` must name one TPU, got {text!r}.")
    if names and names[0].startswith("cpu") and _numbers(names) != set(range(len(names))):
        raise DeviceError(f"Logical CPU devices must be numbered from cpu:0, got {text!r}.")
    return names


def check_devices(strategy: str, devices: str) -> None:
    """Check a strategy and its devices against each other, without looking at the hardware.

    Raises:
        UsageError: unknown strategy.
        DeviceError: the devices do not suit the strategy.
    """
    check_strategy(strategy)
    names = parse_devices(devices)
    if not names:
        return
    kind = names[0][:3]
    if strategy in {"cpu", "gpu"} and (kind != strategy or len(names) > 1):
        raise DeviceError(f"`{strategy}` uses one {strategy.upper()}, got devices {devices!r}.")
    if strategy == "tpu" and kind != "tpu":
        raise DeviceError(f"`tpu` uses a TPU such as tpu:local or tpu:NAME, got {devices!r}.")
    if strategy in {"mirrored", "multiworker"} and kind == "tpu":
        raise DeviceError(f"`{strategy}` uses CPUs or GPUs, got {devices!r}. Use --strategy tpu.")
    if strategy == "mirrored" and len(names) < 2:
        raise DeviceError(f"`mirrored` needs at least 2 devices, got {devices!r}.")
    if strategy == "multiworker" and kind == "cpu" and len(names) > 1:
        # TensorFlow counts a worker's CPU once, however many logical devices it has.
        raise DeviceError(
            f"`multiworker` uses one CPU device per worker, got {devices!r}. For more replicas "
            "on this machine start more workers."
        )


def known_replicas(strategy: str, devices: str) -> int | None:
    """Return the number of replicas, if it can be told before the devices are opened."""
    names = parse_devices(devices)
    if not names or names[0].startswith("tpu") or strategy == "multiworker":
        return None
    return len(names)


def uses_tpu(strategy: str, devices: str) -> bool:
    """Tell whether a TPU would be opened, as far as can be told without TensorFlow."""
    if devices:
        return parse_devices(devices)[0].startswith("tpu")
    return strategy == "tpu" or (strategy == "auto" and find_tpu() is not None)


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them.

    Whoever gives a process GPUs of its own must choose from these: a scheduler may have granted
    some of the machine's only. Looks at the environment and at device files alone.
    """
    files = list(DEV.glob("nvidia[0-9]*"))
    allowed = environment.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not files:
        # Not the files' own numbers: CUDA counts what a container shows from 0.
        return [str(number) for number in range(len(files))]
    names = (name.strip() for name in allowed.split(","))
    return list(takewhile(_VISIBLE.fullmatch, names))


def find_tpu(environment: Mapping[str, str] = os.environ, *, dev: Path = DEV) -> str | None:
    """Return the name of the TPU that TPU_NAME names or this machine has; None if there is none.

    Looks at the environment and at device files alone, which costs less than a millisecond.

    Args:
        environment: where TPU_NAME is looked up.
        dev: folder of the device files.
    """
    name = environment.get("TPU_NAME", "").strip().lower()
    if name:
        return name
    # Chips up to v4 are accel0 ..., later ones vfio/0 .... Other hardware uses such files too, and
    # libtpu may be installed anywhere: only both together mean a TPU that can be used.
    files = [*dev.glob("accel[0-9]*"), *dev.glob("vfio/[0-9]*")]
    return LOCAL_TPU if files and _has_libtpu(environment) else None


def _has_libtpu(environment: Mapping[str, str]) -> bool:
    named = bool(environment.get("TPU_LIBRARY_PATH"))
    return named or importlib.util.find_spec("libtpu") is not None


def _numbers(names: tuple[str, ...]) -> set[int]:
    return {int(name.split(":")[1]) for name in names}


def replica_batch(
    *, batch_size: int, global_batch_size: int | None, replicas: int, strategy: str
) -> int:
    """Return the images per replica and step.

    Raises:
        DeviceError: the replicas cannot share the global batch evenly.
    """
    if global_batch_size is None:
        return batch_size
    if global_batch_size % replicas:
        below = global_batch_size // replicas * replicas
        use = f"{below} or {below + replicas}" if below else f"{replicas}"
        raise DeviceError(
            f"`global_batch_size` must be divisible by the {replicas} replicas of `{strategy}`, "
            f"but got {global_batch_size}. Use {use}."
        )
    return global_batch_size // replicas
