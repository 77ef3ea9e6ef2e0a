"""Synthetic runs for tests of reports: nothing here was trained or measured.

Records, predictions and scenes have the make-up of real ones; every number comes from a seeded
generator. The digits are seven-segment displays.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.boxes import iou
from harness.config import RunConfig
from harness.predictions import EXAMPLES_FILE, Examples, Predictions, predictions_file
from harness.record import (
    DataIdentity,
    EpochPoint,
    Layer,
    Machine,
    Measure,
    ModelFacts,
    Role,
    RunRecord,
    Split,
    Status,
)
from harness.store import RECORD_FILE, write_atomically

CANVAS, DIGIT = 75, 28

DATA = DataIdentity(
    source="mnist", digest="5f1d0c2ba7e94d31", data_seed=0, image_px=CANVAS, classes=10,
    n_train=55_000, n_validation=5_000, n_test=400, test_digest="c0ffee0123456789",
)  # fmt: skip

MACHINE = Machine(
    host_digest="a1b2c3d4", system="Linux 6.1 x86_64", python="3.12.3",
    cpu_model="Synthetic CPU 3000", cpu_cores=8, memory_gib=31.2,
    packages={"keras": "3.15.1", "tensorflow": "2.21.0"}, strategy="cpu", replicas=1,
    devices=("cpu:0",), threads=8, git_commit="0123456789abcdef", git_dirty=False,
)  # fmt: skip

NOTEBOOK = ModelFacts(
    parameters=685_774, backbone_parameters=683_968,
    layers=(
        Layer(name="image", kind="InputLayer", output_shape=(75, 75, 1), parameters=0),
        Layer(name="conv_1", kind="Conv2D", output_shape=(73, 73, 16), parameters=160),
        Layer(name="pool_1", kind="AveragePooling2D", output_shape=(36, 36, 16), parameters=0),
        Layer(name="conv_2", kind="Conv2D", output_shape=(34, 34, 32), parameters=4_640),
        Layer(name="pool_2", kind="AveragePooling2D", output_shape=(17, 17, 32), parameters=0),
        Layer(name="conv_3", kind="Conv2D", output_shape=(15, 15, 64), parameters=18_496),
        Layer(name="pool_3", kind="AveragePooling2D", output_shape=(7, 7, 64), parameters=0),
        Layer(name="flatten", kind="Flatten", output_shape=(3136,), parameters=0),
        Layer(name="features", kind="Dense", output_shape=(128,), parameters=401_536),
        Layer(name="classification", kind="Dense", output_shape=(10,), parameters=1_290),
        Layer(name="bounding_box", kind="Dense", output_shape=(4,), parameters=516),
    ),
)  # fmt: skip

# Segments of a seven-segment display: (y, x, height, width) in the 28 x 28 patch.
_SEGMENTS = {
    "a": (3, 8, 3, 12), "b": (5, 18, 9, 3), "c": (14, 18, 9, 3), "d": (22, 8, 3, 12),
    "e": (14, 7, 9, 3), "f": (5, 7, 9, 3), "g": (12, 8, 3, 12),
}  # fmt: skip
_LIT = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


def fabricate(
    folder: Path,
    run_id: str,
    *,
    config: RunConfig | None = None,
    role: Role = "run",
    status: Status = "finished",
    reason: str | None = None,
    sweep: str | None = None,
    trial: int | None = None,
    accuracy: float = 0.95,
    noise: float = 0.02,
    tested: bool = True,
    data: DataIdentity = DATA,
    machine: Machine = MACHINE,
    images_per_s: float = 400.0,
    epochs: int = 5,
    minute: int = 0,
) -> tuple[RunRecord, Path]:
    """Write a run folder and return its record with it.

    Args:
        folder: the folder of runs; the run gets its own folder below.
        accuracy: chance that an image is classified right, in [0, 1].
        noise: standard deviation of each predicted coordinate, as a fraction of the image.
    """
    config = config or RunConfig(dataset="mnist", epochs=epochs)
    rng = np.random.default_rng(zlib.crc32(run_id.encode()))
    done = status == "finished"
    tested = tested and done and role != "trial"
    split: Split = "test" if tested else "validation"
    run_folder = folder / run_id
    predictions = _predictions(data, accuracy=accuracy, noise=noise, rng=rng)
    measures: dict[str, Measure] = {}
    if done:
        quality = measure(predictions)
        for name, value in quality.items():
            measures[f"validation_{name}"] = Measure(value=value - 0.002)
        predictions.save(run_folder / predictions_file(split))
        scenes(predictions).save(run_folder / EXAMPLES_FILE)
        if tested:
            measures |= {f"test_{name}": Measure(value=v) for name, v in quality.items()}
            apart = (zlib.crc32(run_id.encode()) % 100) / 1000  # not of `rng`, for older tests
            measures["shift_class_changes"] = Measure(value=(1 - accuracy) * (0.3 + apart))
            measures["shift_box_px"] = Measure(value=10 * noise + apart)
        rates = tuple(float(v) for v in rng.normal(images_per_s, 5, len(range(epochs))))
        measures["images_per_s"] = Measure(value=float(np.mean(rates)), samples=rates)
        measures["mflops"] = Measure(value=21.3)
    reached = {"finished": epochs, "pruned": max(1, epochs // 2)}.get(status, 0)
    record = RunRecord(
        run_id=run_id, role=role, config=config, status=status, sweep=sweep, trial=trial,
        started_at=f"2026-01-02T{minute // 60:02d}:{minute % 60:02d}:00+00:00",
        duration_s=61.5, reason=reason, measures=measures,
        data=data if tested else dataclasses.replace(data, n_test=None, test_digest=None),
        machine=machine if status != "failed" else None,
        model=NOTEBOOK if done else None,
        history=_history(reached, accuracy=accuracy, noise=noise, rng=rng),
    )  # fmt: skip
    write_atomically(run_folder / RECORD_FILE, record.dumps().encode())
    return record, run_folder


def fabricate_sweep(
    folder: Path, name: str, *, trials: int, seed: int = 0
) -> list[tuple[RunRecord, Path]]:
    """Write a sweep: trials of every kind of end, and the best one re-run with three seeds."""
    rng = np.random.default_rng(seed)
    runs: list[tuple[RunRecord, Path]] = []
    best: tuple[float, RunConfig] | None = None
    for number in range(trials):
        rate, box, weight = 10 ** rng.uniform([-4, -1, -1], [-2, 2, 1])
        config = RunConfig(
            dataset="mnist", epochs=5, learning_rate=float(f"{rate:.4g}"),
            box_weight=float(f"{box:.4g}"), class_weight=float(f"{weight:.4g}"), seed=number,
        )  # fmt: skip
        away = abs(np.log10(rate) + 3) + 0.3 * abs(np.log10(box / weight) - 0.7)
        accuracy, noise = float(0.97 - 0.2 * away), float(0.015 + 0.03 * away)
        status: Status = "finished"
        if number % 7 == 3:
            status = "pruned"
        elif number % 17 == 5:
            status = "failed"
        why = {
            "pruned": "pruned after epoch 2 of 5: below the median of earlier trials",
            "failed": "loss became NaN in epoch 1\n(step 17 | learning rate too high?)",
        }
        runs.append(
            fabricate(
                folder, f"{name}-t{number:03d}", config=config, role="trial", status=status,
                sweep=name, trial=number, minute=number, reason=why.get(status),
                accuracy=accuracy, noise=noise,
            )
        )  # fmt: skip
        score = runs[-1][0].value("validation_score")
        if score is not None and (best is None or score > best[0]):
            best = (score, config)
            best_quality = accuracy, noise
    if best is not None:
        for again in range(3):
            config = dataclasses.replace(best[1], seed=1000 + again)
            runs.append(
                fabricate(folder, f"{name}-final-{again}", config=config, role="final",
                          sweep=name, minute=trials + again, accuracy=best_quality[0],
                          noise=best_quality[1])
            )  # fmt: skip
    return runs


def measure(predictions: Predictions) -> dict[str, float]:
    """Return the quality measures by their definitions, image by image in plain Python."""
    overlap = iou(predictions.boxes, predictions.predicted_boxes)
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    n = len(right)
    pairs = list(zip(right.tolist(), overlap.tolist(), strict=True))
    return {
        "score": sum(o for r, o in pairs if r) / n,
        "accuracy": sum(r for r, _ in pairs) / n,
        "mean_iou": sum(o for _, o in pairs) / n,
        "localization_accuracy": sum(r and o >= 0.5 for r, o in pairs) / n,
    }


def scenes(predictions: Predictions, *, count: int = 24) -> Examples:
    """Return the first scenes of a split with what was predicted for them."""
    boxes = predictions.boxes[:count]
    images = np.zeros((len(boxes), CANVAS, CANVAS), np.uint8)
    for image, box, label in zip(images, boxes, predictions.labels, strict=False):
        left, top = (round(float(v) * CANVAS) for v in box[:2])
        image[top : top + DIGIT, left : left + DIGIT] = digit(int(label))
    return Examples(
        ids=predictions.ids[:count],
        images=images,
        labels=predictions.labels[:count],
        predicted_labels=predictions.probabilities[:count].argmax(axis=1),
        boxes=boxes,
        predicted_boxes=predictions.predicted_boxes[:count],
    )


def digit(label: int) -> NDArray[np.uint8]:
    """Draw a seven-segment digit; uint8 `[28, 28]`."""
    patch = np.zeros((DIGIT, DIGIT), np.uint8)
    for segment in _LIT[label]:
        y, x, height, width = _SEGMENTS[segment]
        patch[y : y + height, x : x + width] = 230
    return patch


def _predictions(
    data: DataIdentity, *, accuracy: float, noise: float, rng: np.random.Generator
) -> Predictions:
    """Return predictions for the images of a data set: same truth for every run."""
    n = data.n_test or 400
    truth = np.random.default_rng(zlib.crc32(data.digest.encode()))
    labels = truth.integers(0, 10, n)
    corners = truth.integers(0, CANVAS - DIGIT + 1, (n, 2))
    boxes = (np.concatenate([corners, corners + DIGIT], axis=1) / CANVAS).astype(np.float32)
    # Each image has its own difficulty, so that contenders fail on the same ones.
    missed = 0.5 * truth.random(n) + 0.5 * rng.random(n) > _quantile(accuracy)
    said = np.where(missed, (labels + rng.integers(1, 10, n)) % 10, labels)
    probabilities = np.full((n, 10), 0.02, np.float32)
    probabilities[np.arange(n), said] = 0.82
    return Predictions(
        ids=np.arange(n), labels=labels, boxes=boxes, probabilities=probabilities,
        predicted_boxes=(boxes + rng.normal(0, noise, (n, 4))).astype(np.float32),
    )  # fmt: skip


def _quantile(share: float) -> float:
    """Return the quantile of the mean of two uniform numbers (triangular distribution)."""
    if share >= 1:
        return 2.0
    if share <= 0:
        return -1.0
    return float(np.sqrt(share / 2) if share < 0.5 else 1 - np.sqrt((1 - share) / 2))


def _history(
    epochs: int, *, accuracy: float, noise: float, rng: np.random.Generator
) -> tuple[EpochPoint, ...]:
    points = []
    for epoch in range(1, epochs + 1):
        grown = 1 - 0.7 * np.exp(-0.9 * epoch) + float(rng.normal(0, 0.006))
        overlap = (1 - 6 * noise) * grown
        metrics: Mapping[str, float] = {
            "train_loss": 2.3 * float(np.exp(-0.8 * epoch)) + 0.05,
            "validation_loss": 2.3 * float(np.exp(-0.7 * epoch)) + 0.12,
            "validation_score": max(accuracy, 0.0) * overlap,
            "validation_accuracy": accuracy * grown,
            "validation_mean_iou": overlap,
        }
        points.append(EpochPoint(epoch=epoch, images=55_000, train_s=137.0, metrics=dict(metrics)))
    return tuple(points)
