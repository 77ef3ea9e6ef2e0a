"""Targets as they are typed, and the time until they hold together, by hand."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.metrics import QUALITY
from harness.record import EpochPoint, Measure
from harness.targets import parse_targets, time_to_target


def history(*epochs: dict[str, float], validation_s: float | None = 0.5) -> list[EpochPoint]:
    """Epochs that train for 2, 3, 4, ... seconds and reach these validation measures."""
    return [
        EpochPoint(
            epoch=number, images=64, train_s=number + 1.0, validation_s=validation_s,
            metrics={f"validation_{name}": value for name, value in values.items()},
        )
        for number, values in enumerate(epochs, start=1)
    ]  # fmt: skip


RISING = history(
    {"score": 0.2, "loss": 2.0}, {"score": 0.8, "loss": 1.5}, {"score": 0.7, "loss": 0.9},
    {"score": 0.9, "loss": 0.8},
)  # fmt: skip


def timed(*targets: str, points: list[EpochPoint] = RISING) -> Measure:
    return time_to_target(points, parse_targets(targets))


def test_the_time_is_training_and_validation_up_to_the_first_epoch_that_reached_it() -> None:
    # Epochs 1 and 2: 2 + 0.5 and 3 + 0.5 seconds. That the score falls again does not matter.
    found = timed("score>=0.8")
    assert found.value == pytest.approx(6.0)
    assert found.samples == pytest.approx((2.5, 3.5))


def test_several_targets_must_hold_in_the_same_epoch() -> None:
    # Score in epoch 2, loss in epoch 3, both in epoch 4: 2.5 + 3.5 + 4.5 + 5.5.
    assert timed("score>=0.8", "loss<=0.9").value == pytest.approx(16)
    assert timed("loss<=0.9").value == pytest.approx(10.5)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (["score>=0.95"], "score was at most 0.9 in 4 epochs"),
        (["loss<=0.5"], "loss was at least 0.8 in 4 epochs"),
        (["score>=0.95", "loss<=0.5", "score>=0.3"],
         "score was at most 0.9 and loss was at least 0.8 in 4 epochs"),
        (["score<=0.3", "loss<=1"],
         "score<=0.3 and loss<=1.0 never held in the same one of 4 epochs"),
    ],
)  # fmt: skip
def test_what_was_never_reached_says_how_far_it_came(targets: list[str], reason: str) -> None:
    assert timed(*targets) == Measure(reason=reason)


def test_the_best_is_told_apart_from_the_target() -> None:
    points = history({"score": 0.899996})
    assert timed("score>=0.9", points=points).reason == "score was at most 0.899996 in 1 epoch"


def test_a_run_without_epochs_reached_nothing() -> None:
    assert timed("score>=0", points=[]).reason == "no epoch was trained"


def test_an_epoch_of_an_older_release_cannot_be_timed() -> None:
    points = history({"score": 0.9}, validation_s=None)
    found = timed("score>=0.5", points=points)
    assert found.reason == "epoch 1 does not say how long its validation took"


@pytest.mark.parametrize("name", QUALITY)
def test_every_measure_of_quality_can_be_a_target(name: str) -> None:
    (target,) = parse_targets([f" {name} >= 0.5 "])
    assert str(target) == f"{name}>=0.5"
    assert parse_targets([str(target)]) == (target,)
    (close,) = parse_targets([f"{name}>=0.8999999999"])
    assert parse_targets([str(close)]) == (close,), "not a digit is lost"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # What a shell leaves of an option without quotes.
        ("score", "and a number, in quotes, such as 'score>=0.9', got 'score'"),
        ("", "must be a measure, >= or <=, and a number"),
        ("score>0.9", "must be a measure, >= or <=, and a number"),
        ("score=>0.9", "must be a measure, >= or <=, and a number"),
        ("score>=0.9,loss<=1", "score must be a number from 0 to 1, got 0.9,loss<=1"),
        ("score>=90%", "score must be a number from 0 to 1, got 90%"),
        ("score>=1.5", "score must be a number from 0 to 1, got 1.5"),
        ("iou_50<=-0.1", "iou_50 must be a number from 0 to 1, got -0.1"),
        ("accuracy>=nan", "accuracy must be a number from 0 to 1, got nan"),
        ("loss<=-1", "loss must be a number of 0 or more, got -1"),
        ("loss<=inf", "loss must be a number of 0 or more, got inf"),
        ("skore>=0.9", "Unknown measure 'skore'. Did you mean 'score'"),
        ("images_per_s>=100", "Unknown measure 'images_per_s'"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")) as caught:
        parse_targets([text])
    assert "\n" not in str(caught.value)


def test_targets_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match=r"can be reached, got score>=0\.5 and score<=0\.4"):
        parse_targets(["score>=0.5", "loss<=1", "score<=0.4"])
    assert len(parse_targets(["score>=0.4", "score<=0.4"])) == 2
