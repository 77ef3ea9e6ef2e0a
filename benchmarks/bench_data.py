"""Is the data pipeline at least 10 times as fast as the usual per-example `tf.data` map?

Both make the same scenes, in random order and batches of 64, on the same machine in the same run;
rounds alternate, so that a change of the machine's speed meets both. Run it by
`nox -s bench_data`; it ends with exit code 1 if the ratio of the medians is below 10.

The rival is what notebooks do: `from_tensor_slices`, a `map` with
`tf.image.pad_to_bounding_box` at random offsets, `/ 255`, `shuffle(5000)`, `batch(64)`. It gets
parallel calls and prefetching on top. The pipeline yields `uint8`, because the model divides by
255 itself; a third column shows it with that division done in NumPy.

After that, the scenes of every preset and augmented ones, made as training takes them; they have
no rival. They must not keep a training waiting: `notebook-cnn` takes 500 to 900 images/s on two
cores, and each preset has to make at least five times as many scenes on one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import tensorflow as tf

from harness.config import RunConfig
from harness.data import Data, load
from harness.data_speed import rounds as timed_rounds
from harness.data_speed import scenes_made
from harness.scene_spec import PRESETS
from harness.scenes import CANVAS_PX, DIGIT_PX, PLACES, Scenes

BATCH = 64
WANTED_RATIO = 10
WANTED_SCENES_PER_S = 5 * 900
SHUFFLE_BUFFER = 5000


def main() -> int:
    """Measure, print a table and return the exit code."""
    arguments = _parser().parse_args()
    folder = os.environ.get("BENCH_DATA_DIR")
    dataset = "mnist" if folder else "digits"
    data = load(RunConfig(dataset=dataset), Path(folder) if folder else None, say=print)
    pipelines = {
        "tf.data map": iter(per_example_map(data)).__next__,
        "pipeline": pipeline(data).__next__,
        "pipeline, float32 / 255": as_float(pipeline(data)).__next__,
    }
    for step in pipelines.values():
        step()  # tracing, and filling the shuffle buffer
    rounds: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(arguments.rounds):
        for name, step in pipelines.items():
            rounds[name].append(images_per_s(step, arguments.seconds))
    title = f"{dataset}, {data.n_train:,} training digits, {os.cpu_count()} cores"
    code = report(title, rounds)
    return max(code, presets(dataset, Path(folder) if folder else None, arguments))


def presets(dataset: str, folder: Path | None, arguments: argparse.Namespace) -> int:
    """Time and print the scenes of every preset; return 1 if one is too slow."""
    configs = {name: RunConfig(dataset=dataset, scene=name) for name in PRESETS}  # type: ignore[arg-type]
    configs["hard, augmented"] = replace(
        configs["hard"], augment_shift=0.1, augment_zoom=0.2, augment_rotation_deg=15,
        augment_contrast=0.2, augment_noise=0.05, augment_erase=0.1,
    )  # fmt: skip
    makers = [scenes_made(each, load(each, folder, say=print)) for each in configs.values()]
    rates = timed_rounds(makers, repeats=arguments.rounds, seconds=arguments.seconds)
    print(f"\n{'scenes/s':<24}{'min':>10}{'median':>10}{'max':>10}")
    for name, some in zip(configs, rates, strict=True):
        print(f"{name:<24}{min(some):>10,.0f}{median(some):>10,.0f}{max(some):>10,.0f}")
    slow = [n for n, some in zip(configs, rates, strict=True)
            if n in PRESETS and median(some) < WANTED_SCENES_PER_S]  # fmt: skip
    verdict = f"FAILS for {', '.join(slow)}" if slow else "It holds"
    print(f"\nPromise: every preset at least {WANTED_SCENES_PER_S:,} scenes/s. {verdict}.")
    return 1 if slow else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the data pipeline against tf.data.")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds per measurement")
    return parser


def pipeline(data: Data) -> Iterator[np.ndarray]:
    """Yield batches of scenes as training takes them: whole batches, epoch after epoch."""
    for epoch in count(1):
        order = data.train_order(epoch, 0)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield data.train_scenes(epoch, order[start : start + BATCH]).images


def as_float(batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield float32 batches in [0, 1]."""
    for images in batches:
        yield images.astype(np.float32) / np.float32(255)


def per_example_map(data: Data, *, with_validation: bool = False) -> tf.data.Dataset:
    """Return the usual input pipeline over the same digits, endless."""
    parts = [data.train_scenes(1, np.arange(data.n_train))]
    if with_validation:
        parts.append(data.validation())
    digits = np.concatenate([_digits(scenes) for scenes in parts])[..., None]
    labels = np.concatenate([scenes.labels for scenes in parts])

    def place(digit: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        x = tf.random.uniform((), 0, PLACES, tf.int32)
        y = tf.random.uniform((), 0, PLACES, tf.int32)
        image = tf.image.pad_to_bounding_box(digit, y, x, CANVAS_PX, CANVAS_PX)
        edges = tf.cast(tf.stack([x, y, x + DIGIT_PX, y + DIGIT_PX]), tf.float32)
        image = tf.cast(image, tf.float32) / 255.0
        return image, (tf.one_hot(label, data.classes), edges / CANVAS_PX)

    return (
        tf.data.Dataset.from_tensor_slices((digits, labels))
        .map(place, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle(SHUFFLE_BUFFER)
        .repeat()
        .batch(BATCH, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _digits(scenes: Scenes) -> np.ndarray:
    """Cut the digits out of their scenes; uint8 `[n, 28, 28]`."""
    left, top = np.rint(scenes.boxes[:, :2] * CANVAS_PX).astype(int).T
    return np.stack(
        [
            image[y : y + DIGIT_PX, x : x + DIGIT_PX]
            for image, x, y in zip(scenes.images, left, top, strict=True)
        ]
    )


def images_per_s(step: Callable[[], object], seconds: float) -> float:
    """Return images per second over at least so many seconds: total images over total time."""
    images, start = 0, perf_counter()
    while (elapsed := perf_counter() - start) < seconds:
        step()
        images += BATCH
    return images / elapsed


def report(title: str, rounds: dict[str, list[float]]) -> int:
    """Print minimum, median and maximum of the rounds; return 1 if the ratio is too small."""
    rival, *ours = rounds
    print(f"{title}; {len(rounds[rival])} alternating rounds of batches of {BATCH}\n")
    print(f"{'images/s':<24}{'min':>10}{'median':>10}{'max':>10}")
    for name, rates in rounds.items():
        print(f"{name:<24}{min(rates):>10,.0f}{median(rates):>10,.0f}{max(rates):>10,.0f}")
    for name in ours:
        ratios = [a / b for a, b in zip(rounds[name], rounds[rival], strict=True)]
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"{name} over {rival}: {median(ratios):.1f} times ({spread} by round)")
    ratio = median(rounds["pipeline"]) / median(rounds[rival])
    verdict = "holds" if ratio >= WANTED_RATIO else "FAILS"
    print(f"\nPromise: at least {WANTED_RATIO} times. Measured: {ratio:.1f}. It {verdict}.")
    return 0 if ratio >= WANTED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
