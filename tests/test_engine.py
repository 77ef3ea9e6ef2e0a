"""The train loop: against Keras's own, by hand, over two devices, compiled, and repeated."""

from __future__ import annotations

import functools
from time import perf_counter, sleep
from typing import Any, get_args

import keras
import numpy as np
import pytest
from nets import cut, model, plan, scenes

from harness import engine as engine_module
from harness import train_step
from harness.boxes import iou
from harness.config import BoxLoss, RunConfig
from harness.engine import TRAIN_METRICS, Engine, EngineKey, Objective
from harness.errors import UsageError
from harness.evaluate import evaluate
from harness.predictions import Predictions
from harness.scenes import Scenes
from harness.schedule import schedule
from harness.strategy import Layout, open_layout

BATCH = 16
OBJECTIVE = Objective(learning_rate=1e-2, class_weight=1.0, box_weight=1.0)
EVEN = tuple(range(0, 321, BATCH))

LOSS_PATH = 2e-5
"""Relative; ten times the largest difference seen over 40 steps on other devices or with XLA."""


@functools.cache
def layout(replicas: int) -> Layout:
    if replicas == 1:
        return open_layout(strategy="cpu", devices="", threads=0)
    return open_layout(strategy="mirrored", devices="cpu:0,cpu:1", threads=0)


@functools.cache
def engine(
    backbone: str = "nets:tiny",
    *,
    replicas: int = 1,
    jit: bool = False,
    steps: int = 1,
    box_loss: BoxLoss = "mse",
) -> Engine:
    key = EngineKey(
        blueprint=plan(backbone), replica_batch=BATCH // replicas, steps_per_call=steps, jit=jit,
        box_loss=box_loss,
    )  # fmt: skip
    return Engine(key, layout(replicas))


def losses(tested: Engine, *, steps: int = 20, objective: Objective = OBJECTIVE) -> list[float]:
    """Train from seed 7; return the loss of each step."""
    tested.reset(7)
    chunks = cut(scenes(BATCH * steps), *range(0, BATCH * steps + 1, BATCH))
    results = [tested.train([chunk], objective=objective) for chunk in chunks]
    assert {result.images for result in results} == {BATCH}
    return [result.metrics["train_loss"] for result in results]


def reference(backbone: str = "nets:tiny", *, class_weight: float = 1.0, box_weight: float = 1.0):
    """Return the same network, compiled for Keras's own training."""
    network = model(backbone, seed=7)
    network.compile(
        keras.optimizers.Adam(OBJECTIVE.learning_rate),
        loss=["sparse_categorical_crossentropy", "mse"],
        loss_weights=[class_weight, box_weight],
    )
    return network


def pixels(some: Scenes) -> Any:
    return some.images[..., None].astype(np.float32) / 255


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("class_weight", "box_weight"), [(1.0, 1.0), (0.25, 8.0)])
def test_the_loss_path_is_that_of_keras(class_weight: float, box_weight: float) -> None:
    model = reference(class_weight=class_weight, box_weight=box_weight)
    expected = []
    for chunk in cut(scenes(320), *EVEN):
        model.reset_metrics()
        logs = model.train_on_batch(pixels(chunk), [chunk.labels, chunk.boxes], return_dict=True)
        expected.append(float(logs["loss"]))
    objective = Objective(learning_rate=1e-2, class_weight=class_weight, box_weight=box_weight)
    assert losses(engine(), objective=objective) == pytest.approx(expected, rel=LOSS_PATH)
    assert expected[-1] < 0.9 * expected[0], "it learns, so that the path says something"


def test_weight_decay_of_a_backbone_is_minimised_too() -> None:
    model, plain, first = reference("nets:decaying"), [], 0.0
    for chunk in cut(scenes(320), *EVEN):
        added = float(sum(model.losses))
        first = first or added
        model.reset_metrics()
        logs = model.train_on_batch(pixels(chunk), [chunk.labels, chunk.boxes], return_dict=True)
        plain.append(float(logs["loss"]) - added)
    assert float(sum(model.losses)) < 0.5 * first, "the weights decay"
    for replicas in (1, 2):
        tested = engine("nets:decaying", replicas=replicas)
        assert losses(tested) == pytest.approx(plain, rel=1e-4)


