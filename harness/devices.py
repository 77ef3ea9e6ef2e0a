"""Names of strategies and devices: what can be checked before TensorFlow is imported."""

from __future__ import annotations

import re

from harness.errors import DeviceError, unknown_name

STRATEGIES: dict[str, str] = {
    "auto": "all GPUs (mirrored) if there are several, else the GPU, else the CPU",
    "cpu": "one CPU device",
    "gpu": "one GPU",
    "mirrored": "one replica per device on this machine, gradients summed each step",
}
"""Each strategy with one line on what it does."""

_DEVICE = re.compile(r"(cpu|gpu):(0|[1-9]\d{0,3})")


def check_strategy(name: str) -> None:
    """Raise `UsageError` with the nearest name if there is no such strategy."""
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the device names in a list such as "gpu:0,gpu:1"; empty text gives none.

    Raises:
        DeviceError: a name is malformed or given twice, kinds are mixed, or CPU numbers have gaps.
    """
    names = tuple(part.strip().lower() for part in text.split(",")) if text.strip() else ()
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise DeviceError(
                f"`devices` must be names such as gpu:0,gpu:1 with commas between, got {text!r}."
            )
    if len(set(names)) != len(names):
        raise DeviceError(f"`devices` must name each device once, got {text!r}.")
    if len({name[:3] for name in names}) > 1:
        raise DeviceError(f"`devices` must be all CPUs or all GPUs, got {text!r}.")
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
    if strategy == "mirrored" and len(names) < 2:
        raise DeviceError(f"`mirrored` needs at least 2 devices, got {devices!r}.")


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
