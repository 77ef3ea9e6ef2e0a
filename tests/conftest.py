"""What holds for all tests of a process: signals, and one set-up of TensorFlow's devices."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.machine import cpu_cores
from harness.store import Store


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start, also where the suite is a background job.

    A shell without job control starts such jobs with SIGINT ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the output folder of an empty current folder."""
    for name in ("MLFLOW_TRACKING_URI", "BENCH_OUT", "BENCH_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "bench-runs")


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    """Return what runs a command line in this process: to exit code, stdout and stderr."""

    def run(line: str) -> tuple[int, str, str]:
        code = cli._exit_code(
            lambda: cli.bench.main(line.split(), prog_name="bench", standalone_mode=False)
        )
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
