"""What a network makes of a picture that is moved by one pixel: the same class, the box with it?

A network that localizes should not care; many do (Azulay and Weiss 2019, "Why do deep
convolutional networks generalize so poorly to small image transformations?", JMLR 20).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.predictions import Predictions
from harness.record import Measure
from harness.scenes import Scenes

MOST_IMAGES = 1000
"""Images that are moved, the first ones by id: each costs four predictions."""

MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Pixels to the right and downwards, one at a time: whole pixels need no resampling."""

Predict = Callable[[Scenes], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""From scenes to probabilities `[n, classes]` and boxes `[n, 4]`."""


def shift_measures(scenes: Scenes, said: Predictions, predict: Predict) -> dict[str, Measure]:
    """Return how much class and box change under moves of one pixel.

    Args:
        scenes: at least one, in the order of `said`.
        said: of the network for these scenes as they are.
        predict: the network.

    Returns:
        `shift_class_changes`, the share of moved images whose most probable class is another, and
        `shift_box_px`, how far sides of boxes are from having moved along, in pixels: the mean
        over moved images and sides. Each has a sample for each of `MOVES`.
    """
    some = np.arange(min(MOST_IMAGES, len(scenes.ids)))
    first = replace(
        scenes, ids=scenes.ids[some], images=scenes.images[some], labels=scenes.labels[some],
        boxes=scenes.boxes[some],
    )  # fmt: skip
    classes = said.probabilities[some].argmax(axis=1)
    height, width = first.images.shape[1:3]
    changes, errors = [], []
    for right, down in MOVES:
        probabilities, boxes = predict(replace(first, images=moved(first.images, right, down)))
        changes.append(float((probabilities.argmax(axis=1) != classes).mean()))
        # In float64: the differences are small against the fractions.
        went = boxes.astype(np.float64) - said.predicted_boxes[some]
        off_px = went * (width, height, width, height) - (right, down, right, down)
        errors.append(float(np.abs(off_px).mean()))
    return {
        "shift_class_changes": Measure(value=float(np.mean(changes)), samples=tuple(changes)),
        "shift_box_px": Measure(value=float(np.mean(errors)), samples=tuple(errors)),
    }


def moved(images: NDArray[np.uint8], right: int, down: int) -> NDArray[np.uint8]:
    """Return images moved by whole pixels; what comes in repeats the border.

    Args:
        images: uint8 `[n, height, width]` or `[n, height, width, channels]`.
        right: pixels to the right, negative to the left.
        down: pixels downwards, negative upwards.
    """
    height, width = images.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, rows[:, None], columns]