def gradients(tested: Engine, some: Scenes, class_weight: float, box_weight: float) -> Any:
    weights = np.array([class_weight, box_weight], np.float32)
    labels = some.labels.astype(np.int32)
    function = train_step.gradient_function(tested)
    sums, found = function(some.images, labels, some.boxes, weights)
    names = [v.path for v in tested.model.trainable_variables]
    return sums.numpy(), dict(zip(names, [g.numpy() for g in found], strict=True))


def test_gradients_of_the_heads_by_hand() -> None:
    tested, some = engine(), scenes(BATCH)
    tested.reset(3)
    features = keras.Model(tested.model.inputs[0], tested.model.get_layer("features").output)
    f = np.asarray(features(pixels(some))).astype(np.float64)
    p, b = (np.asarray(out).astype(np.float64) for out in tested.model(pixels(some)))
    sums, found = gradients(tested, some, 0.5, 3.0)
    # d(-log p_y)/d logits = p - onehot(y); d(mean of 4 squares)/d box = 2 (b - t) / 4.
    by_class = 0.5 * f.T @ (p - np.eye(10)[some.labels]) / BATCH
    by_box = 3.0 * f.T @ (2 * (b - some.boxes) / 4) / BATCH
    assert found["classification/kernel"] == pytest.approx(by_class, abs=1e-6)
    assert found["bounding_box/kernel"] == pytest.approx(by_box, abs=1e-6)
    entropy = -np.log(p[np.arange(BATCH), some.labels])
    error = ((b - some.boxes) ** 2).mean(axis=1)
    expected = {
        "train_loss": (0.5 * entropy + 3.0 * error).sum(),
        "train_cross_entropy": entropy.sum(),
        "train_box_mse": error.sum(),
        "train_accuracy": (p.argmax(axis=1) == some.labels).sum(),
        "train_mean_iou": iou(some.boxes, b).sum(),
    }
    assert dict(zip(TRAIN_METRICS, sums, strict=True)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("class_weight", "box_weight", "off"), [(0, 1, "classification"), (1, 0, "bounding_box")]
)
def test_a_weight_of_zero_switches_a_head_off(
    class_weight: float, box_weight: float, off: str
) -> None:
    tested = engine()
    heads = ("classification", "bounding_box")
    tested.reset(7)
    before = {name: tested.model.get_layer(name).get_weights() for name in heads}
    objective = Objective(learning_rate=1e-2, class_weight=class_weight, box_weight=box_weight)
    losses(tested, steps=3, objective=objective)
    for name in heads:
        assert same(before[name], tested.model.get_layer(name).get_weights()) == (name == off)


@pytest.mark.parametrize(
    ("replicas", "jit"), [(2, False), (1, True), (2, True)], ids=["mirrored", "jit", "both"]
)
def test_devices_and_xla_change_speed_not_results(replicas: int, jit: bool) -> None:
    plain, other = losses(engine()), losses(engine(replicas=replicas, jit=jit))
    assert other[0] == pytest.approx(plain[0], rel=1e-6)
    assert other == pytest.approx(plain, rel=LOSS_PATH)


def first_gradients(tested: Engine) -> Any:
    """Return what Adam was given in its first step: its first moment is (1 - 0.9) times it."""
    losses(tested, steps=1)
    moments = [v for v in tested.optimizer.variables if v.path.endswith("momentum")]
    assert len(moments) == len(tested.model.trainable_variables)
    return np.concatenate([np.asarray(v).ravel() for v in moments]) / (1 - 0.9)


