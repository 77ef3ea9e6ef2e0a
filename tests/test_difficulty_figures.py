"""The difficulty atlas against hand counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scene_spec import BACKGROUNDS as CODES
from harness.scenes import FACTORS
from reports.difficulty_figures import (
    BACKGROUNDS,
    MOST_BINS,
    TITLES,
    bins_of,
    difficulty_plot,
    difficulty_table,
    factors_of,
)
from reports.evidence import Outcomes
from reports.statistics import share_interval, t_interval
from reports.style import Omitted, Plot


def outcomes(n: int = 6, **changes: object) -> Outcomes:
    """Return `n` images, the odd ones wrong, whose IoU falls from 1."""
    values: dict[str, object] = {
        "ids": np.arange(n), "labels": np.zeros(n, np.int64), "predicted": np.arange(n) % 2,
        "confidence": np.ones(n), "boxes": np.tile(np.float32([0, 0, 0.5, 0.5]), (n, 1)),
        "iou": 1 - np.arange(n) / n,
    }  # fmt: skip
    return Outcomes(**(values | changes))  # type: ignore[arg-type]


CLUTTER = np.array([0, 0, 0, 2, 2, 2], np.float32)


def test_names_and_codes_are_those_of_the_scenes() -> None:
    assert set(FACTORS) <= set(TITLES)
    assert BACKGROUNDS == CODES


def test_a_few_values_are_a_bin_each() -> None:
    bins = bins_of(np.array([3.0, 1.0, 3.0, 2.0]))
    assert bins is not None
    assert bins.member.tolist() == [2, 0, 2, 1]
    assert bins.low.tolist() == bins.high.tolist() == bins.centre.tolist() == [1, 2, 3]


def test_many_values_are_bins_of_as_many_images() -> None:
    bins = bins_of(np.arange(800.0)[::-1])
    assert bins is not None
    assert np.bincount(bins.member).tolist() == [100] * MOST_BINS
    assert bins.low.tolist() == [100.0 * k for k in range(MOST_BINS)]
    assert bins.centre[0] == pytest.approx(49.5)


def test_what_does_not_vary_has_no_bins() -> None:
    assert bins_of(np.full(5, 0.25)) is None
    assert isinstance(difficulty_plot([("a", [outcomes()])], name="d"), Omitted)
    assert isinstance(difficulty_plot([("a", [])], name="d"), Omitted)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=200))
def test_every_image_is_in_one_bin_and_no_bin_is_empty(values: list[float]) -> None:
    data = np.array(values)
    bins = bins_of(data)
    if bins is None:
        assert len(set(values)) == 1
        return
    assert len(bins.low) <= MOST_BINS
    assert (np.bincount(bins.member, minlength=len(bins.low)) > 0).all()
    assert (bins.low[bins.member] <= data).all()
    assert (data <= bins.high[bins.member]).all()
    assert (bins.high[:-1] < bins.low[1:]).all(), "bins do not overlap"


def test_accuracy_and_iou_by_hand() -> None:
    one = outcomes(factors={"clutter": CLUTTER})
    table = difficulty_table([("a", [one])])
    assert table["factor"].tolist() == ["clutter"] * 2
    assert table["centre"].tolist() == [0, 2]
    assert table["images"].tolist() == [3, 3]
    # Images 0, 2 and 4 are right: two of the first three, one of the last.
    assert table["accuracy"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert table["mean_iou"].tolist() == pytest.approx([5 / 6, 2 / 6])
    wilson = share_interval(np.array([True, False, True]))
    assert table["accuracy_low"].iloc[0] == pytest.approx(wilson.low)
    student = t_interval([1, 5 / 6, 4 / 6], varied="images", bounds=(0, 1))
    assert table["mean_iou_high"].iloc[0] == pytest.approx(student.high)


def test_seeds_are_averaged_image_by_image() -> None:
    one = outcomes(factors={"clutter": CLUTTER})
    other = dataclasses.replace(one, predicted=np.zeros(6, np.int64), iou=np.ones(6))
    table = difficulty_table([("a", [one, other])])
    assert table["accuracy"].tolist() == pytest.approx([(2 / 3 + 1) / 2, (1 / 3 + 1) / 2])
    assert table["images"].tolist() == [3, 3], "no image counts twice"


def test_place_and_size_of_boxes_are_factors_too() -> None:
    boxes = np.float32([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.25]])
    found = factors_of(outcomes(2, boxes=boxes))
    assert {name: values.tolist() for name, values in found.items()} == {
        "box_area": [0.25, 0.125], "x": [0.25, 0.75], "y": [0.25, 0.125],
    }  # fmt: skip
    scaled = {"digit_px": np.float32([14, 28]), "own_factor": np.float32([1, 2])}
    assert list(factors_of(outcomes(2, boxes=boxes, factors=scaled))) == [
        "digit_px", "x", "y", "own_factor"
    ]  # fmt: skip


def test_a_picture_of_every_factor() -> None:
    rng = np.random.default_rng(0)
    n = 400
    factors = {name: rng.random(n).astype(np.float32) for name in TITLES if name != "background"}
    factors["background"] = rng.integers(0, 4, n).astype(np.float32)
    one = outcomes(n, iou=factors["contrast"].astype(np.float64), factors=factors)
    plot = difficulty_plot([("a", [one]), ("b", [one])], name="d")
    assert isinstance(plot, Plot)
    assert plot.png(dpi=40).startswith(b"\x89PNG")
    assert "Largest for a: contrast, mean IoU 0.0" in plot.caption
    assert plot.csv().startswith(b"factor,contender,low,high,centre,images,accuracy,")
