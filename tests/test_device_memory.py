"""Peak memory of devices: absent with a reason where there is none to tell."""

from __future__ import annotations

import pytest
import tensorflow as tf

from harness.device_memory import forget_peak, peak_device_mib


def test_a_cpu_has_no_memory_of_its_own() -> None:
    forget_peak(["cpu:0", "cpu:1"])
    found = peak_device_mib(["cpu:0", "cpu:1"])
    assert (found.value, found.reason) == (None, "the devices have no memory of their own")


def test_a_device_that_tells_nothing_is_absent_with_what_tensorflow_says() -> None:
    forget_peak(["tpu:0"])
    found = peak_device_mib(["tpu:0"])
    assert found.value is None
    assert found.reason is not None
    assert found.reason.startswith("TensorFlow does not tell: ")
    assert "\n" not in found.reason


@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="no GPU")
def test_a_gpu_tells_what_was_held_since_the_run_began() -> None:
    with tf.device("/gpu:0"):
        tf.ones((64, 2**20)).numpy()
        assert (peak_device_mib(["gpu:0"]).value or 0) >= 256
        forget_peak(["gpu:0"])
        tf.ones((2**20,)).numpy()
    assert 4 <= (peak_device_mib(["gpu:0"]).value or 0) < 256
