"""Is the engine fast, and do its timings agree? Ratios, measured by turns in fresh processes.

    python benchmarks/bench_engine.py [a] [b] [c] [d] [e]

- `a`: training images per second of `notebook-cnn` at batch 64 in a whole `bench run` (data,
  metrics, a real tracker on SQLite, progress) over those of the usual notebook code: Keras's `fit`
  on a per-example `tf.data` map with `pad_to_bounding_box`, shuffle 5,000. At least 1.5.
- `b`: the same over the bare compiled step on one constant batch. At least 0.97.
- `c`: scenes per second of the data pipeline alone over those of the map. At least 10.
- `d`: three trials of one backbone in one process: traces and seconds of compiling after the
  first. None.
- `e`: the same run over training as `bench throughput` times it. Within 5 %.

A round starts a process for each contender of `a`, `b` and `e`. When all are warm they train by
turns of some three seconds, one at a time, and every other turn goes backwards, as does every
other round. What comes first in a turn is not counted: after a rest a call takes a tenth longer,
whoever's it is. A turn is divided by the rival's beside it, so that a machine that slows down for
a minute slows both, and the median of these ratios counts, so that one disturbed turn decides
nothing. The pipelines of `c` run one after the other. A ratio is the geometric mean over rounds
with its 95 % interval (Student's t on the logarithms).

Exits 1 if a target is missed. `nox -s bench_engine` runs all, on an idle machine in some 20
minutes; options make it smaller. Rounds are added to those in `--keep FILE`, if that is given.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from bench_sweep import interval
from by_turns import Pause, Process, pauser, quiet

from harness.config import RunConfig
from harness.record import EpochPoint

if TYPE_CHECKING:
    from harness.data import Data
    from harness.engine import Engine

TARGETS = {"a": (1.5, inf), "b": (0.97, inf), "c": (10.0, inf), "e": (0.95, 1.05)}
"""Least and most."""

RATIOS = {
    "a": ("run", "fit"), "b": ("run", "step"), "c": ("scenes", "map"), "e": ("run", "cell"),
}  # fmt: skip
"""What is compared, numerator first."""

WORDS = {
    "run": "bench run, whole", "fit": "Keras fit, tf.data map", "step": "bare compiled step",
    "cell": "as bench throughput times", "scenes": "scenes alone", "map": "tf.data map alone",
}  # fmt: skip

Rates = dict[str, list[float]]
"""Images per second of each contender's turns; of one that takes none, a single rate."""

TURN_S = 3.0
"""Seconds of a turn, about: a contender stops where it can."""

RUN_CALLS, FIT_STEPS = 5, 80
"""Of a turn that count: graph calls of a run and steps of `fit`."""

CALL_STEPS = 20
"""Of a graph call; the first call of a turn does not count, nor so many steps of `fit`."""

WARM_UP_CALLS = 20
"""Of a run, before its first turn."""


