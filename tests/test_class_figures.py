"""Tables of classes and confidence against hand counts."""

from __future__ import annotations

import numpy as np
import pytest

from reports.class_figures import class_plot, class_table, reliability_plot, reliability_table
from reports.evidence import Outcomes
from reports.style import Omitted, Plot


def outcomes(
    labels: list[int], predicted: list[int], iou: list[float], confidence: list[float]
) -> Outcomes:
    n = len(labels)
    return Outcomes(
        ids=np.arange(n), labels=np.array(labels), predicted=np.array(predicted),
        confidence=np.array(confidence), boxes=np.zeros((n, 4), np.float32), iou=np.array(iou),
    )  # fmt: skip


ONE = outcomes([0, 0, 1, 3], [0, 1, 1, 3], [0.5, 1.0, 0.25, 0.75], [0.95, 0.65, 0.95, 1.0])


def test_classes_by_hand() -> None:
    found = class_table([("a", [ONE, ONE])])  # two seeds are pooled
    assert found["class"].tolist() == [0, 1, 3]
    assert found["images"].tolist() == [4, 2, 2]
    assert found["accuracy"].tolist() == [0.5, 1.0, 1.0]
    assert found["mean_iou"].tolist() == [0.75, 0.25, 0.75]


def test_classes_with_names() -> None:
    names = ("sun", "moon", "star", "sky")
    found = class_table([("a", [ONE])], names)
    assert found["name"].tolist() == ["sun", "moon", "sky"]
    plot = class_plot([("a", [ONE])], name="p", class_names=names)
    assert isinstance(plot, Plot)
    assert "lowest accuracy: class sun of a" in plot.alt
    assert plot.png().startswith(b"\x89PNG")


def test_reliability_by_hand() -> None:
    found = reliability_table([("a", [ONE])])
    # 15 bins: 0.65 lies in [9/15, 10/15), 0.95 and 1 in the last one.
    assert found["bin"].tolist() == [9, 14]
    assert found["images"].tolist() == [1, 3]
    assert found["accuracy"].tolist() == [0.0, 1.0]
    assert found["confidence"].tolist() == pytest.approx([0.65, 2.9 / 3])
    assert found["ece"].tolist() == pytest.approx([(0.65 + 3 * (1 - 2.9 / 3)) / 4] * 2)


def test_one_who_knows_how_sure_he_is_has_no_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 40_000)
    right = rng.random(40_000) < confidence
    sure = outcomes([0] * 40_000, (~right).astype(int).tolist(), [1.0] * 40_000,
                    confidence.tolist())  # fmt: skip
    assert reliability_table([("a", [sure])])["ece"].iloc[0] < 0.01


@pytest.mark.parametrize("make", [class_plot, reliability_plot])
def test_pictures_of_one_and_of_six(make) -> None:  # type: ignore[no-untyped-def]
    for count in (1, 6):
        plot = make([(f"contender-{n}", [ONE]) for n in range(count)], name="p")
        assert isinstance(plot, Plot)
        assert plot.png().startswith(b"\x89PNG")
    assert isinstance(make([("a", [])], name="p"), Omitted)
