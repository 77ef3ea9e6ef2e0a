"""Measures, in a fresh process, how fast a trial trains; see `pace`.

It answers each line on standard input with a line of JSON: first that it is there, then for each
network in turn what getting ready took and how fast its steps are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np

from harness.config import RunConfig
from harness.data import Data, load
from harness.engine import Engine, Objective
from harness.engines import compiled_engine, open_devices
from harness.errors import BenchError
from harness.plain_words import in_words
from harness.scenes import Scenes

TRAIN_S, PREDICT_S = 3.0, 1.0
"""How long steps are timed: long enough that the processes of all workers overlap."""

_OBJECTIVE = Objective(learning_rate=1e-4, class_weight=1.0, box_weight=1.0)


def tell(job: str) -> None:
    """Measure the configurations in a job (JSON) as standard input asks for them."""
    values = json.loads(job)
    configs = [RunConfig.from_json(each) for each in values["configs"]]
    data_dir = Path(values["data_dir"]) if values["data_dir"] else None
    try:
        layout = open_devices(*configs)
        _answer({"devices": len(layout.devices)})
        for config in configs:
            sys.stdin.readline()
            start = perf_counter()
            data = load(config, data_dir, say=lambda _text: None)
            load_s = perf_counter() - start
            engine, compiled, _ = compiled_engine(config, data, layout)
            start = perf_counter()
            engine.reset(config.seed)
            reset_s = perf_counter() - start
            _answer({"load_s": load_s, "compile_s": compiled.value or 0.0, "reset_s": reset_s})
            sys.stdin.readline()
            _answer({"train_s": _train_s(engine, data), "predict_s": _predict_s(engine, data)})
    except BenchError as error:
        _answer({"error": str(error)})
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the text says it
        _answer({"error": f"A step must be timed to predict anything, but: {in_words(error)}."})


def _train_s(engine: Engine, data: Data) -> float:
    """Return the seconds per training image, scenes included."""

    def train(steps: int) -> float:
        result = engine.train(_steps(engine, data, steps), objective=_OBJECTIVE)
        return result.train_s / result.images

    step_s = train(1) * engine.global_batch
    return train(_count(TRAIN_S, step_s))


def _predict_s(engine: Engine, data: Data) -> float:
    """Return the seconds per predicted image."""
    scenes, batch = data.validation(), engine.global_batch

    def predict(batches: int) -> float:
        rows = np.arange(batches * batch) % len(scenes.ids)
        some = Scenes(
            ids=scenes.ids[rows], images=scenes.images[rows], labels=scenes.labels[rows],
            boxes=scenes.boxes[rows],
        )  # fmt: skip
        start = perf_counter()
        engine.predict(some)
        return (perf_counter() - start) / len(rows)

    batch_s = predict(1) * batch
    return predict(_count(PREDICT_S, batch_s))


def _count(span_s: float, one_s: float) -> int:
    return max(2, min(2000, round(span_s / max(one_s, 1e-6))))


def _steps(engine: Engine, data: Data, count: int) -> Iterator[Scenes]:
    """Yield the scenes of so many steps, cut into graph calls as those of a run are."""
    rows = engine.share(np.arange(count * engine.global_batch) % data.n_train)
    size = engine.local_batch * engine.key.steps_per_call
    for start in range(0, len(rows), size):
        yield data.train_scenes(1, rows[start : start + size])


def _answer(values: Mapping[str, float | str]) -> None:
    sys.stdout.write(f"\n{json.dumps(values)}\n")
    sys.stdout.flush()
