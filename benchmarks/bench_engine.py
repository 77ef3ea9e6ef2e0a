"""Is the engine fast, and do its timings agree? Ratios, measured by turns in fresh processes.

    python benchmarks/bench_engine.py [a] [b] [c] [d] [e]

- `a`: training images per second of `notebook-cnn` at batch 64 in a whole `bench run` (data,
  metrics, a real tracker on SQLite, progress) over those of the usual notebook code: Keras's `fit`
  on a per-example `tf.data` map with `pad_to_bounding_box`, shuffle 5,000. At least 1.5.
- `b`: such a run over the bare compiled step on one constant batch, in one process: three seconds
  of the one and as long of the other by turns. At least 0.97.
- `c`: scenes per second of the data pipeline alone over those of the map. At least 10.
- `d`: three trials of one backbone in one process: traces and seconds of compiling after the
  first. None.
- `e`: images per second as `bench run` tells them over those of a cell of `bench throughput`.
  Within 5 %.

A round starts one process for each contender, and every other round goes backwards, so that a
machine that slows down slows all. Each process warms up before its clock starts. A ratio is the
geometric mean over rounds with its 95 % interval (Student's t on the logarithms).

Exits 1 if a target is missed. `nox -s bench_engine` runs all, on an idle machine in some 15
minutes; options make it smaller. Rounds are added to those in `--keep FILE`, if that is given.
Rounds differ by a tenth on a machine that other guests share: take more rounds, not longer ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from bench_sweep import interval

from harness.config import RunConfig

TARGETS = {"a": (1.5, inf), "b": (0.97, inf), "c": (10.0, inf), "e": (0.95, 1.05)}
"""Least and most."""

RATIOS = {
    "a": ("run", "fit"), "b": ("turn", "step"), "c": ("scenes", "map"), "e": ("told", "cell"),
}  # fmt: skip
"""What is compared, numerator first."""

WORDS = {
    "run": "bench run, whole", "told": "as bench run tells", "fit": "Keras fit, tf.data map",
    "turn": "bench run, by turns", "step": "bare compiled step", "scenes": "scenes alone",
    "map": "tf.data map alone", "cell": "a cell of bench throughput",
}  # fmt: skip

EXAMPLES, EPOCHS = 25_600, 3
"""Of the run on MNIST, the first epoch being a warm-up."""

TURN_CALLS = 5
"""Graph calls of 20 steps of a run before it is the bare step's turn."""

FIT_STEPS = 50
"""Of an epoch of `fit`: its clock is read between epochs."""


def main() -> int:
    """Measure what is asked for and return the exit code."""
    arguments = _parser().parse_args()
    if arguments.cell:
        print(json.dumps(CELLS[arguments.cell][0](arguments)))
        return 0
    parts = arguments.parts or sorted([*RATIOS, "d"])
    names = list(dict.fromkeys(name for part in parts for name in RATIOS.get(part, ())))
    cells = [name for name in CELLS if set(names) & set(CELLS[name][1])]
    rounds = _kept(arguments.keep, names)
    for turn in range(len(rounds), len(rounds) + arguments.rounds if names else 0):
        rounds.append({})
        for cell in cells if turn % 2 == 0 else cells[::-1]:
            rounds[-1] |= _answer(cell, arguments)
        rates = ", ".join(f"{WORDS[name]} {rounds[-1][name]:,.0f}" for name in names)
        print(f"  round {turn + 1}, images/s: {rates}", flush=True)
        if arguments.keep:
            arguments.keep.write_text("".join(json.dumps(some) + "\n" for some in rounds))
    met = [_ratio(part, rounds) if part in RATIOS else _trials(arguments) for part in parts]
    missed = [part for part, good in zip(parts, met, strict=True) if not good]
    print(f"missed: {', '.join(missed)}" if missed else "every target is met")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the engine against notebook code.")
    parser.add_argument("parts", nargs="*", type=_part, help="a, b, c, d or e (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to measure (default 5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of `fit`, step and map")
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES,
        help=f"of an epoch of the run (default {EXAMPLES:,})",
    )  # fmt: skip
    parser.add_argument("--keep", type=Path, help="file of rounds, to measure in several slices")
    parser.add_argument("--cell", choices=tuple(CELLS), help=argparse.SUPPRESS)
    return parser


def _part(text: str) -> str:
    # `choices` would refuse to get none.
    if text not in (*RATIOS, "d"):
        raise argparse.ArgumentTypeError(f"a part is one of a to e, got {text!r}")
    return text


def _kept(path: Path | None, names: list[str]) -> list[dict[str, float]]:
    """Return the rounds of earlier slices that hold all these contenders."""
    if path is None or not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [some for some in found if set(names) <= set(some)]


