"""The devices and the compiled engine of this process, kept from one run to the next.

A sweep's worker trains many trials of one backbone: only the first pays for tracing and compiling.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import sys

from harness.cause import cause_of
from harness.config import RunConfig
from harness.data import Data
from harness.devices import replica_batch
from harness.engine import Engine
from harness.errors import BenchError, UsageError
from harness.first_block import pays
from harness.jit_choice import JitChoice, choose, compiled
from harness.machine import cpu_cores, memory_gib, resident_mib
from harness.model import blueprint
from harness.record import Measure
from harness.shards import wanted
from harness.strategy import Layout, open_layout
from harness.train_step import EngineKey

KEPT = 4
"""Engines that a process keeps, so that a search over a few networks compiles each once. Measured
on a CPU: alternating between four small networks for 24 runs took 949 MiB instead of 860 for one.
A network that is dropped leaves about 16 MiB of its graph behind, which TensorFlow does not free
and gc does not find: dropping more of them would save nothing."""

MEMORY_SHARE = 1 / 8
"""A process that holds more of the machine's memory than this keeps one engine only: the others of
a sweep, at most four by default, train beside it, and each needs room to work."""


def open_devices(config: RunConfig, *others: RunConfig, split: bool = True) -> Layout:
    """Open the strategy of a configuration, for this process and once.

    Args:
        config: what is trained first.
        others: what this process trains after it, on the same devices.
        split: whether a CPU may cut batches into shards. A sweep's worker trains whatever comes,
            and its results must not depend on what came first.

    Raises:
        UsageError: unknown strategy.
        DeviceError: the devices are not there, or cannot share the batch.
    """
    key = config.strategy, config.devices, config.threads
    if key not in _layouts:
        shards = wanted([config, *others], cpu_cores()) if split else 1
        _layouts[key] = open_layout(
            strategy=config.strategy, devices=config.devices, threads=config.threads, shards=shards
        )
    layout = _layouts[key]
    _replica_batch(config, layout)
    return layout


def probe(config: str) -> None:
    """Exit 0 if the devices of a configuration (JSON) can be opened, else say why and exit 2."""
    try:
        open_devices(RunConfig.from_json(json.loads(config)))
    except BenchError as error:
        sys.stdout.write(str(error))
        sys.exit(error.exit_code)


def compiled_engine(
    config: RunConfig, data: Data, layout: Layout, *, decided: JitChoice | None = None
) -> tuple[Engine, Measure, JitChoice | None]:
    """Return a compiled engine, the seconds that compiling took, and what `--jit auto` chose.

    The last few engines are kept, and so is what was chosen: a process decides once, so that the
    seeds of one configuration are compiled alike.

    Args:
        config: says what to build.
        data: the examples to train on.
        layout: the open strategy.
        decided: what an earlier process chose for this run, which then holds.

    Raises:
        UsageError: there are too few training examples for one step.
        PluginError: the backbone cannot be built or compiled.
    """
    before = _compiled.cache_info().hits
    key, auto = engine_key(config, data, layout), config.jit == "auto"
    if auto and decided is not None:
        _choices[key, layout] = decided
    engine, compile_s = _compiled(key, layout, auto=auto)
    choice = _choices[key, layout] if auto else None
    if _compiled.cache_info().hits > before:
        return engine, Measure(reason="compiled for an earlier run of this process"), choice
    return engine, Measure(value=compile_s), choice


def engine_key(config: RunConfig, data: Data, layout: Layout) -> EngineKey:
    """Say what engine the run needs.

    Raises:
        UsageError: there are too few training examples for one step.
    """
    batch, replicas = _replica_batch(config, layout), layout.replicas
    steps = data.n_train // (batch * replicas)
    if not steps:
        share = data.n_train // replicas
        name = "--batch-size" if config.global_batch_size is None else "--global-batch-size"
        most = share if config.global_batch_size is None else share * replicas
        raise UsageError(
            f"A step's {batch * replicas} images must not exceed the {data.n_train} training "
            f"examples. Use {name} {most} or less."
        )
    return EngineKey(
        blueprint=blueprint(
            config,
            image_shape=(data.image_px, data.image_px, data.channels),
            classes=data.classes,
        ),
        replica_batch=batch,
        # More than an epoch holds would be filled up with blank steps.
        steps_per_call=min(config.steps_per_call, steps),
        # A TPU runs nothing that XLA has not compiled, whatever is asked for.
        jit=config.jit == "on" and layout.name != "tpu",
        box_loss=config.box_loss,
        fused=pays(config, layout, steps),
    )


def _replica_batch(config: RunConfig, layout: Layout) -> int:
    return replica_batch(
        batch_size=config.batch_size,
        global_batch_size=config.global_batch_size,
        replicas=layout.replicas,
        strategy=layout.name,
    )


_layouts: dict[tuple[str, str, int], Layout] = {}
"""The open strategies by what was asked for: the threads of a process cannot be set twice."""

_choices: dict[tuple[EngineKey, Layout], JitChoice] = {}
"""What `--jit auto` came to in this process, beside the engines, of which only a few are kept."""


@functools.lru_cache(maxsize=KEPT)
def _compiled(key: EngineKey, layout: Layout, *, auto: bool) -> tuple[Engine, float]:
    if resident_mib() > MEMORY_SHARE * memory_gib() * 1024:
        _drop_engines()
    try:
        return _fresh(key, layout, auto=auto)
    except Exception as error:
        # Whether a network fits must not depend on what was trained before it.
        if cause_of(error) != "out_of_memory" or not _compiled.cache_info().currsize:
            raise
    _drop_engines()
    return _fresh(key, layout, auto=auto)


def _drop_engines() -> None:
    _compiled.cache_clear()
    gc.collect()  # model and graph refer to each other


def _fresh(key: EngineKey, layout: Layout, *, auto: bool) -> tuple[Engine, float]:
    if not auto:
        return compiled(key, layout)
    if (key, layout) in _choices:
        return compiled(dataclasses.replace(key, jit=_choices[key, layout].jit), layout)
    engine, compile_s, _choices[key, layout] = choose(key, layout)
    return engine, compile_s
