"""One set-up of TensorFlow for all tests of a process: it takes threads and devices only once."""

from __future__ import annotations

import sys

from harness.machine import cpu_cores


def pytest_collection_finish() -> None:
    """Make two logical CPU devices, if a test module has loaded TensorFlow.

    This runs after all test modules are imported and before any of them builds a model.
    """
    if "tensorflow" not in sys.modules:
        return
    import tensorflow as tf

    if not tf.config.get_logical_device_configuration(tf.config.list_physical_devices("CPU")[0]):
        tf.config.threading.set_intra_op_parallelism_threads(cpu_cores())
        tf.config.threading.set_inter_op_parallelism_threads(cpu_cores())
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
