"""Does `bench run` learn as well as Keras's `fit` on the plain notebook recipe?

The recipe: `notebook-cnn`, batches of 64, Adam 1e-3, cross-entropy plus mean squared error with
equal weights, 10 epochs. Three contenders, each from several seeds, judged by the same code on the
same test scenes:

- `bench`: `bench run`, which keeps 5,000 of MNIST's 60,000 images for validation;
- `fit`: Keras's `fit` over the usual per-example `tf.data` map, on the same 55,000 images;
- `fit-all`: the same `fit` on all 60,000 images, as notebooks do, so with a twelfth more steps.

`nox -s bench_recipe` runs it (each run takes minutes). Results are appended to a CSV file, and
those that stand there already are not run again, so several processes may share the work by seeds.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import keras
import pandas as pd
import tensorflow as tf
from bench_data import per_example_map
from scipy import stats

from harness.config import RunConfig
from harness.data import Data, load
from harness.draft import Identity
from harness.evaluate import evaluate
from harness.model import blueprint, build
from harness.predictions import Predictions
from harness.run import execute
from harness.store import Store

CONTENDERS = ("bench", "fit", "fit-all")
MEASURES = ("accuracy", "mean_iou", "iou_60", "score", "localization_accuracy")


def main() -> int:
    """Run what is missing, print means and differences, and return the exit code."""
    arguments = _parser().parse_args()
    data_dir = Path(os.environ["BENCH_DATA_DIR"])
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    for seed in arguments.seeds:
        for contender in arguments.contenders:
            if (contender, seed) in _done(arguments.out):
                continue
            config = RunConfig(
                dataset="mnist", seed=seed, epochs=arguments.epochs, threads=arguments.threads
            )
            measured = _measure(contender, config, data_dir)
            _append(arguments.out, {"contender": contender, "seed": seed, **measured})
            print(contender, seed, {n: round(v, 4) for n, v in measured.items()}, flush=True)
    _report(pd.read_csv(arguments.out))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare `bench run` with Keras's fit.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench_recipe.csv"))
    return parser


def _measure(contender: str, config: RunConfig, data_dir: Path) -> dict[str, float]:
    if contender == "bench":
        return _bench_run(config, data_dir)
    return _keras_fit(config, data_dir, all_images=contender == "fit-all")


def _bench_run(config: RunConfig, data_dir: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        record = execute(
            config,
            identity=Identity(run_id="recipe"),
            store=Store(Path(folder)),
            data_dir=data_dir,
        )
    if record.status != "finished":
        raise SystemExit(f"the run {record.status}: {record.reason}")
    values = {name: record.value(f"test_{name}") for name in MEASURES}
    return {name: value for name, value in values.items() if value is not None}


def _keras_fit(config: RunConfig, data_dir: Path, *, all_images: bool) -> dict[str, float]:
    data = load(config, data_dir, say=print)
    plan = blueprint(config, image_shape=(data.image_px, data.image_px, 1), classes=data.classes)
    model = build(plan, seed=config.seed).model
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=["categorical_crossentropy", "mse"],
        loss_weights=[config.class_weight, config.box_weight],
    )
    images = data.n_train + (data.n_validation if all_images else 0)
    model.fit(
        per_example_map(data, with_validation=all_images),
        epochs=config.epochs,
        steps_per_epoch=images // config.batch_size,
        verbose=0,
    )
    return _judge(model, data)


def _judge(model: keras.Model, data: Data) -> dict[str, float]:
    test = data.open_test()
    batches = tf.data.Dataset.from_tensor_slices(test.images).batch(1000)
    probabilities, boxes = model.predict(
        batches.map(lambda images: tf.cast(images, tf.float32)[..., None] / 255.0), verbose=0
    )
    predictions = Predictions(
        ids=test.ids,
        labels=test.labels,
        boxes=test.boxes,
        probabilities=probabilities,
        predicted_boxes=boxes,
    )
    quality = evaluate(predictions, class_weight=1.0, box_weight=1.0)
    return {name: quality[name] for name in MEASURES}


def _done(out: Path) -> set[tuple[str, int]]:
    if not out.exists():
        return set()
    table = pd.read_csv(out)
    return set(zip(table["contender"], table["seed"], strict=True))


def _append(out: Path, row: dict[str, object]) -> None:
    with suppress(FileExistsError), out.open("x", newline="") as file:  # one of those that share
        csv.DictWriter(file, list(row)).writeheader()
    with out.open("a", newline="") as file:
        csv.DictWriter(file, list(row)).writerow(row)


def _report(table: pd.DataFrame) -> None:
    """Print means with standard deviations, and each measure's difference from `fit`."""
    for contender, rows in table.groupby("contender"):
        cells = "  ".join(f"{n} {rows[n].mean():.4f} (sd {rows[n].std():.4f})" for n in MEASURES)
        print(f"{contender:<8} {len(rows)} seeds  {cells}")
    ours = table[table["contender"] == "bench"]
    for rival in ("fit", "fit-all"):
        theirs = table[table["contender"] == rival]
        if min(len(ours), len(theirs)) < 2:
            continue
        for name in MEASURES:
            test = stats.ttest_ind(ours[name], theirs[name], equal_var=False)
            low, high = test.confidence_interval(0.95)
            difference = ours[name].mean() - theirs[name].mean()
            print(
                f"bench - {rival:<8} {name:<22} {difference:+.4f} "
                f"[{low:+.4f}, {high:+.4f}], Welch p = {test.pvalue:.2f}"
            )


if __name__ == "__main__":
    sys.exit(main())
