"""The predicted wall-clock is plain arithmetic over what was measured."""

import pytest

from harness.forecast import AROUND_S, KEEP_S, Forecast, Runs, forecast
from harness.pace import Pace, Paces

PACE = Pace(load_s=0.5, compile_s=4.0, reset_s=0.2, train_s=0.01, predict_s=0.001)
ONE = Paces(start_s=10.0, of=(PACE,), asked=1)
TRIAL = {"epochs": 10, "images": 200, "predicted": 100, "tested": 100}
FINAL = {"epochs": 20, "images": 200, "predicted": 100, "tested": 100}

# 0.5 load, 0.2 weights, 10 x 200 x 0.01 training, (10 + 1) x 100 x 0.001 evaluation.
TRIAL_S = 0.5 + 0.2 + 20.0 + 1.1 + KEEP_S
FINAL_S = 0.5 + 0.2 + 40.0 + 2.1 + KEEP_S


def predicted(paces=ONE, *, trials=20, finals=3, done=0, workers=2, pruner="median"):
    return forecast(
        paces, trials=Runs(count=trials, **TRIAL), finals=Runs(count=finals, **FINAL), done=done,
        workers=workers, pruner=pruner,
    )  # fmt: skip


def test_all_parts_by_hand():
    found = predicted()
    assert found.trial_s == pytest.approx(TRIAL_S)
    assert found.trials_s == pytest.approx(10 * TRIAL_S)
    # The first 8 in full, the other 12 to 75 %: 17 trials, two at once.
    assert found.pruned_s == pytest.approx(8.5 * TRIAL_S)
    assert (found.final_s, found.finals_s) == pytest.approx((FINAL_S, 2 * FINAL_S))
    assert found.start_s == pytest.approx(AROUND_S + 10 + 4)
    assert found.most_s == pytest.approx(found.start_s + 10 * TRIAL_S + 2 * FINAL_S)
    assert found.usual_s == pytest.approx(found.start_s + 8.5 * TRIAL_S + 2 * FINAL_S)


def test_without_pruning_both_are_the_same():
    found = predicted(pruner="none")
    assert found.usual_s == found.most_s


def test_trials_that_are_done_have_started_the_pruner():
    # All 10 that are left may be stopped early: 7.5 trials' worth, two at once.
    assert predicted(trials=10, done=10).pruned_s == pytest.approx(3.75 * TRIAL_S)


def test_pruning_never_looks_slower_nor_shorter_than_one_trial():
    for trials in range(1, 12):
        for workers in (1, 2, 3, 4):
            found = predicted(trials=trials, workers=workers, done=20)
            assert found.trial_s - 1e-9 <= found.pruned_s <= found.trials_s + 1e-9


def test_other_networks_are_compiled_anew():
    other = Pace(load_s=0.5, compile_s=8.0, reset_s=0.2, train_s=0.03, predict_s=0.001)
    found = predicted(Paces(start_s=10.0, of=(PACE, other), asked=3))
    # A mean pace of 0.02 s per image doubles the training, and each trial compiles for 6 s.
    assert found.trial_s == pytest.approx(TRIAL_S + 20.0 + 6.0)
    assert found.finals_s == pytest.approx(2 * (FINAL_S + 40.0) + 6.0)


def test_nothing_left_of_a_kind_costs_nothing():
    found = predicted(trials=0, finals=0)
    assert (found.trials_s, found.pruned_s, found.finals_s) == (0, 0, 0)
    assert isinstance(found, Forecast)
