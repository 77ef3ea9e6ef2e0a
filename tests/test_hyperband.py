"""Hyperband, by hand and against Optuna's own."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState, create_trial

from sweeps.hyperband import REDUCTION, Halving, bracket_of, rungs
from sweeps.sampler import Guide, Judge, TrialRow
from sweeps.space import DEFAULT_SPACE

EPOCHS = 18


def test_rungs_and_brackets_by_hand():
    # Twice as far each time, never at the last epoch; the next bracket begins one rung later.
    assert rungs(3, EPOCHS, 0) == (3, 6, 12)
    assert rungs(3, EPOCHS, 1) == (6, 12)
    assert rungs(3, 12, 0) == (3, 6)
    assert rungs(7, 6, 0) == ()
    # Three brackets; shares of 3 * 4 / 3, 3 * 2 / 2 and 3 * 1 / 1.
    assert [bracket_of(n, 3, EPOCHS) for n in range(11)] == [0] * 4 + [1] * 3 + [2] * 3 + [0]
    assert [bracket_of(n, 7, 6) for n in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("first", "epochs"), [(1, 30), (2, 8), (3, 18), (4, 8), (7, 18)])
def test_brackets_have_the_shares_of_optuna(first, epochs):
    oracle = HyperbandPruner(first, epochs, REDUCTION)
    oracle._try_initialization(optuna.create_study())
    shares = oracle._trial_allocation_budgets
    of_a_turn = [bracket_of(number, first, epochs) for number in range(sum(shares))]
    assert [of_a_turn.count(bracket) for bracket in range(oracle._n_brackets)] == shares


@settings(max_examples=60, deadline=None)
@given(
    curves=st.lists(
        st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4]), min_size=9, max_size=9), max_size=9
    ),
    bracket=st.integers(0, 2),
    direction=st.sampled_from(["maximize", "minimize"]),
)
def test_one_after_the_other_it_decides_as_optuna_does(curves, bracket, direction):
    oracle = SuccessiveHalvingPruner(2, REDUCTION, bracket)
    expected = optuna.create_study(direction=direction, pruner=oracle)
    ended = []
    for curve in curves:
        trial = expected.ask()
        lasted = judged(trial, curve)
        state = TrialState.COMPLETE if lasted == len(curve) else TrialState.PRUNED
        expected.tell(trial, curve[lasted - 1] if lasted == len(curve) else None, state=state)
        pruner = Halving(rungs(2, len(curve), bracket))
        ours = optuna.create_study(direction=direction, pruner=pruner)
        ours.add_trials(ended)
        assert judged(ours.ask(), curve) == lasted
        points = dict(enumerate(curve[:lasted], start=1))
        ended.append(create_trial(state=state, value=points[lasted], intermediate_values=points))


def judged(trial, curve):
    for epoch, value in enumerate(curve[:-1], start=1):
        trial.report(value, epoch)
        if trial.should_prune():
            return epoch
    return len(curve)


def test_a_trial_is_compared_within_its_bracket():
    # Trials of 18 epochs are first judged after epoch 7. Two brackets, of two trials in turn:
    # 0, 1, 4 and 5 have rungs at 7 and 14, the others one at 14.
    rows = [
        TrialRow(
            number=n, status="finished", params={"learning_rate": 1e-3, "class_weight": 1.0,
            "box_weight": 1.0}, value=value, curve=tuple((e, value) for e in range(1, EPOCHS + 1)),
        )
        for n, value in enumerate((0.4, 0.5, 0.1, 0.2))
    ]  # fmt: skip

    def stopped(number, value):
        judge = Judge(
            "hyperband", Guide(seen=tuple(rows), unseen=()), number=number, epochs=EPOCHS,
            space=DEFAULT_SPACE, direction="maximize",
        )  # fmt: skip
        going = [judge.goes_on(epoch, [value]) for epoch in range(1, EPOCHS + 1)]
        return going.index(False) + 1 if False in going else None

    assert (stopped(4, 0.45), stopped(4, 0.55)) == (7, None)
    assert (stopped(6, 0.15), stopped(6, 0.3)) == (14, None)
