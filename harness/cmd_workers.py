"""How many workers a sweep starts, and which devices each of them may use."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from architectures.builtin import BUILTIN
from harness.child_python import environment, python
from harness.config import RunConfig
from harness.console import waiting
from harness.devices import parse_devices, uses_tpu, visible_gpus
from harness.errors import DeviceError, PluginError, UsageError
from harness.machine import cpu_cores
from sweeps.pool import LocalPool

EXECUTE = "harness.run:work"

_OPEN_DEVICES = "import sys; from harness.engines import probe; probe(sys.argv[1])"

_LOAD_PARTS = """
import json, sys
from architectures import heads, registry
from harness.errors import BenchError
try:
    for backbone, options, head in json.loads(sys.argv[1]):
        registry.get(backbone).check_options(options)
        heads.get_head(head)
except BenchError as error:
    sys.stdout.write(f"\\n{error}")
    sys.exit(error.exit_code)
"""


def start_pool(config: RunConfig, log_dir: Path, hang_after_s: float, workers: int) -> LocalPool:
    """Start processes that train; `config` says which devices they share."""
    return LocalPool(
        workers, execute=EXECUTE, log_dir=log_dir, silence_s=hang_after_s,
        environment=partial(worker_environment, config),
    )  # fmt: skip


def check_sweepable(asked: int | None, config: RunConfig) -> None:
    """Refuse strategies that the workers of a sweep cannot share.

    Raises:
        UsageError: `multiworker`, or several workers for one TPU.
    """
    if config.strategy == "multiworker":
        raise UsageError(
            "A sweep's workers are processes of this machine, each with a model of its own, so "
            "--strategy must not be multiworker. Leave it out, or use `bench run`."
        )
    if asked not in {None, 1} and uses_tpu(config.strategy, config.devices):
        raise UsageError(
            f"A TPU belongs to one process, so --workers must be 1 with it, got {asked}. For more "
            "of them use --strategy cpu."
        )


def count_workers(asked: int | None, config: RunConfig, most: int) -> int:
    """Return how many trainings go on at once: as asked, else one per TPU, GPU or core.

    Args:
        asked: for so many, or None.
        config: says which devices they share.
        most: that can be busy.
    """
    if asked is not None:
        return asked
    if uses_tpu(config.strategy, config.devices):
        return 1
    if len(parse_devices(config.devices)) > 1 or config.strategy == "mirrored":
        return 1
    return min(most, len(_gpus(config)) or max(1, cpu_cores() // max(1, config.threads)))


def check_before_trials(trials: Sequence[RunConfig]) -> None:
    """Try what would make every trial fail: GPUs, a TPU, and backbones and heads of others.

    Both in a process of its own: this one would hold the devices while the workers train, and a
    plug-in may do anything.

    Args:
        trials: some that together name every backbone, option and head; all on equal devices.

    Raises:
        DeviceError: the GPUs or the TPU are not there.
        PluginError: a backbone or head cannot be loaded.
        UsageError: a backbone does not have an option that is set or searched.
    """
    foreign = [t for t in trials if t.backbone not in BUILTIN or ":" in t.head]
    if foreign:
        parts = {(t.backbone, tuple(t.backbone_options()), t.head) for t in foreign}
        with waiting("loading backbone and head ..."):
            code, said = _try(_LOAD_PARTS, json.dumps(sorted(parts)))
        if code:
            raise UsageError(said) if code == UsageError.exit_code else PluginError(said)
    config = trials[0]
    wants_gpu = config.strategy in {"gpu", "mirrored"} and not config.devices.startswith("cpu")
    wants_gpu = wants_gpu or config.devices.startswith("gpu")
    if not wants_gpu and not uses_tpu(config.strategy, config.devices):
        return
    with waiting("looking for the devices ..."):
        code, said = _try(_OPEN_DEVICES, json.dumps(config.to_json()))
    if code:
        raise DeviceError(said)


def _try(code: str, argument: str) -> tuple[int, str]:
    """Run code in a fresh process; return its exit code and, if it failed, its last words."""
    done = subprocess.run(
        python("-c", code, argument), env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    words = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return done.returncode, words[-1] if words else f"exit code {done.returncode}"


def _gpus(config: RunConfig) -> list[str]:
    """Return the GPUs of which workers may be given one each; none for the CPU or a TPU."""
    if config.strategy == "cpu" or config.devices.startswith("cpu"):
        return []
    return [] if uses_tpu(config.strategy, config.devices) else visible_gpus()


def worker_environment(config: RunConfig, slot: int) -> Mapping[str, str]:
    """Return the variables of the worker in a slot: few threads, and a GPU of its own."""
    values = {"OMP_NUM_THREADS": str(max(1, config.threads)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    gpus = _gpus(config)
    if not gpus:
        values["CUDA_VISIBLE_DEVICES"] = "-1"
    elif not config.devices and config.strategy != "mirrored":
        values["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return values
