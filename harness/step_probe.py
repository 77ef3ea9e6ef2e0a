"""Measures, in a fresh process, the memory that one training step needs; see `step_memory`."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from harness.config import RunConfig
from harness.engine import Engine
from harness.engines import open_devices
from harness.errors import BenchError
from harness.machine import peak_rss_mib
from harness.model import blueprint
from harness.plain_words import in_words
from harness.pools import CLASSES
from harness.record import Measure
from harness.step_memory import StepMemory, absent
from harness.strategy import Layout
from harness.tf_keras import tf
from harness.train_step import EngineKey

_RESET_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")

_WARM_UP = RunConfig(backbone="readme-cnn", width=0.1, batch_size=1)
"""Trained for a step first: TensorFlow's own start takes some 40 MiB, whatever the network."""


def tell(config: str) -> None:
    """Measure a configuration (JSON) and print the result on a line of its own."""
    try:
        found = measure(RunConfig.from_json(json.loads(config)))
    except BenchError as error:
        found = absent(str(error).rstrip("."))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the reason says it
        found = absent(f"the step failed: {in_words(error)}")
    sys.stdout.write(f"\n{found.dumps()}\n")


def measure(config: RunConfig) -> StepMemory:
    """Build and train one step; this process must have built nothing before.

    Raises:
        BenchError: the devices cannot be opened, or the network cannot be built.
    """
    layout = open_devices(config)
    if layout.name == "tpu":
        return absent("TensorFlow does not tell how much of a TPU's memory is used")
    _train_step(_WARM_UP, layout)
    if layout.devices[0].startswith("gpu"):
        return _on_gpu(lambda: _train_step(config, layout), layout.devices[0])
    return _resident(lambda: _train_step(config, layout))


def _train_step(config: RunConfig, layout: Layout) -> Engine:
    """Build the network and take one step on blank images; return all that holds memory."""
    side = config.scene_spec().canvas_px
    plan = blueprint(config, image_shape=(side, side, 1), classes=CLASSES)
    engine = Engine(
        EngineKey(
            blueprint=plan, replica_batch=config.batch_size, steps_per_call=1,
            jit=config.jit == "on", box_loss=config.box_loss,
        ),
        layout,
    )  # fmt: skip
    engine.compile()
    return engine


def _on_gpu(step: Callable[[], Engine], device: str) -> StepMemory:
    name = device.upper()
    before = tf.config.experimental.get_memory_info(name)["current"]
    tf.config.experimental.reset_memory_stats(name)
    step()
    peak = tf.config.experimental.get_memory_info(name)["peak"]
    return StepMemory(peak_mib=Measure(value=(peak - before) / 2**20), where=f"memory of {device}")


def _resident(step: Callable[[], Engine]) -> StepMemory:
    before = _rss_mib()
    if before is None:
        return absent("only Linux says how much memory a process holds now")
    with contextlib.suppress(OSError):
        _RESET_PEAK.write_text("5")  # the peak falls to what is held now, where that is allowed
    peak_before = peak_rss_mib()
    step()
    peak = peak_rss_mib()
    if peak <= peak_before:
        return absent(f"it stays below the {peak_before:.0f} MiB that loading TensorFlow took")
    return StepMemory(peak_mib=Measure(value=peak - before), where="resident memory on the CPU")


def _rss_mib() -> float | None:
    """Return the resident set of this process now, in MiB."""
    try:
        found = re.search(r"^VmRSS:\s*(\d+) kB$", _STATUS.read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None
