"""Runs with the make-up of real ones on MNIST, made without training: to measure reports with."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

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
from harness.store import Store, file_digest

TRIALS, FINALS, SEEDS = 50, 3, 3
IMAGES = {"test": 10_000, "validation": 5_000}

_DATA = DataIdentity(
    source="mnist", digest="5f1d0c2ba7e94d31", data_seed=0, image_px=75, classes=10,
    n_train=55_000, n_validation=IMAGES["validation"],
)  # fmt: skip
_MACHINE = Machine(
    host_digest="a1b2c3d4", system="Linux", python="3.12", cpu_model="CPU", cpu_cores=8,
    memory_gib=31.2, packages={"keras": "3.15.1", "numpy": "2.4.6"}, strategy="cpu", replicas=1,
    devices=("cpu:0",), threads=8, git_commit="0123456789abcdef", git_dirty=False, jit="off",
)  # fmt: skip
_COUNTED = (
    "score", "accuracy", "mean_iou", "localization_accuracy", "iou_50", "iou_60", "iou_75",
)  # fmt: skip


def sweeps(store: Store, start: int, count: int) -> Iterator[RunRecord]:
    """Yield the runs from `start` to `count` of sweeps with 50 trials and 3 finals each."""
    made = 0
    for number in range(count):
        name = f"sweep-{number:03d}"
        rng = np.random.default_rng(number)
        for trial in range(TRIALS + FINALS):
            final = trial >= TRIALS
            if made == count:
                return
            rate, box, weight = (10 ** rng.uniform([-4, -1, -1], [-2, 2, 1])).tolist()
            if final:  # the first trial counts as the best
                rate, box, weight = 1e-3, 10.0 + number, 1.0
            config = RunConfig(
                learning_rate=rate, box_weight=box, class_weight=weight, dataset="mnist",
                epochs=8, seed=trial - TRIALS + 1 if final else 0, evaluate_test=final,
            )  # fmt: skip
            status: Status = "pruned" if not final and trial % 3 == 1 else "finished"
            suffix = f"t000-s{trial - TRIALS + 1}" if final else f"t{trial:03d}"
            if made >= start:
                yield _made(
                    store, f"{name}-{suffix}", config, minute=made, status=status,
                    role="final" if final else "trial", sweep=name, trial=0 if final else trial,
                )  # fmt: skip
            made += 1


def tested(store: Store, start: int, count: int) -> Iterator[RunRecord]:
    """Yield the runs from `start` to `count`, all tested: configurations of three seeds each."""
    for number in range(start, count):
        config = RunConfig(
            learning_rate=1e-3 * (1 + number // SEEDS), dataset="mnist", epochs=8,
            seed=number % SEEDS,
        )  # fmt: skip
        yield _made(store, f"run-{number:04d}", config, minute=number, role="run")


def _made(
    store: Store, run_id: str, config: RunConfig, *, minute: int, role: Role,
    status: Status = "finished", sweep: str | None = None, trial: int | None = None,
) -> RunRecord:  # fmt: skip
    """Write a run's folder and return its record."""
    rng = np.random.default_rng(zlib.crc32(run_id.encode()))
    skill = float(np.exp(-(np.log10(config.learning_rate / 1e-3) ** 2)))
    history = tuple(_epoch(epoch, skill) for epoch in range(1, 9 if status == "finished" else 3))
    rates = tuple(rng.normal(400, 5, len(history)).tolist())
    measures = {"images_per_s": Measure(value=float(np.mean(rates)), samples=rates),
                "mflops": Measure(value=21.3)}  # fmt: skip
    files: dict[str, str] = {}
    folder = store.run_dir(run_id)
    if status == "finished":
        splits: tuple[Split, ...] = ("validation", "test") if role != "trial" else ("validation",)
        for split in splits:
            predictions = _predictions(split, skill, rng)
            measures |= {f"{split}_{n}": Measure(value=v) for n, v in _quality(predictions)}
            files |= _saved(predictions, folder, predictions_file(split))
        files |= _saved(_scenes(predictions), folder, EXAMPLES_FILE)
    is_tested = role != "trial"
    record = RunRecord(
        run_id=run_id, role=role, config=config, status=status, sweep=sweep, trial=trial,
        started_at=f"2026-01-{1 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}"
        ":00+00:00",
        duration_s=1100.5, reason=None if status == "finished" else "pruned after epoch 2 of 8",
        measures=measures, machine=_MACHINE, history=history, files=files,
        model=ModelFacts(parameters=685_774, backbone_parameters=683_968, layers=_layers()),
        data=dataclasses.replace(_DATA, n_test=IMAGES["test"], test_digest="c0ffee0123456789")
        if is_tested else _DATA,
    )  # fmt: skip
    store.write_record(record)
    return record


def _saved(arrays: Predictions | Examples, folder: Path, name: str) -> dict[str, str]:
    arrays.save(folder / name)
    return {name: file_digest(folder / name)}


def _epoch(epoch: int, skill: float) -> EpochPoint:
    reached = skill * (1 - 0.7 ** (epoch + 1))
    metrics = {f"validation_{name}": reached for name in _COUNTED}
    metrics |= {f"{split}_{name}": 1 - reached for split in ("train", "validation")
                for name in ("loss", "box_mse", "cross_entropy")}  # fmt: skip
    return EpochPoint(epoch=epoch, images=55_000, train_s=137.0 + epoch / 7, metrics=metrics)


def _predictions(split: Split, skill: float, rng: np.random.Generator) -> Predictions:
    """Return predictions with noise in every digit, as those of a network have."""
    n, truth = IMAGES[split], np.random.default_rng(len(split))
    labels = truth.integers(0, 10, n)
    corners = truth.integers(0, 48, (n, 2))
    boxes = (np.concatenate([corners, corners + 28], axis=1) / 75).astype(np.float32)
    logits = rng.normal(0, 1, (n, 10))
    logits[np.arange(n), labels] += 2 + 3 * skill
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    spread = rng.normal(0, 0.02 + 0.05 * (1 - skill), (n, 4))
    return Predictions(
        ids=np.arange(n), labels=labels, boxes=boxes,
        probabilities=(odds / odds.sum(axis=1, keepdims=True)).astype(np.float32),
        predicted_boxes=(boxes + spread).astype(np.float32),
    )  # fmt: skip


def _quality(predictions: Predictions) -> Iterator[tuple[str, float]]:
    overlap = np.asarray(iou(predictions.boxes, predictions.predicted_boxes))
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    yield "score", float(np.where(right, overlap, 0).mean())
    yield "accuracy", float(right.mean())
    yield "mean_iou", float(overlap.mean())
    yield "localization_accuracy", float((right & (overlap >= 0.5)).mean())


def _scenes(predictions: Predictions, count: int = 24) -> Examples:
    images = np.random.default_rng(0).integers(0, 255, (count, 75, 75), np.uint8)
    images[:, 20:, :] = 0  # mostly black, as digits are
    return Examples(
        ids=predictions.ids[:count], images=images, labels=predictions.labels[:count],
        predicted_labels=predictions.probabilities[:count].argmax(axis=1),
        boxes=predictions.boxes[:count], predicted_boxes=predictions.predicted_boxes[:count],
    )  # fmt: skip


def _layers() -> tuple[Layer, ...]:
    return tuple(
        Layer(name=f"conv_{place}", kind="Conv2D", output_shape=(75 - place, 75 - place, 16),
              parameters=160, multiply_adds=100_000)
        for place in range(30)
    )  # fmt: skip