def test_gradients_over_two_devices_are_summed_once() -> None:
    # Adam divides by the gradient's size, so the loss path alone would not show a factor of 2.
    one, two = first_gradients(engine()), first_gradients(engine(replicas=2))
    size = np.linalg.norm(one)

    def apart(found: Any) -> float:
        return float(np.linalg.norm(found - one) / size)

    assert apart(two) < 1e-5
    # Faults: reduced twice, each replica's mean summed (both factor 2), half of the batch lost.
    tested, halves = engine(), cut(scenes(BATCH), 0, BATCH // 2, BATCH)
    tested.reset(7)
    parts = []
    for half in halves:
        _, found = gradients(tested, half_filled(half), 1.0, 1.0)
        parts.append(np.concatenate([g.ravel() for g in found.values()]))
    # The second copy of each half doubles it: its gradient is the mean of the half.
    assert apart((parts[0] + parts[1]) / 2) < 1e-5
    assert apart(parts[0] + parts[1]) == pytest.approx(1, abs=1e-3)
    assert apart(parts[0] / 2) > 0.1
    assert apart(parts[0]) > 0.1


def half_filled(half: Scenes) -> Scenes:
    """Return a batch that holds each example of a half twice."""
    return Scenes(
        ids=np.tile(half.ids, 2), images=np.tile(half.images, (2, 1, 1)),
        labels=np.tile(half.labels, 2), boxes=np.tile(half.boxes, (2, 1)),
    )  # fmt: skip


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("n", [1, BATCH // 2, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 5])
def test_each_example_is_predicted_once_and_in_order(n: int, replicas: int) -> None:
    tested, some = engine(replicas=replicas), scenes(n, seed=n)
    tested.reset(1)
    probabilities, boxes = tested.predict(some)
    expected_probabilities, expected_boxes = model("nets:tiny", seed=1)(pixels(some))
    assert probabilities.shape == (n, 10)
    assert probabilities == pytest.approx(np.asarray(expected_probabilities), abs=1e-6)
    assert boxes == pytest.approx(np.asarray(expected_boxes), abs=1e-6)


@pytest.mark.parametrize(
    ("backbone", "replicas"),
    [("nets:tiny", 1), ("nets:tiny", 2), ("nets:dropping", 1), ("nets:normalised", 1)],
)
def test_an_engine_used_before_repeats_a_new_one_bit_for_bit(backbone: str, replicas: int) -> None:
    used = engine(backbone, replicas=replicas)
    used.reset(99)
    used.train(cut(scenes(64, seed=5), *range(0, 65, BATCH)), objective=OBJECTIVE)
    used.predict(scenes(3))
    new = Engine(used.key, used.layout)
    new.compile()
    assert losses(used) == losses(new)
    assert same(used.weights(), new.weights())
    assert same(list(used.predict(scenes(40))), list(new.predict(scenes(40))))


@pytest.mark.parametrize("box_loss", get_args(BoxLoss))
def test_a_step_reports_the_loss_that_evaluation_finds(box_loss: BoxLoss) -> None:
    tested, some = engine(box_loss=box_loss), scenes(BATCH)
    tested.reset(3)
    probabilities, boxes = tested.predict(some)
    expected = evaluate(
        Predictions(
            ids=some.ids, labels=some.labels, boxes=some.boxes, probabilities=probabilities,
            predicted_boxes=boxes,
        ),
        class_weight=0.5,
        box_weight=3.0,
        box_loss=box_loss,
    )  # fmt: skip
    objective = Objective(learning_rate=1e-3, class_weight=0.5, box_weight=3.0)
    found = tested.train([some], objective=objective).metrics
    assert found["train_loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["train_box_mse"] == pytest.approx(expected["box_mse"], rel=1e-5)
    assert found["train_mean_iou"] == pytest.approx(expected["mean_iou"], abs=1e-6)


def test_names_of_layers_do_not_depend_on_earlier_models() -> None:
    used = engine()
    names = [layer.name for layer in Engine(used.key, used.layout).model.layers]
    model("nets:nested", seed=0)
    assert [layer.name for layer in Engine(used.key, used.layout).model.layers] == names


@pytest.mark.parametrize(
    ("backbone", "jit"),
    [("nets:dropping", False), ("nets:dropping", True), ("nets:normalised", False)],
)
def test_two_devices_train_with_layers_that_keep_state(backbone: str, jit: bool) -> None:
    # Dropout draws from a seed of its own; batch normalisation moves its averages.
    tested = engine(backbone, replicas=2, jit=jit)
    assert losses(tested, steps=2) == losses(tested, steps=2)
    assert all(np.isfinite(w).all() for w in tested.weights())


def test_xla_is_refused_where_replicas_share_statistics() -> None:
    with pytest.raises(UsageError, match=r"nets:normalised has it .* Use --jit off"):
        engine("nets:normalised", replicas=2, jit=True)


@pytest.mark.parametrize("backbone", ["nets:normalised", "nets:fused"])
def test_batch_normalisation_sees_the_whole_batch(backbone: str) -> None:
    one, two = engine(backbone), engine(backbone, replicas=2)
    plain, other = first_gradients(one), first_gradients(two)
    assert np.linalg.norm(other - plain) < 1e-4 * np.linalg.norm(plain)
    # The moving averages, and nothing else, are not trained.
    for mine, theirs in zip(
        one.model.non_trainable_variables, two.model.non_trainable_variables, strict=True
    ):
        assert np.asarray(theirs) == pytest.approx(np.asarray(mine), rel=1e-4, abs=1e-6)
    # Rounding grows with each step: only the first few losses tell (unshared: 1e-3 apart).
    assert losses(two, steps=3) == pytest.approx(losses(one, steps=3), rel=5e-5)


def test_the_number_of_steps_in_a_call_changes_nothing() -> None:
    results, weights = [], []
    for steps, bounds in ((1, EVEN), (3, (0, 48, 96, 144, 192, 240, 288, 320)), (20, (0, 320))):
        tested = engine(steps=steps)
        tested.reset(2)
        results.append(tested.train(cut(scenes(320), *bounds), objective=OBJECTIVE).metrics)
        weights.append(tested.weights())
    assert results[0] == results[1] == results[2]
    assert same(weights[0], weights[1])
    assert same(weights[0], weights[2])


@pytest.mark.parametrize("jit", [False, True])
def test_trials_share_one_trace(jit: bool) -> None:
    tested = engine(steps=3, jit=jit)
    tested.compile()
    before = tested._train_call.experimental_get_tracing_count()
    for seed in range(3):
        tested.reset(seed)
        objective = Objective(
            learning_rate=10.0 ** -(seed + 1), class_weight=seed, box_weight=1.0 + seed
        )
        tested.train(cut(scenes(64), 0, 48, 64), objective=objective)
        tested.predict(scenes(17))
    assert tested._train_call.experimental_get_tracing_count() == before == 1


@pytest.mark.parametrize("replicas", [1, 2])
def test_each_step_has_its_own_learning_rate_in_the_same_trace(replicas: int) -> None:
    tested, rates = engine(steps=3, replicas=replicas), [1e-2, 3e-3, 0.0, 1e-3, 1e-2]
    tested.reset(7)
    tested.train(cut(scenes(5 * BATCH), 0, 48, 80), objective=OBJECTIVE, rates=rates)
    assert tested._train_call.experimental_get_tracing_count() == 1
    assert float(np.array(tested.optimizer.learning_rate)) == np.float32(rates[-1])
    single = engine(replicas=replicas)
    single.reset(7)
    for rate, chunk in zip(rates, cut(scenes(5 * BATCH), *range(0, 81, BATCH)), strict=True):
        before = single.weights()
        single.train(
            [chunk], objective=Objective(learning_rate=rate, class_weight=1.0, box_weight=1.0)
        )
        assert same(before, single.weights()) == (rate == 0)
    assert same(tested.weights(), single.weights())


def test_a_scaled_and_warmed_up_path_is_that_of_keras() -> None:
    config = RunConfig(
        learning_rate=1e-3, learning_rate_scaling="linear", reference_batch_size=4, warmup_epochs=2
    )
    rates = schedule(config, global_batch=BATCH, steps_per_epoch=5).rates(0, 20)
    assert (rates[0], rates[5], rates[10]) == pytest.approx((1e-3, 2.5e-3, 4e-3))
    model, expected = reference(), []
    for rate, chunk in zip(rates, cut(scenes(320), *EVEN), strict=True):
        model.optimizer.learning_rate = rate
        model.reset_metrics()
        logs = model.train_on_batch(pixels(chunk), [chunk.labels, chunk.boxes], return_dict=True)
        expected.append(float(logs["loss"]))
    tested, found = engine(), []
    tested.reset(7)
    for rate, chunk in zip(rates, cut(scenes(320), *EVEN), strict=True):
        told = tested.train([chunk], objective=OBJECTIVE, rates=[rate]).metrics
        found.append(told["train_loss"])
    assert found == pytest.approx(expected, rel=LOSS_PATH)


def test_progress_is_told_after_each_call() -> None:
    told: list[int] = []
    tested = engine(steps=3)
    tested.reset(0)
    result = tested.train(cut(scenes(64), 0, 48, 64), objective=OBJECTIVE, on_images=told.append)
    assert told == [48, 64]
    assert result.images == 64
    assert result.train_s > 0
    assert tuple(result.metrics) == TRAIN_METRICS


def test_spans_leave_no_gap_in_the_time_of_the_loop() -> None:
    tested = engine(steps=3)
    tested.reset(0)
    told: list[float] = []

    def slow_screen(_images: int) -> None:
        sleep(0.02)
        told.append(perf_counter())

    before = perf_counter()
    result = tested.train(cut(scenes(64), 0, 48, 64), objective=OBJECTIVE, on_images=slow_screen)
    one, two = result.spans
    assert [(span.steps, span.images) for span in result.spans] == [(3, 48), (1, 16)]
    assert before <= one.start_s
    assert one.end_s == two.start_s
    assert told[0] <= one.end_s <= told[1] <= two.end_s <= perf_counter()
    assert result.train_s == pytest.approx(one.seconds + two.seconds)


@pytest.mark.parametrize("n", [0, BATCH - 1, BATCH + 1, 4 * BATCH])
def test_a_chunk_that_is_no_whole_number_of_steps_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 3 whole batches of {BATCH}, got {n}"):
        engine(steps=3).train([scenes(n)], objective=OBJECTIVE)


@pytest.mark.parametrize(
    ("backbone", "replicas"),
    [("nets:dropping", 1), ("nets:normalised", 1), ("nets:dropping", 2), ("nets:normalised", 2)],
)
def test_a_state_put_back_goes_on_as_if_nothing_had_happened(backbone: str, replicas: int) -> None:
    tested = engine(backbone, replicas=replicas)
    first, *rest = cut(scenes(10 * BATCH), *range(0, 10 * BATCH + 1, BATCH))
    tested.reset(7)
    tested.train([first], objective=OBJECTIVE)
    state = tested.state()
    expected = [tested.train([chunk], objective=OBJECTIVE).metrics for chunk in rest]
    weights, end = tested.weights(), tested.state()
    other = Engine(tested.key, tested.layout)
    other.compile()
    other.reset(99)
    for again in (tested, other):
        again.restore(state)
        assert [again.train([chunk], objective=OBJECTIVE).metrics for chunk in rest] == expected
        assert same(again.weights(), weights)
        assert same(again.state(), end)


def test_a_state_holds_each_replica_only_where_they_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = engine("nets:normalised", replicas=2)
    losses(shared, steps=2)
    assert {len(array) for array in shared.state()} == {1}, "replicas share their averages"
    monkeypatch.setattr(engine_module, "share_batches", lambda _model: None)
    tested = Engine(shared.key, shared.layout)
    losses(tested, steps=2)
    variables = (*tested.model.variables, *tested.optimizer.variables)
    names = {v.path.rpartition("/")[2] for v, a in zip(variables, tested.state(), strict=True)
             if len(a) == 2}  # fmt: skip
    assert names == {"moving_mean", "moving_variance"}
    assert {len(array) for array in engine("nets:normalised").state()} == {1}
    engine("nets:normalised").restore(tested.state())
    first = [array[0] for array in tested.state()][: len(tested.model.variables)]
    assert same(engine("nets:normalised").weights(), first)


def test_a_state_of_another_network_is_refused_whole() -> None:
    tested = engine()
    tested.reset(1)
    before = tested.state()
    wide = Engine(
        EngineKey(blueprint=plan(classes=7), replica_batch=BATCH, steps_per_call=1), layout(1)
    )
    with pytest.raises(ValueError, match=r"variable \d+ has shape \(.*7\) in it, but \(.*10\)"):
        tested.restore(wide.state())
    with pytest.raises(ValueError, match="must fit the network, but it holds 1 variables, but"):
        tested.restore(before[:1])
    assert same(tested.state(), before)


def test_weights_come_back() -> None:
    tested = engine()
    tested.reset(0)
    kept = tested.weights()
    losses(tested, steps=1)
    assert not same(kept, tested.weights())
    tested.set_weights(kept)
    assert same(kept, tested.weights())
