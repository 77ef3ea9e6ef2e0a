"""Moves by one pixel, measured on networks that are known to follow them, or not to."""

from __future__ import annotations

import numpy as np
import pytest

from harness.predictions import Predictions
from harness.scenes import Scenes
from harness.shift_probe import MOST_IMAGES, MOVES, moved, shift_measures


def test_moves_by_hand() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)  # 0 1 2 / 3 4 5
    assert moved(image, 1, 0).tolist() == [[[0, 0, 1], [3, 3, 4]]]
    assert moved(image, -1, 0).tolist() == [[[1, 2, 2], [4, 5, 5]]]
    assert moved(image, 0, 1).tolist() == [[[0, 1, 2], [0, 1, 2]]]
    assert moved(image, 0, -1).tolist() == [[[3, 4, 5], [3, 4, 5]]]
    colour = np.repeat(image[..., None], 3, axis=-1)
    assert np.array_equal(moved(colour, 1, -1)[..., 2], moved(image, 1, -1))


def squares(n: int) -> Scenes:
    """Return a white square of 3 pixels in images of 20 columns and 10 rows, off the border."""
    rng = np.random.default_rng(0)
    images = np.zeros((n, 10, 20), np.uint8)
    boxes = np.zeros((n, 4), np.float32)
    for i in range(n):
        x, y = int(rng.integers(1, 16)), int(rng.integers(1, 6))
        images[i, y : y + 3, x : x + 3] = 255
        boxes[i] = x / 20, y / 10, (x + 3) / 20, (y + 3) / 10
    return Scenes(ids=np.arange(n), images=images, labels=np.zeros(n, np.int64), boxes=boxes)


def following(scenes: Scenes) -> tuple[np.ndarray, np.ndarray]:
    """Find the square exactly."""
    boxes = []
    for image in scenes.images:
        rows, columns = np.nonzero(image)
        boxes.append(
            (columns.min() / 20, rows.min() / 10, (columns.max() + 1) / 20, (rows.max() + 1) / 10)
        )
    probabilities = np.tile(np.float32([0.9, 0.1]), (len(boxes), 1))
    return probabilities, np.array(boxes, np.float32)


def stubborn(scenes: Scenes) -> tuple[np.ndarray, np.ndarray]:
    """Say the same box whatever comes, and a class that hangs on whether x is even."""
    _, boxes = following(scenes)
    odd = np.rint(boxes[:, 0] * 20).astype(int) % 2
    return np.eye(2, dtype=np.float32)[odd], np.full_like(boxes, 0.5)


def said(scenes: Scenes, predict) -> Predictions:  # type: ignore[no-untyped-def]
    probabilities, boxes = predict(scenes)
    return Predictions(
        ids=scenes.ids, labels=scenes.labels, boxes=scenes.boxes, probabilities=probabilities,
        predicted_boxes=boxes,
    )  # fmt: skip


def test_who_follows_is_never_off() -> None:
    scenes = squares(30)
    found = shift_measures(scenes, said(scenes, following), following)
    assert found["shift_class_changes"].value == 0
    assert found["shift_box_px"].value == pytest.approx(0, abs=1e-5)


def test_who_stays_is_off_by_half_a_pixel_a_side() -> None:
    scenes = squares(30)
    found = shift_measures(scenes, said(scenes, stubborn), stubborn)
    # A move to the right leaves x_min and x_max a pixel behind and y as it should be.
    assert found["shift_box_px"].samples == pytest.approx([0.5] * len(MOVES))
    # Each move along x flips odd and even, no move along y does.
    assert found["shift_class_changes"].samples == (1, 1, 0, 0)
    assert found["shift_class_changes"].value == 0.5


def test_only_the_first_are_moved() -> None:
    scenes = squares(MOST_IMAGES + 5)
    sizes = []

    def counting(some: Scenes) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(len(some.images))
        assert some.ids.tolist() == list(range(MOST_IMAGES))
        return following(some)

    shift_measures(scenes, said(scenes, following), counting)
    assert sizes == [MOST_IMAGES] * len(MOVES)