def _answer(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Return what a cell finds in a fresh process: images per second, by contender."""
    options = [f"--seconds={arguments.seconds}", f"--examples={arguments.examples}"]
    done = subprocess.run(
        [sys.executable, __file__, f"--cell={name}", *options],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _ratio(part: str, rounds: list[dict[str, float]]) -> bool:
    over, under = RATIOS[part]
    ratio, low, high = interval([some[over] / some[under] for some in rounds])
    least, most = TARGETS[part]
    target = f"{least:g} to {most:g}" if most < inf else f"at least {least:g}"
    print(
        f"{part}: {WORDS[over]} over {WORDS[under]}: {ratio:.3g} [{low:.3g}, {high:.3g}] times "
        f"over {len(rounds)} rounds, target {target}"
    )
    return least <= ratio <= most


def _trials(arguments: argparse.Namespace) -> bool:
    found = _answer("trials", arguments)
    print(
        f"d: the first trial compiled for {found['first_s']:.2f} s, two later ones for "
        f"{found['later_s']:.2f} s with {found['traces']:.0f} traces, target 0"
    )
    return found["first_s"] > 0 and found["later_s"] == found["traces"] == 0


def _config(arguments: argparse.Namespace) -> tuple[RunConfig, Path | None]:
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder:
        return RunConfig(dataset="digits", epochs=40, evaluate_test=False), None
    config = RunConfig(
        dataset="mnist", epochs=EPOCHS, train_examples=arguments.examples, evaluate_test=False
    )
    return config, Path(folder)


def _run(arguments: argparse.Namespace) -> dict[str, float]:
    """Do what `bench run` does; count its epochs after the first, without their evaluations."""
    run, told = _whole_run(*_config(arguments))
    return {"run": run, "told": told}


def _turns(arguments: argparse.Namespace) -> dict[str, float]:
    """Do the same, and at times stop to take the bare step for as long as the run had."""
    config, data_dir = _config(arguments)
    bare = _bare_steps(config, data_dir)
    _taken(*bare, 1.0)  # the first call traces
    alone: list[tuple[int, float]] = []
    mark = perf_counter()

    def on_call(number: int) -> float:
        nonlocal mark
        if number % TURN_CALLS:
            return 0.0
        # Not at the start of an epoch: then its forerunner is logged, which costs the run.
        ran_s = perf_counter() - mark if number else 0.0
        alone.append(_taken(*bare, ran_s))
        mark = perf_counter()
        return alone[-1][1]

    run, _ = _whole_run(config, data_dir, on_call)
    images, seconds = (sum(values) for values in zip(*alone, strict=True))
    return {"turn": run, "step": images / seconds}


def _whole_run(
    config: RunConfig, data_dir: Path | None, on_call: Callable[[int], float] = lambda _: 0.0
) -> tuple[float, float]:
    """Do a run; return images per second after the first epoch, counted here and as it says.

    Args:
        config: of the run.
        data_dir: folder of its data.
        on_call: called after each graph call of these epochs, counted from 1 in each of them, and
            with 0 before the first; returns the seconds that are none of the run's.
    """
    from harness.console import RunProgress
    from harness.draft import Identity
    from harness.run import Watch, execute
    from harness.store import Store
    from harness.track import Tracker

    seconds: list[float] = []  # beside training, and less what is not the run's
    calls = 0
    with tempfile.TemporaryDirectory() as folder, RunProgress() as progress:
        store = Store(Path(folder))
        with Tracker(None, store) as tracker:
            tracker.check()
            tracker.begin("engine", "run", None, None, config)

            def on_images(epoch: int, images: int) -> None:
                nonlocal calls
                progress.images(epoch, images)
                if epoch > 1:
                    calls += 1
                    seconds.append(-on_call(calls))

            def on_epoch(point: Any) -> bool:
                nonlocal calls
                begun = perf_counter()
                progress.epoch(point)
                tracker.epoch("engine", point)
                if point.epoch > 1:
                    seconds.append(perf_counter() - begun)
                calls = 0
                on_call(calls)
                return True

            watch = Watch(begun=progress.begun, images=on_images, epoch=on_epoch)
            record = execute(
                config, identity=Identity(run_id="engine"), store=store, data_dir=data_dir,
                watch=watch,
            )  # fmt: skip
            tracker.finish(record)
    if record.status != "finished":
        raise SystemExit(f"the run {record.status}: {record.reason}")
    points = record.history[1:]
    seconds += [point.train_s for point in points]
    told = record.value("images_per_s") or 0.0
    return sum(point.images for point in points) / sum(seconds), told


def _cell(arguments: argparse.Namespace) -> dict[str, float]:
    """Time a cell as `bench throughput` does."""
    from harness.cell_plan import CellPlan
    from harness.cell_probe import Request, measure

    config, data_dir = _config(arguments)
    request = Request(
        contender="cell", config=config, round=1, place=1,
        plan=CellPlan(seconds=arguments.seconds, latency_samples=10),
        data_dir=str(data_dir) if data_dir else None,
    )  # fmt: skip
    return {"cell": measure(request).value("images_per_s") or 0.0}


def _bare_steps(config: RunConfig, data_dir: Path | None) -> tuple[Callable[[], object], int]:
    """Return what takes 20 of the engine's steps on a constant batch, and how many images.

    Its metrics are not computed.
    """
    import tensorflow as tf

    from harness.data import load
    from harness.engine import Engine
    from harness.engines import engine_key, open_devices
    from harness.train_step import step_function

    layout = open_devices(config)
    data = load(config, data_dir, say=lambda _text: None)
    engine = Engine(engine_key(config, data, layout), layout)
    scenes = data.train_scenes(1, np.arange(engine.global_batch))
    take_step = step_function(engine)
    batch = [tf.constant(x) for x in (scenes.images, scenes.labels.astype(np.int32), scenes.boxes)]

    @tf.function  # type: ignore[untyped-decorator]
    def steps() -> None:
        for _ in tf.range(20):
            layout.strategy.run(take_step, args=(*batch, tf.constant([1.0, 1.0])))

    return steps, 20 * engine.global_batch


def _fit(arguments: argparse.Namespace) -> dict[str, float]:
    """Train as notebooks do; the first epoch warms up."""
    import keras
    from bench_data import per_example_map

    from harness.data import load
    from harness.model import blueprint, build

    config, data_dir = _config(arguments)
    data = load(config, data_dir, say=lambda _text: None)
    plan = blueprint(config, image_shape=(data.image_px, data.image_px, 1), classes=data.classes)
    model = build(plan, seed=config.seed).model
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=["categorical_crossentropy", "mse"], metrics=[["accuracy"], ["mse"]],
    )  # fmt: skip
    ends: list[float] = []

    def end_epoch(_epoch: int, _logs: object) -> None:
        ends.append(perf_counter())
        model.stop_training = ends[-1] - ends[0] >= arguments.seconds

    model.fit(
        per_example_map(data), epochs=10_000, steps_per_epoch=FIT_STEPS, verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
    )  # fmt: skip
    images = (len(ends) - 1) * FIT_STEPS * config.batch_size
    return {"fit": images / (ends[-1] - ends[0])}


def _scenes(arguments: argparse.Namespace, *, rival: bool = False) -> dict[str, float]:
    """Make batches of scenes, ours or the rival's, and nothing else."""
    from bench_data import BATCH, per_example_map, pipeline

    from harness.data import load

    config, data_dir = _config(arguments)
    data = load(config, data_dir, say=lambda _text: None)
    batches: Iterator[object] = iter(per_example_map(data)) if rival else pipeline(data)
    rate = _rate(lambda: next(batches), BATCH, arguments.seconds / 2)
    return {"map" if rival else "scenes": rate}


def _map(arguments: argparse.Namespace) -> dict[str, float]:
    return _scenes(arguments, rival=True)


def _rate(step: Callable[[], object], images: int, seconds: float) -> float:
    """Return images per second over so many seconds, after a quarter of that as warm-up."""
    _taken(step, images, seconds / 4)
    count, elapsed = _taken(step, images, seconds)
    return count / elapsed


def _taken(step: Callable[[], object], images: int, seconds: float) -> tuple[int, float]:
    """Step for so many seconds; return the images, and the seconds that it took."""
    count, begun = 0, perf_counter()
    while (elapsed := perf_counter() - begun) < seconds:
        step()
        count += images
    return count, elapsed


def _compiling(_arguments: argparse.Namespace) -> dict[str, float]:
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


Measured = Callable[[argparse.Namespace], dict[str, float]]

CELLS: dict[str, tuple[Measured, tuple[str, ...]]] = {
    "run": (_run, ("run", "told")),
    "turns": (_turns, ("turn", "step")),
    "fit": (_fit, ("fit",)),
    "scenes": (_scenes, ("scenes",)),
    "map": (_map, ("map",)),
    "cell": (_cell, ("cell",)),
    "trials": (_compiling, ()),
}
"""Name -> what measures it in a fresh process, and the contenders that it tells of."""


if __name__ == "__main__":
    sys.exit(main())
