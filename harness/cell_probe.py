"""What one process measures of one contender; `harness.cell_processes` starts it.

Training first (`harness.timed_cell`), then what stands behind it: inference, data, evaluation,
memory, and the peak of the device.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np

from harness.cell import Cell, CellPlan
from harness.config import RunConfig
from harness.data import Data
from harness.device_memory import peak_device_mib
from harness.disturbance import Watcher
from harness.engine import Engine
from harness.epoch import chunks
from harness.errors import UsageError
from harness.fresh_process import answer, end_with_the_caller
from harness.inference import Inference
from harness.machine import peak_rss_mib
from harness.mfu import PEAK_DTYPES, utilisation
from harness.peak import matrix_gflops
from harness.record import Measure
from harness.strategy import Layout
from harness.timed_cell import Request, TimedCell
from harness.timing import percentile

INFERENCE_S, DATA_S = 2.0, 1.0
"""How long these are timed: some dozen calls of the slower built-in networks on a CPU."""

LATENCY_S = 60.0
"""After so long no further sample is taken, however many were asked for."""

EVALUATIONS = 3
"""Passes over the validation split that are timed."""

PEAK_ROUNDS = 3
"""Measurements of the peak, half a second each where products are fast."""

_FIRST_CALLS, _FIRST_S = 10, 1.0
"""Predictions before any is timed; the first compiles. Fewer if they take longer than this."""


def tell(request: str, to: str) -> None:
    """Measure as a request (JSON) says; write the cell to a file, or why there is none."""
    end_with_the_caller()
    answer(to, lambda: measure(Request.from_json(json.loads(request))).dumps())


def measure(request: Request) -> Cell:
    """Train, predict and evaluate for some seconds each; the process must be fresh.

    Raises:
        BenchError: devices or data cannot be had, or the network cannot be trained.
    """
    timed = TimedCell(request)
    layout, data, engine = timed.layout, timed.data, timed.engine
    with Watcher() as watcher:
        timed.train()
        measures, phases = _behind_training(request, engine, data, watcher)
        cell = timed.cell(watcher, measures)
    # The arrays that the peak is measured with are no part of what training needs.
    memory = _memory(layout)
    facts, mflops = engine.facts
    peak = _peak(layout, PEAK_DTYPES[request.config.precision])
    further = {
        "first_batch_s": Measure(value=timed.warm_up[0].end_s - timed.start_s),
        "mflops": mflops,
        "mfu": utilisation(
            mflops=mflops, images_per_s=cell.measures["images_per_s"], peak_gflops=peak,
            devices=_peaks(layout),
        ),
    }  # fmt: skip
    return replace(
        cell,
        duration_s=round(perf_counter() - timed.start_s, 3),
        parameters=facts.parameters,
        peak_gflops=peak,
        measures={**cell.measures, **memory, **further},
        phases=phases,
    )


def _behind_training(
    request: Request, engine: Engine, data: Data, watcher: Watcher
) -> tuple[dict[str, Measure], dict[str, tuple[str, ...]]]:
    """Time what else there is to time; return measures, and what disturbed which phase."""
    config, plan = request.config, request.plan
    phases: dict[str, Callable[[], dict[str, Measure]]] = {
        "inference": lambda: _inference(engine, data, plan),
        "latency": lambda: _latency(engine, data, plan),
        "data": lambda: _data_rate(engine, data, config),
        "evaluation": lambda: _evaluation(engine, data),
    }
    measures: dict[str, Measure] = {}
    disturbed: dict[str, tuple[str, ...]] = {}
    for name, phase in phases.items():
        start = perf_counter()
        measures |= phase()
        reasons = watcher.between(start, perf_counter())
        if reasons:
            disturbed[name] = reasons
    return measures, disturbed


def _inference(engine: Engine, data: Data, plan: CellPlan) -> dict[str, Measure]:
    """Return the rate of predicting batches that lie in this machine's memory."""
    name = "inference_images_per_s"
    batch = plan.inference_batch or engine.global_batch
    try:
        predict = Inference(engine, batch)
    except UsageError as error:
        return {name: Measure(reason=str(error))}
    times = _times(predict, data, until_s=INFERENCE_S, most=10**6)
    rates = tuple(batch / each for each in times)
    return {name: Measure(value=batch * len(times) / sum(times), samples=rates)}


def _latency(engine: Engine, data: Data, plan: CellPlan) -> dict[str, Measure]:
    """Return percentiles of the time from a single image to its class and box."""
    names = {f"latency_p{q}_ms": q for q in (50, 90, 99)}
    try:
        predict = Inference(engine, 1)
    except UsageError as error:
        return {name: Measure(reason=str(error)) for name in names}
    times = _times(predict, data, until_s=LATENCY_S, most=plan.latency_samples)
    return {name: percentile(times, q) for name, q in names.items()}


def _times(predict: Inference, data: Data, *, until_s: float, most: int) -> list[float]:
    """Return the seconds of predictions, after some that are not timed."""
    images = data.validation().images
    batches = max(1, len(images) // predict.batch)

    def timed(number: int) -> float:
        rows = np.arange(predict.batch) + number % batches * predict.batch
        batch = images[rows % len(images)]
        start = perf_counter()
        predict(batch)
        return perf_counter() - start

    end = perf_counter() + _FIRST_S
    for number in range(_FIRST_CALLS):
        timed(number)
        if perf_counter() > end:
            break
    times: list[float] = []
    end = perf_counter() + until_s
    while len(times) < most and (not times or perf_counter() < end):
        times.append(timed(len(times)))
    return times


def _data_rate(engine: Engine, data: Data, config: RunConfig) -> dict[str, Measure]:
    """Return the rate of making training scenes while nobody trains on them."""
    images, times, epoch = [], [], 0
    end = mark = perf_counter()
    end += DATA_S
    while mark < end:
        epoch += 1
        for scenes in chunks(
            data, engine, epoch=epoch, seed=config.seed, go_on=lambda: perf_counter() < end
        ):
            now = perf_counter()
            images.append(len(scenes.ids))
            times.append(now - mark)
            mark = now
    rates = tuple(n / s for n, s in zip(images, times, strict=True))
    return {"data_images_per_s": Measure(value=sum(images) / sum(times), samples=rates)}


def _evaluation(engine: Engine, data: Data) -> dict[str, Measure]:
    """Return the time of predicting the validation split."""
    scenes = data.validation()
    times = []
    for _ in range(EVALUATIONS):
        start = perf_counter()
        engine.predict(scenes)
        times.append(perf_counter() - start)
    return {"evaluation_s": Measure(value=float(np.median(times)), samples=tuple(times))}


def _memory(layout: Layout) -> dict[str, Measure]:
    """Return the most memory that was held so far, of the process and of a device."""
    return {
        "peak_rss_mib": Measure(value=round(peak_rss_mib(), 1)),
        "peak_device_mib": peak_device_mib(layout.devices),
    }


def _peak(layout: Layout, dtype: str) -> Measure:
    """Return the best of several measurements: one alone may be disturbed from end to end."""
    device, shards = layout.devices[0], layout.shards
    found = [matrix_gflops(device, dtype, at_once=shards) for _ in range(PEAK_ROUNDS)]
    values = [each.value for each in found if each.value is not None]
    if not values:
        return found[0]
    samples = tuple(sample for each in found for sample in each.samples)
    return Measure(value=max(values), samples=samples)


def _peaks(layout: Layout) -> int:
    """Return how many devices there are with a peak of their own: CPU devices share the cores."""
    return 1 if layout.devices[0].startswith("cpu") else len(layout.devices)
