"""What a trained engine makes of a split: predictions, their quality, and the files of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from harness.config import RunConfig
from harness.draft import Draft
from harness.engine import Engine, EpochResult
from harness.errors import BenchError, DivergedRun
from harness.evaluate import evaluate, per_example
from harness.predictions import EXAMPLES_FILE, Examples, Predictions, predictions_file
from harness.record import EpochPoint, Measure, Split
from harness.scenes import Scenes
from harness.shift_probe import shift_measures
from harness.store import file_digest

EXAMPLES_OF_A_KIND = 12
"""Rightly and wrongly classified scenes kept for pictures: one grid of each."""


def epoch_point(
    config: RunConfig, epoch: int, result: EpochResult, validation: Scenes, engine: Engine,
    disturbed: tuple[str, ...] = (),
) -> EpochPoint:  # fmt: skip
    """Return an epoch with what the engine then makes of the validation split.

    Args:
        config: of the run.
        epoch: its number.
        result: of training it.
        validation: the whole split.
        engine: as training left it.
        disturbed: what disturbed the training, in words.

    Raises:
        DivergedRun: a metric or prediction is not finite.
    """
    start_s = perf_counter()
    try:
        point = _point(epoch, result, _quality(config, _predict(validation, engine)))
    except BenchError as error:
        if config.precision == "float32":
            raise
        raise type(error)(f"{error} Or use --precision float32.") from error
    return replace(point, validation_s=perf_counter() - start_s, disturbed=disturbed)


def evaluate_split(
    split: Split, scenes: Scenes, config: RunConfig, engine: Engine, folder: Path, draft: Draft
) -> None:
    """Measure one split and write its predictions, and scenes to look at.

    Of the test split a part is moved by a pixel too, see `harness.shift_probe`.
    """
    start = perf_counter()
    predictions = _predict(scenes, engine)
    before = draft.measures.get("evaluation_s", Measure(value=0.0)).samples
    samples = (*before, perf_counter() - start)
    draft.measures["evaluation_s"] = Measure(value=sum(samples), samples=samples)
    for name, value in _quality(config, predictions).items():
        draft.measures[f"{split}_{name}"] = Measure(value=value)
    if split == "test":
        draft.measures |= shift_measures(scenes, predictions, engine.predict)
    name = predictions_file(split)
    predictions.save(folder / name)
    _examples(scenes, predictions).save(folder / EXAMPLES_FILE)
    draft.files |= {file: file_digest(folder / file) for file in (name, EXAMPLES_FILE)}


def _point(epoch: int, result: EpochResult, quality: Mapping[str, float]) -> EpochPoint:
    metrics = {**result.metrics, **{f"validation_{name}": v for name, v in quality.items()}}
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise DivergedRun(
            f"`{bad[0]}` must be finite, but is {metrics[bad[0]]} after epoch {epoch}: training "
            "diverged. Use a smaller --learning-rate or smaller loss weights."
        )
    return EpochPoint(epoch=epoch, images=result.images, train_s=result.train_s, metrics=metrics)


def _quality(config: RunConfig, predictions: Predictions) -> dict[str, float]:
    return evaluate(
        predictions,
        class_weight=config.class_weight,
        box_weight=config.box_weight,
        box_loss=config.box_loss,
    )


def _predict(scenes: Scenes, engine: Engine) -> Predictions:
    probabilities, boxes = engine.predict(scenes)
    return Predictions(
        ids=scenes.ids,
        labels=scenes.labels,
        boxes=scenes.boxes,
        probabilities=probabilities,
        predicted_boxes=boxes,
        factors=scenes.factors,
    )


def _examples(scenes: Scenes, predictions: Predictions) -> Examples:
    """Keep the first scenes, and the worst of those that are classified wrongly."""
    judged = per_example(predictions)
    wrong = np.flatnonzero(~judged.correct)
    worst = wrong[np.argsort(judged.iou[wrong], kind="stable")][:EXAMPLES_OF_A_KIND]
    first = np.arange(min(EXAMPLES_OF_A_KIND, len(scenes.ids)))
    rows: NDArray[np.int64] = np.union1d(first, worst)
    return Examples(
        ids=scenes.ids[rows],
        images=scenes.images[rows],
        labels=scenes.labels[rows],
        predicted_labels=predictions.probabilities[rows].argmax(axis=1).astype(np.int64),
        boxes=scenes.boxes[rows],
        predicted_boxes=predictions.predicted_boxes[rows],
    )
