import itertools
import random

import pytest

from harness.errors import UsageError
from harness.goal import dominates, front
from harness.record import EpochPoint
from sweeps.objectives import Objective, finite, objectives_of

SCORE, SPEED, COST = (Objective(name=n) for n in ("score", "images_per_s", "mflops"))
FIELDS = ("learning_rate",)


def test_quality_is_read_on_validation_and_cost_is_not() -> None:
    assert (SCORE.measure, SCORE.direction) == ("validation_score", "maximize")
    assert (SPEED.measure, SPEED.direction) == ("images_per_s", "maximize")
    assert (COST.measure, COST.direction) == ("mflops", "minimize")
    assert Objective(name="box_mse").direction == "minimize"


def test_values_on_the_way() -> None:
    point = EpochPoint(epoch=2, images=640, train_s=2.0, metrics={"validation_score": 0.25})
    assert SCORE.after_epoch(point) == 0.25
    assert SPEED.after_epoch(point) == 320.0  # 640 images / 2 s
    assert COST.after_epoch(point) is None


@pytest.mark.parametrize(
    ("names", "searched", "words"),
    [
        ((), FIELDS, "at least one objective"),
        (("scor",), FIELDS, "Did you mean 'score'"),
        (("score", "score"), FIELDS, "'score' comes twice"),
        (("peak_rss_mib",), FIELDS, "one process does many trials"),
        (("scaled_learning_rate",), FIELDS, "neither more nor less"),
        (("loss",), ("box_weight",), "the smallest would win"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(names, searched, words) -> None:
    with pytest.raises(UsageError, match=words):
        objectives_of(names, searched=searched)


def test_the_loss_can_be_the_objective_where_its_weights_are_fixed() -> None:
    assert objectives_of(("loss",), searched=FIELDS)[0].measure == "validation_loss"


def test_dominance_needs_one_gain_and_no_loss() -> None:
    goals = (SCORE, COST)
    assert dominates((0.5, 10), (0.5, 11), goals)
    assert dominates((0.6, 10), (0.5, 10), goals)
    assert not dominates((0.5, 10), (0.5, 10), goals)
    assert not dominates((0.6, 11), (0.5, 10), goals)


def test_the_front_is_what_nobody_dominates() -> None:
    goals = (SCORE, COST)
    dice = random.Random(1)
    values = {n: (dice.randrange(8) / 8, float(dice.randrange(8))) for n in range(60)}
    found = front(values, goals)
    free = [n for n in values if not any(dominates(values[m], values[n], goals) for m in values)]
    first = {values[n]: n for n in reversed(free)}  # of equals the earliest
    assert sorted(found) == sorted(first.values())
    scores = [values[n][0] for n in found]
    assert scores == sorted(scores, reverse=True)


def test_the_front_of_one_objective_is_its_best() -> None:
    assert front({3: (0.5,), 1: (0.9,), 2: (0.9,)}, [SCORE]) == (1,)


def test_all_values_or_none() -> None:
    assert finite([1.0, 2]) == (1.0, 2)
    for hole in (None, float("nan"), float("inf")):
        assert all(finite(list(p)) is None for p in itertools.permutations([1.0, hole]))
