"""Learning rates by hand arithmetic, and counting that goes on where an epoch ended."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import Decay, RunConfig
from harness.errors import UsageError
from harness.schedule import Schedule, check_warmup, schedule, warmup_epochs


def planned(global_batch: int = 256, steps_per_epoch: int = 4, **fields: object) -> Schedule:
    config = RunConfig.from_json({"learning_rate": 0.01, "epochs": 3} | fields)
    return schedule(config, global_batch=global_batch, steps_per_epoch=steps_per_epoch)


def test_without_scaling_every_step_has_the_learning_rate_itself() -> None:
    assert planned(global_batch=4096).rates(0, 12) == (0.01,) * 12


def test_linear_scaling_is_warmed_up_over_the_first_epoch() -> None:
    # 256 / 64 = 4: from 0.01 to 0.04 in 4 steps of 0.03 / 4 = 0.0075.
    plan = planned(learning_rate_scaling="linear")
    assert plan.rates(0, 6) == pytest.approx((0.01, 0.0175, 0.025, 0.0325, 0.04, 0.04))
    assert plan.scaled == pytest.approx(0.04)


def test_square_root_scaling_needs_no_warmup() -> None:
    # sqrt(256 / 64) = 2.
    assert planned(learning_rate_scaling="sqrt").rates(0, 3) == pytest.approx((0.02,) * 3)


def test_a_reference_of_ones_own() -> None:
    # 256 / 1024 = 1 / 4, and its root 1 / 2: a smaller batch has a smaller rate.
    fields = {"reference_batch_size": 1024, "warmup_epochs": 0}
    assert planned(learning_rate_scaling="linear", **fields).rates(0, 1) == pytest.approx(
        (0.0025,)
    )
    assert planned(learning_rate_scaling="sqrt", **fields).rates(0, 1) == pytest.approx((0.005,))


def test_a_warmup_of_part_of_an_epoch_need_not_be_whole_steps() -> None:
    # Half an epoch of 5 steps is 2.5 of them: 0.01 + 0.01 t / 2.5 for t = 0, 1, 2.
    plan = planned(learning_rate_scaling="sqrt", warmup_epochs=0.5, steps_per_epoch=5)
    assert plan.rates(0, 4) == pytest.approx((0.01, 0.014, 0.018, 0.02))


def test_a_straight_decay_falls_by_the_same_every_step() -> None:
    # 3 epochs of 4 steps: 0.01 (1 - t / 12).
    rates = planned(learning_rate_decay="linear").rates(0, 12)
    assert rates == pytest.approx([0.01 * (12 - t) / 12 for t in range(12)])


def test_a_cosine_is_slow_at_both_ends() -> None:
    # (1 + cos(pi p)) / 2 is 1, (1 + 1/sqrt(2)) / 2, 1/2 and (1 - 1/sqrt(2)) / 2 at p = 0 ... 3/4.
    plan = planned(learning_rate_decay="cosine")
    root = 1 / math.sqrt(2)
    expected = [0.01, 0.005 * (1 + root), 0.005, 0.005 * (1 - root)]
    assert [plan.rate(step) for step in (0, 3, 6, 9)] == pytest.approx(expected)


def test_a_decay_begins_where_the_warmup_ends() -> None:
    # Up from 0.01 to 0.04 in 4 steps, down again in the other 8.
    plan = planned(learning_rate_scaling="linear", learning_rate_decay="linear")
    assert plan.rates(3, 4) == pytest.approx((0.0325, 0.04, 0.035, 0.03))
    assert plan.rate(11) == pytest.approx(0.005)


def test_a_warmup_as_long_as_the_run_leaves_no_decay() -> None:
    plan = planned(learning_rate_scaling="linear", warmup_epochs=3, learning_rate_decay="cosine")
    assert plan.rate(11) == pytest.approx(0.01 + 0.03 * 11 / 12)


@pytest.mark.parametrize(("decay", "after"), [("none", 0.04), ("linear", 0), ("cosine", 0)])
@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_after_its_last_step_the_rate_stays_where_it_ended(
    decay: str, after: float, warmup: float
) -> None:
    plan = planned(learning_rate_scaling="linear", learning_rate_decay=decay, warmup_epochs=warmup)
    assert plan.rates(12, 12) == pytest.approx((after,) * 12)


@given(
    st.integers(0, 6), st.integers(0, 6), st.floats(0, 3), st.integers(1, 1000),
    st.sampled_from(get_args(Decay)),
)  # fmt: skip
def test_a_run_that_goes_on_has_the_rates_it_would_have_had(
    first: int, count: int, warmup: float, batch: int, decay: Decay
) -> None:
    plan = planned(
        batch, learning_rate_scaling="linear", warmup_epochs=warmup, learning_rate_decay=decay
    )
    assert plan.rates(0, first) + plan.rates(first, count) == plan.rates(0, first + count)
    low, high = sorted((plan.start, plan.scaled))
    rates = plan.rates(0, first + count)
    least = low if decay == "none" else 0
    assert all(least <= rate <= high or math.isclose(rate, low) for rate in rates)


@pytest.mark.parametrize(
    ("scaling", "asked", "expected"),
    [("none", None, 0), ("sqrt", None, 0), ("linear", None, 1), ("linear", 0.0, 0),
     ("sqrt", 2.5, 2.5)],
)  # fmt: skip
def test_the_usual_warmup(scaling: str, asked: float | None, expected: float) -> None:
    values = {"learning_rate_scaling": scaling, "warmup_epochs": asked}
    assert warmup_epochs(RunConfig.from_json(values)) == expected


def test_a_warmup_longer_than_the_run_is_refused() -> None:
    fields = {"learning_rate_scaling": "linear", "epochs": 3}
    check_warmup(RunConfig.from_json(fields | {"warmup_epochs": 3}))
    with pytest.raises(UsageError, match=r"at most the 3 epochs of the run, got 3\.5.*--epochs"):
        check_warmup(RunConfig.from_json(fields | {"warmup_epochs": 3.5}))
    with pytest.raises(UsageError, match="at most the 3 epochs"):
        planned(learning_rate_scaling="sqrt", warmup_epochs=4)
