"""Two sides: what is better, worse or open, and what is no comparison at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from calibrated import floor
from records import DATA, MACHINE, fabricate

from harness.config import RunConfig
from harness.errors import UsageError
from harness.predictions import Predictions, predictions_file
from harness.record import Machine
from reports.evidence import load
from reports.verdicts import judge_runs
from reports.versus import JUDGED, SPEED, Side, corrected, versus
from reports.versus_words import verdict_words

GOOD, POOR = 0.99, 0.9

FLOOR = floor((1.04, 1 / 1.04) * 10)
"""Of 8.5 %."""


def side(
    folder: Path, name: str, accuracy: float = GOOD, *, seeds: int = 3, machine: Machine = MACHINE,
    images_per_s: float = 400.0, **fields: Any,
) -> Side:  # fmt: skip
    runs = [
        fabricate(
            folder, f"{name}-{seed}", accuracy=accuracy, machine=machine,
            images_per_s=images_per_s,
            config=RunConfig.from_json({"dataset": "mnist", "seed": seed} | fields),
        )
        for seed in range(seeds)
    ]  # fmt: skip
    return Side(name=name, evidence=tuple(load(*run) for run in runs))


def test_better_and_worse_are_told_from_the_second_side(tmp_path: Path) -> None:
    old, new = side(tmp_path, "old", POOR), side(tmp_path, "new", GOOD)
    found = versus(old, new)
    assert found.outcomes == {"score": "better"}
    assert found.regressions == ()
    difference = found.measures["accuracy"].test.difference
    assert difference.value == pytest.approx(
        found.means["accuracy"][1] - found.means["accuracy"][0]
    )
    assert (difference.value or 0) > 0.05
    turned = versus(new, old, by=("accuracy", "mean_iou"))
    assert turned.outcomes == {"accuracy": "worse", "mean_iou": "cannot separate"}
    assert turned.regressions == ("accuracy",)
    assert "new > old in accuracy: a regression" in list(verdict_words(turned))


def test_the_same_runs_on_both_sides_cannot_be_separated(tmp_path: Path) -> None:
    one = side(tmp_path, "one", seeds=1)
    found = versus(one, one)
    assert found.outcomes == {"score": "cannot separate"}
    assert found.measures["score"].test.p_value == 1.0
    assert any("One seed on a side" in line for line in verdict_words(found))


def test_several_measures_are_corrected_for_their_number(tmp_path: Path) -> None:
    # Chosen so that one measure is enough for one verdict, but not for one of two.
    old, new = side(tmp_path, "old", 0.95, seeds=1), side(tmp_path, "new", 0.9845, seeds=1)
    p_value = versus(old, new).measures["accuracy"].test.p_value
    assert 0.025 < p_value <= 0.05, "else this proves nothing: choose other runs"
    assert versus(old, new, by=("accuracy",)).outcomes == {"accuracy": "better"}
    both = versus(old, new, by=("accuracy", "mean_iou")).outcomes
    assert both["accuracy"] == "cannot separate"


def test_speed_counts_as_one_of_several_measures(tmp_path: Path) -> None:
    # Both chosen so that they are enough for a verdict that stands alone, but not for one of two.
    old = side(tmp_path, "old", 0.95, seeds=1)
    new = side(tmp_path, "new", 0.9845, seeds=1, images_per_s=436.0)
    floors = [FLOOR]
    alone = {name: versus(old, new, by=(name,), floors=floors) for name in ("accuracy", SPEED)}
    assert 0.025 < alone["accuracy"].measures["accuracy"].test.p_value <= 0.05
    # t(1 - 0.05 / 2, 20) = 2.086 x ln 1.04 gives 8.5 %, t(1 - 0.05 / 4, 20) = 2.423 gives 10.0 %.
    assert alone[SPEED].speed.floor == pytest.approx(0.0853, abs=5e-5)
    assert {name: found.outcomes[name] for name, found in alone.items()} == dict.fromkeys(
        alone, "better"
    )
    both = versus(old, new, by=("accuracy", SPEED), floors=floors)
    assert both.speed.floor == pytest.approx(0.0997, abs=5e-5)
    assert both.outcomes == dict.fromkeys(alone, "cannot separate")
    assert versus(old, new, by=(SPEED, SPEED), floors=floors).speed == alone[SPEED].speed


def test_holm_among_the_tested_keeps_their_share(tmp_path: Path) -> None:
    # A clear difference in score and one in accuracy of p = 0.03: with speed beside them
    # two of three shares are left, 0.033, all of it for the second once the first is rejected.
    old, new = side(tmp_path, "old", 0.9, seeds=1), side(tmp_path, "new", 0.9, seeds=1)
    (verdict,) = judge_runs({"a": old.evidence, "b": new.evidence})
    tests = {
        name: dataclasses.replace(tested, test=dataclasses.replace(tested.test, p_value=p_value))
        for (name, tested), p_value in zip(
            verdict.measures.items(), (0.001, 0.03, 0.5), strict=True
        )
    }
    found = corrected(dataclasses.replace(verdict, measures=tests), ("score", "accuracy", SPEED))
    assert found == pytest.approx({"score": 0.001 * 2 * 3 / 2, "accuracy": 0.03 * 3 / 2})
    assert found["accuracy"] <= 0.05, "Bonferroni alone would give 0.09"
    assert corrected(verdict, (SPEED,)) == {}


def test_speed_is_held_against_the_noise_floor(tmp_path: Path) -> None:
    old, new = side(tmp_path, "old"), side(tmp_path, "new", images_per_s=300.0)
    floors = [FLOOR]
    assert versus(old, new, by=JUDGED, floors=floors).regressions == ("images_per_s",)
    close = side(tmp_path, "close", images_per_s=380.0)
    assert versus(old, close, by=("images_per_s",), floors=floors).outcomes == {
        "images_per_s": "cannot separate"
    }
    assert "in images/s: below the noise floor of 8.5 %" in "".join(
        verdict_words(versus(old, close, by=(SPEED,), floors=floors))
    )
    unknown = versus(old, new, by=("images_per_s",))
    assert unknown.outcomes == {"images_per_s": "no verdict"}
    assert "bench calibrate" in "".join(verdict_words(unknown))


def test_speeds_whose_intervals_over_seeds_overlap_are_open_as_in_reports(tmp_path: Path) -> None:
    # Two seeds of about 42 and 36 images/s, each the mean of 5 epochs with a standard deviation of
    # 5: beyond the floor, but with intervals of many images/s.
    old = side(tmp_path, "old", seeds=2, images_per_s=42.0)
    new = side(tmp_path, "new", seeds=2, images_per_s=36.0)
    speed = versus(old, new, floors=[floor()]).speed
    assert speed.ratio is not None
    assert speed.floor is not None
    assert 1 / speed.ratio - 1 > speed.floor, "else this proves nothing: choose other runs"
    found = versus(old, new, by=(SPEED,), floors=[floor()])
    assert found.outcomes == {SPEED: "cannot separate"}
    assert "their intervals over seeds overlap" in "".join(verdict_words(found))


def test_on_another_machine_quality_is_compared_and_speed_is_not(tmp_path: Path) -> None:
    laptop = dataclasses.replace(MACHINE, cpu_model="Synthetic Laptop")
    old, new = side(tmp_path, "old", POOR), side(tmp_path, "new", machine=laptop)
    found = versus(old, new, floors=[FLOOR])
    assert found.outcomes == {"score": "better"}
    assert found.speed.outcome == "no verdict"
    assert "images/s are not compared: they were timed on machines" in "".join(
        verdict_words(found)
    )


def test_a_cpu_is_not_held_against_the_floor_of_a_gpu(tmp_path: Path) -> None:
    gpu = dataclasses.replace(MACHINE, devices=("gpu:0",))
    old, new = side(tmp_path, "old"), side(tmp_path, "new", machine=gpu, images_per_s=300.0)
    for floors in ([FLOOR], [FLOOR, floor(machine=gpu)]):
        found = versus(old, new, by=(SPEED,), floors=floors)
        assert found.outcomes == {SPEED: "no verdict"}
        assert "one was trained on CPU, the other on GPU" in "".join(verdict_words(found))
    both = side(tmp_path, "both", machine=gpu)
    assert versus(both, new, by=(SPEED,), floors=[FLOOR]).outcomes == {SPEED: "no verdict"}
    floors = [FLOOR, floor(machine=gpu)]
    assert versus(both, new, by=(SPEED,), floors=floors).outcomes == {SPEED: "worse"}


def test_another_commit_is_what_one_wants_to_compare(tmp_path: Path) -> None:
    later = dataclasses.replace(MACHINE, git_commit="beef" * 10)
    old, new = side(tmp_path, "old"), side(tmp_path, "new", machine=later, images_per_s=300.0)
    found = versus(old, new, by=("images_per_s",), floors=[FLOOR])
    assert found.regressions == ("images_per_s",)


def test_what_cannot_be_compared_is_refused_with_its_reason(tmp_path: Path) -> None:
    old = side(tmp_path, "old")
    digits = dataclasses.replace(DATA, source="digits", digest="d1" * 8)
    other = Side(
        name="digits",
        evidence=(load(*fabricate(tmp_path, "d", config=RunConfig(), data=digits)),),
    )
    with pytest.raises(UsageError, match="different are: source, content of the training pool"):
        versus(old, other)
    mixed = Side(
        name="mixed", evidence=(old.evidence[0], *side(tmp_path, "x", epochs=9).evidence[1:2])
    )
    with pytest.raises(UsageError, match=r"mixed must differ in their seed only, .* in epochs"):
        versus(old, mixed)
    twice = Side(name="twice", evidence=(old.evidence[0], side(tmp_path, "y").evidence[0]))
    with pytest.raises(UsageError, match="different seeds, got 0, 0"):
        versus(old, twice)
    dry = Side(name="dry", evidence=(load(*fabricate(tmp_path, "dry", tested=False)),))
    with pytest.raises(UsageError, match="run dry cannot be compared: not evaluated on test"):
        versus(old, dry)
    with pytest.raises(UsageError, match="must have a run with a test result"):
        versus(Side(name="none", evidence=()), old)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"digest": "d1" * 8}, "content of the training pool"), ({"scene_digest": "s"}, "scenes")],
)
def test_a_side_with_runs_on_other_data_is_refused(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    """The configuration is the same: the files in a folder were changed between two runs."""
    other = dataclasses.replace(DATA, **change)
    config = RunConfig(dataset="mnist", seed=7)
    later = load(*fabricate(tmp_path, "later", config=config, data=other))
    old = side(tmp_path, "old")
    mixed = Side(name="mixed", evidence=(*old.evidence, later))
    words = f"mixed must have seen the same data, but old-0 and later differ in: {field}"
    for sides in ((mixed, old), (old, mixed)):
        with pytest.raises(UsageError, match=words):
            versus(*sides)


def test_other_test_images_are_refused(tmp_path: Path) -> None:
    old = side(tmp_path, "old", seeds=1)
    record, folder = fabricate(tmp_path, "new", config=RunConfig(dataset="mnist"))
    path = folder / predictions_file("test")
    loaded = Predictions.load(path)
    dataclasses.replace(loaded, ids=loaded.ids + 1).save(path)
    new = Side(name="new", evidence=(load(record, folder),))
    with pytest.raises(UsageError, match="has other test images than"):
        versus(old, new)


def test_a_single_test_image_is_refused(tmp_path: Path) -> None:
    photo = dataclasses.replace(DATA, n_test=1)
    sides = [
        Side(name=name, evidence=(load(*fabricate(tmp_path, name, data=photo)),))
        for name in ("old", "new")
    ]
    with pytest.raises(UsageError, match="two or more, but run new has fewer than 2 test images"):
        versus(*sides)


def test_words_say_what_would_tell_more(tmp_path: Path) -> None:
    found = versus(side(tmp_path, "old", 0.95), side(tmp_path, "new", 0.955))
    assert found.outcomes == {"score": "cannot separate"}
    words = "".join(verdict_words(found))
    assert "cannot separate old and new in score: a difference of 0.0" in words
    assert "more seed" in words
