"""How much memory of a device TensorFlow held at most."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from harness.record import Measure
from harness.tf_keras import tf


def forget_peak(devices: Sequence[str]) -> None:
    """Begin anew, so that an earlier run of this process is not charged to the next one."""
    for device in _with_memory(devices):
        with suppress(ValueError, tf.errors.OpError):  # told when it is read
            tf.config.experimental.reset_memory_stats(device)


def peak_device_mib(devices: Sequence[str]) -> Measure:
    """Return the largest peak of the devices of this process since `forget_peak`, in MiB.

    Args:
        devices: names such as "gpu:0"; the memory of a CPU is that of the process.
    """
    if not _with_memory(devices):
        return Measure(reason="the devices have no memory of their own")
    try:
        peaks = [
            tf.config.experimental.get_memory_info(device)["peak"] / 2**20
            for device in _with_memory(devices)
        ]
    except (ValueError, tf.errors.OpError) as error:
        first = str(error).partition("\n")[0].rstrip(".")
        return Measure(reason=f"TensorFlow does not tell: {first}")
    return Measure(value=max(peaks), samples=tuple(peaks))


def _with_memory(devices: Sequence[str]) -> list[str]:
    return [device.upper() for device in devices if not device.startswith("cpu")]