def main() -> int:
    """Measure what is asked for and return the exit code."""
    arguments = _parser().parse_args()
    if arguments.contender:
        CONTENDERS[arguments.contender](pauser())
        return 0
    if arguments.cell:
        print(json.dumps(CELLS[arguments.cell]()))
        return 0
    parts = arguments.parts or sorted([*RATIOS, "d"])
    names = list(dict.fromkeys(name for part in parts for name in RATIOS.get(part, ())))
    rounds = _kept(arguments.keep, names)
    for number in range(len(rounds), len(rounds) + arguments.rounds if names else 0):
        # Who starts first waits longest before its first turn.
        rounds.append(_round(names if number % 2 == 0 else names[::-1], arguments))
        medians = ((name, statistics.median(rounds[-1][name])) for name in names)
        rates = ", ".join(f"{WORDS[name]} {median:,.0f}" for name, median in medians)
        print(f"  round {number + 1}, images/s: {rates}", flush=True)
        if arguments.keep:
            arguments.keep.write_text("".join(json.dumps(some) + "\n" for some in rounds))
    met = [_ratio(part, rounds) if part in RATIOS else _trials() for part in parts]
    missed = [part for part, good in zip(parts, met, strict=True) if not good]
    print(f"missed: {', '.join(missed)}" if missed else "every target is met")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the engine against notebook code.")
    parser.add_argument("parts", nargs="*", type=_part, help="a, b, c, d or e (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to measure (default 5)")
    parser.add_argument("--turns", type=int, default=8, help="of a round (default 8)")
    parser.add_argument("--keep", type=Path, help="file of rounds, to measure in several slices")
    parser.add_argument("--contender", choices=tuple(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--cell", choices=tuple(CELLS), help=argparse.SUPPRESS)
    return parser


def _part(text: str) -> str:
    # `choices` would refuse to get none.
    if text not in (*RATIOS, "d"):
        raise argparse.ArgumentTypeError(f"a part is one of a to e, got {text!r}")
    return text


def _kept(path: Path | None, names: list[str]) -> list[Rates]:
    """Return the rounds of earlier slices that hold all these contenders."""
    if path is None or not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [some for some in found if set(names) <= set(some)]


def _round(names: Sequence[str], arguments: argparse.Namespace) -> Rates:
    rates = {name: [_answer(name)[name]] for name in names if name in CELLS}
    with contextlib.ExitStack() as stack:
        trained = [
            stack.enter_context(Process(name, __file__)) for name in names if name in CONTENDERS
        ]
        for turn in range(arguments.turns):
            for process in trained if turn % 2 == 0 else trained[::-1]:
                process.take_turn()
        return rates | {process.name: process.rates for process in trained}


def _answer(name: str) -> dict[str, float]:
    """Return what a cell finds in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, f"--cell={name}"], env=quiet(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _ratio(part: str, rounds: list[Rates]) -> bool:
    over, under = RATIOS[part]
    ratios = [
        statistics.median(x / y for x, y in zip(some[over], some[under], strict=True))
        for some in rounds
    ]
    ratio, low, high = interval(ratios)
    least, most = TARGETS[part]
    target = f"{least:g} to {most:g}" if most < inf else f"at least {least:g}"
    print(
        f"{part}: {WORDS[over]} over {WORDS[under]}: {ratio:.3g} [{low:.3g}, {high:.3g}] times "
        f"over {len(rounds)} rounds, target {target}"
    )
    return least <= ratio <= most


def _trials() -> bool:
    found = _answer("trials")
    print(
        f"d: the first trial compiled for {found['first_s']:.2f} s, two later ones for "
        f"{found['later_s']:.2f} s with {found['traces']:.0f} traces, target 0"
    )
    return found["first_s"] > 0 and found["later_s"] == found["traces"] == 0


def _config() -> tuple[RunConfig, Path | None]:
    """Return a run that nobody will see the end of, and the folder of its data."""
    folder = os.environ.get("BENCH_DATA_DIR")
    config = RunConfig(dataset="mnist" if folder else "digits", epochs=1_000, evaluate_test=False)
    return config, Path(folder) if folder else None


def _run(pause: Pause) -> None:
    """Do what `bench run` does; its evaluations are not counted."""
    from harness.console import RunProgress
    from harness.draft import Identity
    from harness.run import Watch, execute
    from harness.store import Store
    from harness.track import Tracker

    config, data_dir = _config()
    store = Store(Path("store"))
    calls, images, seconds, mark, done = -WARM_UP_CALLS, 0, 0.0, perf_counter(), 0
    with RunProgress() as progress, Tracker(None, store) as tracker:
        tracker.check()
        tracker.begin("engine", "run", None, None, config)

        def on_images(epoch: int, so_far: int) -> None:
            nonlocal calls, images, seconds, mark, done
            progress.images(epoch, so_far)
            seconds += perf_counter() - mark
            images += so_far - done
            calls, done = calls + 1, so_far
            if calls == 1:
                images, seconds = 0, 0.0
            if calls > RUN_CALLS:
                pause(images, seconds)
                calls = 0
            mark = perf_counter()

        def on_epoch(point: EpochPoint) -> bool:
            nonlocal mark, done
            mark, done = perf_counter(), 0  # the evaluation is over
            progress.epoch(point)
            tracker.epoch("engine", point)
            return True

        watch = Watch(begun=progress.begun, images=on_images, epoch=on_epoch)
        record = execute(
            config, identity=Identity(run_id="engine"), store=store, data_dir=data_dir, watch=watch
        )
    raise SystemExit(f"the run {record.status}: {record.reason}")


def _engine() -> tuple[RunConfig, Data, Engine]:
    """Return a run's configuration, data and compiled engine with its first weights."""
    from harness.data import load
    from harness.engines import compiled_engine, open_devices

    config, data_dir = _config()
    layout = open_devices(config)
    data = load(config, data_dir, say=lambda _text: None)
    engine, _, _ = compiled_engine(config, data, layout)
    engine.reset(config.seed)
    return config, data, engine


def _cell(pause: Pause) -> None:
    """Train as the cells of `bench throughput` do."""
    from harness.timed_training import WARM_UP_S, Training

    config, data, engine = _engine()
    training = Training(config, engine, data)
    training.warm_up(WARM_UP_S)
    images, seconds = 0, 0.0
    while True:
        pause(images, seconds)
        spans = training.train(TURN_S)[1:]
        images = sum(span.images for span in spans)
        seconds = sum(span.end_s - span.start_s for span in spans)


def _step(pause: Pause) -> None:
    """Take the engine's step on a constant batch, 20 at a time; its metrics are not computed."""
    import tensorflow as tf

    from harness.train_step import step_function

    _, data, engine = _engine()
    scenes = data.train_scenes(1, np.arange(engine.global_batch))
    take_step = step_function(engine)
    batch = [tf.constant(x) for x in (scenes.images, scenes.labels.astype(np.int32), scenes.boxes)]

    @tf.function  # type: ignore[untyped-decorator]
    def steps() -> None:
        for _ in tf.range(CALL_STEPS):
            engine.layout.strategy.run(take_step, args=(*batch, tf.constant([1.0, 1.0])))

    while True:
        steps()
        pause(*_taken(steps, CALL_STEPS * engine.global_batch, TURN_S))


def _fit(pause: Pause) -> None:
    """Train as notebooks do."""
    import keras
    from bench_data import per_example_map

    from harness.data import load
    from harness.model import blueprint, build

    config, data_dir = _config()
    data = load(config, data_dir, say=lambda _text: None)
    plan = blueprint(config, image_shape=(data.image_px, data.image_px, 1), classes=data.classes)
    model = build(plan, seed=config.seed).model
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=["categorical_crossentropy", "mse"], metrics=[["accuracy"], ["mse"]],
    )  # fmt: skip
    mark = perf_counter()

    def end_batch(batch: int, **_logs: object) -> None:
        nonlocal mark
        if batch == CALL_STEPS - 1:
            mark = perf_counter()

    def end_epoch(epoch: int, _logs: object) -> None:
        if epoch:  # the first warms up
            pause(FIT_STEPS * config.batch_size, perf_counter() - mark)

    told = keras.callbacks.LambdaCallback(on_train_batch_end=end_batch, on_epoch_end=end_epoch)
    model.fit(
        per_example_map(data), epochs=10_000, steps_per_epoch=CALL_STEPS + FIT_STEPS, verbose=0,
        callbacks=[told],
    )  # fmt: skip


def _scenes(*, rival: bool = False) -> dict[str, float]:
    """Make batches of scenes, ours or the rival's, and nothing else."""
    from bench_data import BATCH, per_example_map, pipeline

    from harness.data import load

    config, data_dir = _config()
    data = load(config, data_dir, say=lambda _text: None)
    batches: Iterator[object] = iter(per_example_map(data)) if rival else pipeline(data)
    take = functools.partial(_taken, lambda: next(batches), BATCH)
    take(TURN_S / 3)
    images, seconds = take(TURN_S)
    rate = images / seconds
    return {"map" if rival else "scenes": rate}


def _map() -> dict[str, float]:
    return _scenes(rival=True)


def _taken(step: Callable[[], object], images: int, seconds: float) -> tuple[int, float]:
    """Step for so many seconds; return the images, and the seconds that it took."""
    count, begun = 0, perf_counter()
    while (elapsed := perf_counter() - begun) < seconds:
        step()
        count += images
    return count, elapsed


def _compiling() -> dict[str, float]:
    """Train three trials of other rates, weights and seeds, as a sweep's worker does."""
    import gc

    from bench_sweep import traced

    from harness.draft import Identity
    from harness.engine import Engine
    from harness.run import execute
    from harness.store import Store

    compile_s, traces = [], []
    with tempfile.TemporaryDirectory() as folder:
        for trial in range(3):
            config = RunConfig(
                dataset="digits", epochs=1, evaluate_test=False, threads=1, seed=trial,
                learning_rate=1e-3 / (trial + 1), box_weight=1.0 + trial,
            )  # fmt: skip
            record = execute(
                config, identity=Identity(run_id=f"t{trial}"), store=Store(Path(folder)),
                data_dir=None,
            )  # fmt: skip
            compile_s.append(record.value("compile_s") or 0.0)
            engines = [found for found in gc.get_objects() if isinstance(found, Engine)]
            traces.append(sum(traced(engine) for engine in engines))
    return {
        "first_s": compile_s[0], "later_s": sum(compile_s[1:]), "traces": traces[-1] - traces[0],
    }  # fmt: skip


CONTENDERS: dict[str, Callable[[Pause], None]] = {
    "run": _run, "fit": _fit, "step": _step, "cell": _cell,
}  # fmt: skip
"""Name -> what trains by turns, until its process is ended."""

CELLS: dict[str, Callable[[], dict[str, float]]] = {
    "scenes": _scenes, "map": _map, "trials": _compiling,
}  # fmt: skip
"""Name -> what measures it in a process of its own."""


if __name__ == "__main__":
    sys.exit(main())
