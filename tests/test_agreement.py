"""Limits and verdicts by hand-made numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.agreement import (
    FACTOR,
    FLOORS,
    OUTPUT_LIMIT,
    Noise,
    TrainPath,
    compare_outputs,
    compare_paths,
    differences,
    evaluation_sizes,
    noise,
)
from harness.certificate import Quantity

PATH = TrainPath(
    losses=np.array([2.0, 1.0, 0.5]),
    gradient=np.array([3.0, 4.0]),
    averages=np.array([0.0, 2.0]),
    outputs=np.array([[0.5, 0.5], [0.25, 0.75]]),
)
STILL = Noise(first=dict.fromkeys(FLOORS, 0.0), losses=np.zeros(3), controls=1)


def moved(**changes: np.ndarray) -> TrainPath:
    return replace(PATH, **changes)


def verdicts(other: TrainPath, rounding: Noise = STILL) -> dict[str, Quantity]:
    return {each.name: each for each in compare_paths(PATH, other, rounding)}


def test_the_same_path_agrees_in_every_quantity_in_order() -> None:
    found = list(compare_paths(PATH, PATH, STILL))
    assert [each.name for each in found] == list(FLOORS)
    assert all(each.agrees and each.difference == 0 for each in found)
    assert [each.limit for each in found] == list(FLOORS.values())
    assert [each.reference for each in found] == [2, 5, 5, 2, 0.5, 2]


def test_differences_by_hand() -> None:
    other = TrainPath(
        losses=np.array([2.5, 1.0, 0.5]),
        gradient=np.array([3.0, 4.5]),
        averages=np.array([0.5, 2.0]),
        outputs=np.array([[0.5, 0.5], [0.5, 0.5]]),
    )
    assert differences(PATH, other) == pytest.approx({
        "first loss": 0.5 / 2,
        "first gradient norm": (np.sqrt(9 + 20.25) - 5) / 5,
        "first gradient": 0.5 / 5,  # the length of (0, 0.5) over that of (3, 4)
        "averages after a step": 0.5 / 2,
        "outputs after an update": 0.25,
    })  # fmt: skip


def test_a_gradient_that_only_turns_is_found() -> None:
    found = verdicts(moved(gradient=np.array([4.0, 3.0])))
    assert found["first gradient norm"].agrees
    assert not found["first gradient"].agrees


def test_limits_are_ten_times_the_worst_control_but_never_below_the_floor() -> None:
    controls = [moved(losses=PATH.losses * (1 + e)) for e in (1e-6, -4e-6)]
    rounding = noise(PATH, controls)
    assert rounding.controls == 2
    found = verdicts(moved(losses=PATH.losses * (1 + 39e-6)), rounding)
    assert found["first loss"].limit == pytest.approx(FACTOR * 4e-6)
    assert found["first loss"].used == pytest.approx(0.975)
    assert found["first loss"].agrees
    assert found["first loss"].basis.startswith("10 times the largest difference of the control")
    assert found["first gradient"].limit == FLOORS["first gradient"]
    assert found["first gradient"].basis.startswith("floor")
    assert not verdicts(moved(losses=PATH.losses * (1 + 41e-6)), rounding)["first loss"].agrees


def test_the_envelope_of_the_path_never_narrows() -> None:
    # Controls that cross the reference again at step 3 say nothing of how far roundings drift.
    control = moved(losses=np.array([2.0, 1.0 + 1e-3, 0.5]))
    rounding = noise(PATH, [control])
    assert rounding.losses == pytest.approx([1e-3, 1e-3, 1e-3])
    found = verdicts(moved(losses=np.array([2.0, 1.0, 0.5 * (1 + 9e-3)])), rounding)["loss path"]
    assert (found.agrees, found.limit) == (True, pytest.approx(1e-2))
    assert found.basis.startswith("step 3 of 3: 10 times the largest difference")
    found = verdicts(moved(losses=np.array([2.0, 1.0, 0.5 * (1 + 11e-3)])), rounding)["loss path"]
    assert not found.agrees


def test_the_envelope_looks_two_steps_ahead() -> None:
    reference = replace(PATH, losses=np.ones(5))
    control = replace(PATH, losses=np.array([1.0, 1.0, 1.0, 1.1, 1.3]))
    rounding = noise(reference, [control])
    assert rounding.losses == pytest.approx([0, 0.1, 0.3, 0.3, 0.3])


def test_the_path_is_judged_where_it_is_nearest_to_its_limit() -> None:
    # At step 2 it differs more, but step 1 has less room.
    rounding = replace(STILL, losses=np.array([0.0, 1e-2, 1e-2]))
    losses = np.array([2.0 * (1 + 4e-5), 1.0 + 5e-3, 0.5])
    found = verdicts(moved(losses=losses), rounding)["loss path"]
    assert found.reference == 2
    assert found.difference == pytest.approx(4e-5)
    assert not found.agrees


def test_what_is_no_number_never_agrees() -> None:
    found = verdicts(moved(losses=np.array([2.0, np.nan, 0.5])))
    assert found["first loss"].agrees
    assert (found["loss path"].agrees, found["loss path"].difference) == (False, None)
    found = verdicts(moved(gradient=np.array([np.nan, 4.0])))
    assert [found[name].agrees for name in ("first gradient norm", "first gradient")] == [
        False
    ] * 2


def test_nets_without_averages_have_none_to_compare() -> None:
    bare = moved(averages=np.zeros(0))
    assert "averages after a step" not in {each.name for each in compare_paths(bare, bare, STILL)}


OUTPUTS = np.linspace(0, 1, 15).reshape(5, 3)


def outputs(other: np.ndarray) -> list[bool]:
    return [each.agrees for each in compare_outputs(5, OUTPUTS, other)]


def test_every_example_must_be_counted_once_and_in_order() -> None:
    assert outputs(OUTPUTS) == [True, True]
    assert outputs(OUTPUTS + 0.9 * OUTPUT_LIMIT) == [True, True]
    assert outputs(OUTPUTS + 1.1 * OUTPUT_LIMIT) == [True, False]
    assert outputs(OUTPUTS[:4]) == [False, False], "one is dropped"
    assert outputs(OUTPUTS[[0, 1, 2, 3, 4, 4]]) == [False, False], "one is counted twice"
    assert outputs(OUTPUTS[[0, 1, 2, 4, 3]]) == [True, False], "two are swapped"
    assert outputs(OUTPUTS[[0, 1, 2, 3, 3]]) == [True, False], "one stands for another"
    assert outputs(np.zeros((0, 3))) == [False, False]
    assert outputs(np.full((5, 3), np.nan)) == [True, False]


def test_one_example_can_be_evaluated() -> None:
    one = OUTPUTS[:1]
    assert [each.agrees for each in compare_outputs(1, one, one)] == [True, True]


@pytest.mark.parametrize(
    ("batch", "sizes"), [(64, (1, 63, 65, 197)), (2, (1, 3, 11)), (1, (1, 2, 8))]
)
def test_evaluations_do_not_divide_into_batches(batch: int, sizes: tuple[int, ...]) -> None:
    assert evaluation_sizes(batch) == sizes
