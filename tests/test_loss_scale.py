"""Training in half precision: scaled losses, skipped steps, and what is reported of them."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from nets import cut, plan, scenes
from test_engine import BATCH, LOSS_PATH, OBJECTIVE, layout, losses, same

from harness.config import Precision
from harness.engine import Engine, EngineKey, Objective
from harness.errors import DivergedRun
from harness.loss_scale import GROWTH_STEPS, INITIAL_SCALE, SMALLEST_SCALE, LossScale
from harness.scenes import Scenes

STEEP = Objective(learning_rate=1e-2, class_weight=1.0, box_weight=2000.0)
"""The gradient of an image's box is about 2000 x 2 x 0.5 / 4 / 16 = 30 at first: times 2^15 it is
1e6, far above the 65504 that float16 can hold."""


@functools.cache
def engine(
    precision: Precision = "mixed_float16",
    backbone: str = "nets:tiny",
    *,
    replicas: int = 1,
    jit: bool = False,
    steps: int = 1,
) -> Engine:
    key = EngineKey(
        blueprint=plan(backbone, precision=precision), replica_batch=BATCH // replicas,
        steps_per_call=steps, jit=jit,
    )  # fmt: skip
    return Engine(key, layout(replicas))


def scale_of(tested: Engine) -> float:
    assert tested.loss_scale is not None
    return float(tested.loss_scale.value)


def copies(tested: Engine) -> list[Any]:
    """Return every variable of the model on every replica."""
    local = tested.layout.strategy.experimental_local_results
    return [np.array(copy) for v in tested.model.variables for copy in local(v.value)]


# bfloat16 keeps 8 bits and float16 11: an activation is off by 2^-9 or 2^-12 of itself, and twenty
# steps of Adam add up. Seen: 2e-4 and 5e-5.
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("mixed_bfloat16", 1e-2), ("mixed_float16", 1e-3)]
)
def test_less_precision_takes_nearly_the_same_path(precision: Precision, tolerance: float) -> None:
    exact = losses(engine("float32"))
    rough = losses(engine(precision))
    assert rough == pytest.approx(exact, rel=tolerance)
    assert rough != pytest.approx(exact, rel=1e-7), "it did compute otherwise"
    assert rough[-1] < 0.9 * rough[0]


@pytest.mark.parametrize(("replicas", "jit"), [(2, False), (1, True), (2, True)])
def test_devices_and_xla_change_speed_not_results_in_half_precision(
    replicas: int, jit: bool
) -> None:
    # Sums are rounded to 11 bits, by XLA at other places: seen 4e-4.
    assert losses(engine(replicas=replicas, jit=jit)) == pytest.approx(
        losses(engine()), rel=100 * LOSS_PATH
    )


def test_layers_made_later_have_their_usual_precision() -> None:
    layers = engine().model.layers
    assert {layer.dtype_policy.name for layer in layers} == {"mixed_float16", "float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert {v.dtype for v in engine().model.variables} == {"float32"}
    assert {layer.dtype_policy.name for layer in engine("float32").model.layers} == {"float32"}


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_that_overflows_is_skipped_and_the_scale_halved(replicas: int) -> None:
    tested = engine(replicas=replicas)
    tested.reset(7)
    before = copies(tested)
    exact = engine("float32")
    exact.reset(7)
    told = tested.train([scenes(BATCH)], objective=STEEP).metrics
    # The loss that is told is not the scaled one.
    expected = exact.train([scenes(BATCH)], objective=STEEP).metrics
    assert told["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-3)
    assert same(before, copies(tested))
    assert (scale_of(tested), tested.updates) == (INITIAL_SCALE / 2, 0)


@pytest.mark.parametrize("replicas", [1, 2])
def test_after_the_scale_has_come_down_it_learns(replicas: int) -> None:
    tested = engine(replicas=replicas, steps=20)
    tested.reset(7)
    first, second = (
        tested.train([scenes(20 * BATCH)], objective=STEEP).metrics["train_loss"] for _ in range(2)
    )
    skipped = 40 - tested.updates
    assert 1 <= skipped < 20
    assert scale_of(tested) == INITIAL_SCALE / 2**skipped
    assert second < 0.5 * first


def test_a_gradient_that_is_infinite_on_one_replica_only_skips_the_step_on_all() -> None:
    tested = engine(backbone="nets:touchy", replicas=2)
    some = scenes(BATCH)
    for black in (BATCH - 1, 0):  # an image of the second replica, and of the first
        images = some.images.copy()
        images[black] = 0
        tested.reset(7)
        before = copies(tested)
        dark = Scenes(ids=some.ids, images=images, labels=some.labels, boxes=some.boxes)
        tested.train([dark], objective=OBJECTIVE)
        assert same(before, copies(tested)), black
        assert (scale_of(tested), tested.updates) == (INITIAL_SCALE / 2, 0)
        tested.train([some], objective=OBJECTIVE)
        after = copies(tested)
        assert not same(before, after)
        assert all(np.isfinite(value).all() for value in after)
        assert tested.updates == 1


def test_a_reset_puts_the_scale_back_and_trials_share_one_trace() -> None:
    tested = engine(steps=3)
    tested.compile()
    paths = []
    for rate in (1e-2, 1e-3, 1e-2):
        tested.reset(7)
        assert scale_of(tested) == INITIAL_SCALE
        objective = Objective(learning_rate=rate, class_weight=1.0, box_weight=2000.0)
        chunks = cut(scenes(12 * BATCH), *range(0, 12 * BATCH + 1, 3 * BATCH))
        paths.append(tested.train(chunks, objective=objective).metrics)
    assert paths[0] == paths[2] != paths[1]
    assert tested._train_call.experimental_get_tracing_count() == 1


def test_gradients_are_divided_by_the_scale_before_adam_sees_them() -> None:
    def moments(tested: Engine) -> Any:
        losses(tested, steps=1)
        found = [v for v in tested.optimizer.variables if v.path.endswith("momentum")]
        return np.concatenate([np.asarray(v).ravel() for v in found])

    exact, half = moments(engine("float32")), moments(engine())
    # float16 rounds each number to 2^-11; seen 3e-4 of the norm.
    assert np.linalg.norm(half - exact) < 1e-2 * np.linalg.norm(exact)


def new_scale() -> LossScale:
    optimizer = keras.optimizers.Adam()
    optimizer.build([keras.Variable(np.ones(2, np.float32))])
    scale = LossScale(optimizer)
    assert {v.name for v in optimizer.variables} >= {"loss_scale", "clean_steps"}
    return scale


def test_the_scale_doubles_after_so_many_clean_steps_in_a_row() -> None:
    scale = new_scale()
    scale._clean.assign(GROWTH_STEPS - 2)
    scale.note(True)
    assert float(scale.value) == INITIAL_SCALE
    scale.note(True)
    assert float(scale.value) == 2 * INITIAL_SCALE
    scale._clean.assign(GROWTH_STEPS - 1)
    scale.note(False)
    scale.note(True)
    assert float(scale.value) == INITIAL_SCALE, "one step that overflows starts the count again"


def test_a_scale_that_falls_for_ever_is_an_error() -> None:
    scale = new_scale()
    while float(scale.value) > SMALLEST_SCALE:
        scale.note(False)
        scale.check()
    scale.note(False)
    with pytest.raises(DivergedRun, match=r"loss scale of 6\.1e-05 at least.*mixed_bfloat16"):
        scale.check()
