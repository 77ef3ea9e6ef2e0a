from collections.abc import Sequence

import pytest

from sweeps.dominance import DominanceJudge
from sweeps.objectives import Objective
from sweeps.pruners import warmup_epochs
from sweeps.sampler import Guide, TrialRow

EPOCHS = 6
GOALS = (Objective(name="score"), Objective(name="mean_iou"))


def row(number: int, first: Sequence[float], second: Sequence[float]) -> TrialRow:
    """Return a trial that finished with these two curves."""
    return TrialRow(
        number=number, status="finished", params={}, value=first[-1], more=(second[-1],),
        curve=tuple(enumerate(first, start=1)), more_curves=(tuple(enumerate(second, start=1)),),
    )  # fmt: skip


# Five trials that gain 0.3 and 0.1 after epoch 3; the last is the front alone.
RISING = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
FLAT = [0.0, 0.2, 0.4, 0.4, 0.5, 0.5]
FIVE = [
    row(n, [v - n / 100 for v in RISING], [v - n / 100 for v in FLAT]) for n in (4, 3, 2, 1, 0)
]


def judge(rows: Sequence[TrialRow]) -> DominanceJudge:
    return DominanceJudge(Guide(seen=tuple(rows), unseen=()), epochs=EPOCHS, objectives=GOALS)


def test_a_trial_below_the_front_even_with_the_largest_gains_is_stopped() -> None:
    # After epoch 3 the bound is 0.1 + 0.3 = 0.4 and 0.3 + 0.1 = 0.4; the front has 0.5, 0.5.
    assert warmup_epochs(EPOCHS) == 2
    assert not judge(FIVE).goes_on(3, [0.1, 0.3])


@pytest.mark.parametrize("values", [[0.21, 0.0], [0.0, 0.41], [0.2, 0.4]])
def test_a_trial_that_may_still_reach_the_front_goes_on(values) -> None:
    # 0.21 + 0.3 > 0.5 in the first, 0.41 + 0.1 > 0.5 in the second; the last would be equal.
    assert judge(FIVE).goes_on(3, values)


@pytest.mark.parametrize("epoch", [1, 2, EPOCHS])
def test_none_is_stopped_in_the_warm_up_or_at_its_end(epoch) -> None:
    assert judge(FIVE).goes_on(epoch, [0.0, 0.0])


def test_none_is_stopped_before_enough_have_finished() -> None:
    assert judge(FIVE[1:]).goes_on(3, [0.0, 0.0])


@pytest.mark.parametrize("hole", [None, float("nan")])
def test_what_is_not_known_on_the_way_bounds_nothing(hole) -> None:
    assert judge(FIVE).goes_on(3, [0.0, hole])


def test_less_is_better_where_it_is() -> None:
    down = [Objective(name="box_mse"), Objective(name="mean_iou")]
    rows = [row(n, [1.0, 0.8, 0.6, 0.5, 0.4, 0.3], [0.5] * 6) for n in range(5)]
    known = Guide(seen=tuple(rows), unseen=())
    judged = DominanceJudge(known, epochs=EPOCHS, objectives=down)
    assert not judged.goes_on(3, [0.7, 0.4])  # 0.7 - 0.3 = 0.4 > 0.3
    assert judged.goes_on(3, [0.59, 0.4])  # 0.59 - 0.3 = 0.29 < 0.3
