"""One configuration in, one record out: whatever happens, and the same every time."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import statistics
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
import warm_process

from harness import checkpoint, engines
from harness.config import RunConfig
from harness.data import load
from harness.draft import Identity
from harness.errors import InterruptedRun, StoreError
from harness.evaluate import evaluate
from harness.jit_choice import JitChoice
from harness.mnist import IDX_FILES
from harness.predictions import Examples, Predictions
from harness.record import METRICS, QUALITY, EpochPoint, Measure, Role, RunRecord
from harness.run import Watch, execute, work
from harness.run_id import new_run_id
from harness.store import RECORD_FILE, Store, file_digest
from harness.targets import parse_targets

ROOT = Path(__file__).parent.parent
CONFIG = RunConfig(
    backbone="nets:tiny", dataset="digits", epochs=3, batch_size=16, train_examples=120,
    learning_rate=3e-3, strategy="cpu",
)  # fmt: skip
TIMES = {"run_id", "started_at", "duration_s", "machine"}
TIME_MEASURES = {
    "images_per_s", "step_p50_ms", "step_p90_ms", "data_images_per_s", "disturbed_epochs",
    "first_batch_s", "compile_s", "evaluation_s", "peak_rss_mib", "peak_device_mib",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def go(
    store: Store, run_id: str = "r", watch: Watch | None = None, targets: Sequence[str] = (), *,
    stop_at_target: bool = False,
    **changes: Any,
) -> RunRecord:  # fmt: skip
    config = dataclasses.replace(CONFIG, **changes)
    record = execute(
        config, identity=Identity(run_id=run_id), store=store, data_dir=None, watch=watch,
        targets=parse_targets(targets), stop_at_target=stop_at_target,
    )  # fmt: skip
    assert store.read_record(run_id) == record, "what is returned is what is kept"
    return record


def timeless(record: RunRecord) -> dict[str, Any]:
    """Return a record without what differs between equal runs."""
    values: dict[str, Any] = json.loads(record.dumps())
    for point in values["history"]:
        for name in ("train_s", "validation_s", "disturbed"):
            del point[name]
    for name in TIME_MEASURES:
        del values["measures"][name]
    return {name: value for name, value in values.items() if name not in TIMES}


def test_equal_configurations_give_equal_records_also_in_another_process(store: Store) -> None:
    first = go(store, "first")
    go(store, "between", learning_rate=1e-2, class_weight=0.5, seed=4)
    second = go(store, "second")
    code = f"""
from harness import run, store
from harness.config import RunConfig
from pathlib import Path
config = RunConfig(**{CONFIG.to_json()})
run.execute(config, identity=run.Identity(run_id="third"),
            store=store.Store(Path({str(store.root)!r})), data_dir=None)
"""
    assert warm_process.run(code=code).returncode == 0
    third = store.read_record("third")
    assert third is not None
    assert first.status == "finished"
    # The files are named by their SHA-256: predictions and examples are the same bytes.
    assert set(first.files) == {
        "predictions-validation.npz", "predictions-test.npz", "examples.npz", "weights.npz",
    }  # fmt: skip
    assert timeless(first) == timeless(second) == timeless(third)
    assert timeless(first) != timeless(go(store, "other", seed=4))


def test_a_finished_record_says_everything(store: Store) -> None:
    seen: list[Any] = []
    watch = Watch(
        begun=lambda *size: seen.append(size),
        images=lambda *at: seen.append(at),
        epoch=lambda point: not seen.append(point),
    )
    record = go(store, watch=watch, dataset="digits", epochs=2, steps_per_call=5)
    assert (record.status, record.reason, record.traceback) == ("finished", None, None)
    # 120 examples are 7 steps of 16, in calls of 5 and 2.
    one, two = record.history
    assert seen == [(2, 112, 16), (1, 80), (1, 112), one, (2, 80), (2, 112), two]
    assert (one.epoch, one.images, two.epoch) == (1, 112, 2)
    assert set(one.metrics) == {
        *(f"validation_{name}" for name in QUALITY),
        "train_loss", "train_cross_entropy", "train_box_mse", "train_accuracy", "train_mean_iou",
    }  # fmt: skip
    assert record.data is not None
    assert (record.data.n_train, record.data.n_validation, record.data.n_test) == (120, 300, 300)
    assert record.machine is not None
    assert (record.machine.strategy, record.machine.replicas) == ("cpu", 1)
    assert record.model is not None
    assert record.model.parameters == sum(layer.parameters for layer in record.model.layers)
    folder = store.run_dir("r")
    assert record.files == {name: file_digest(folder / name) for name in record.files}
    assert {path.name for path in folder.iterdir()} == {*record.files, RECORD_FILE}


def test_measures_are_those_of_the_predictions(store: Store) -> None:
    record = go(store, class_weight=0.5, box_weight=4.0)
    quality = {f"{split}_{name}" for split in ("validation", "test") for name in QUALITY}
    others = {"mflops", "scaled_learning_rate", "shift_class_changes", "shift_box_px"}
    assert set(record.measures) == quality | TIME_MEASURES | others
    assert record.value("scaled_learning_rate") == CONFIG.learning_rate
    for split in ("validation", "test"):
        predictions = Predictions.load(store.run_dir("r") / f"predictions-{split}.npz")
        assert predictions.ids.tolist() == list(range(300))
        for name, value in evaluate(predictions, class_weight=0.5, box_weight=4.0).items():
            assert record.value(f"{split}_{name}") == value
            assert name in METRICS
    for name in QUALITY:
        last = record.history[-1].metrics[f"validation_{name}"]
        assert record.value(f"validation_{name}") == last
    speed = record.measures["images_per_s"]
    assert speed.value == pytest.approx(3 * 112 / sum(p.train_s for p in record.history))
    assert len(speed.samples) == 3
    spent = record.measures["evaluation_s"]
    assert len(spent.samples) == 2
    assert spent.value == sum(spent.samples)


def test_speed_is_that_of_the_spans(store: Store) -> None:
    record = go(store, epochs=2, steps_per_call=5)
    steps = record.measures["step_p50_ms"]
    assert len(steps.samples) == 4, "calls of 5 and 2 steps of 16 images, in two epochs"
    spans_s = sum(ms * n / 1000 for ms, n in zip(steps.samples, (5, 2, 5, 2), strict=True))
    # Samples are kept to 0.1 µs.
    assert record.value("images_per_s") == pytest.approx(2 * 112 / spans_s, rel=1e-3)
    assert steps.value == pytest.approx(statistics.median(steps.samples))
    first, data = record.value("first_batch_s"), record.measures["data_images_per_s"]
    assert first is not None
    assert steps.samples[0] * 5 / 1000 < first < record.duration_s
    assert len(data.samples) == 2
    # 224 scenes of 75 x 75: a core writes at least some thousands a second, never 1e9.
    assert 1e3 < (data.value or 0) < 1e9
    assert record.measures["peak_device_mib"].reason == "the devices have no memory of their own"
    disturbed = sum(bool(point.disturbed) for point in record.history)
    assert record.value("disturbed_epochs") == disturbed
    for point in record.history:
        assert 0 < (point.validation_s or 0) < record.duration_s


def lowest(record: RunRecord, epoch: int) -> list[str]:
    """The target that a run whose loss falls reaches in an epoch."""
    losses = [point.metrics["validation_loss"] for point in record.history[:epoch]]
    assert losses[-1] == min(losses)
    return [f"loss<={losses[-1]!r}"]


def test_a_run_may_stop_at_its_targets(store: Store) -> None:
    whole = go(store, "whole")
    target = lowest(whole, 2)
    on, short = go(store, "on", None, target), go(store, "s", None, target, stop_at_target=True)
    assert on.targets == short.targets == tuple(target), "with every digit"
    assert (short.status, short.config) == ("finished", whole.config)
    assert [len(record.history) for record in (on, short)] == [3, 2]
    assert [record.stopped_at_target for record in (on, short)] == [False, True]
    assert [p.metrics for p in short.history] == [p.metrics for p in whole.history[:2]]
    assert len(on.measures["time_to_target_s"].samples) == 2
    never = go(store, "never", None, ["score>=1.0"], stop_at_target=True)
    assert (len(never.history), never.stopped_at_target) == (3, False)


@pytest.mark.usefixtures("at_once")
def test_a_target_before_the_checkpoint_ends_the_run_where_its_weights_are(store: Store) -> None:
    target = lowest(go(store, "whole", epochs=4), 1)
    go(store, watch=until(3), targets=target, epochs=4)
    # Asked for no target, a run that goes on keeps its own.
    assert go(store, watch=until(3), epochs=4).targets == tuple(target)
    record = go(store, targets=target, epochs=4, stop_at_target=True)
    assert record.resumed_after[-1] == 2
    assert (len(record.history), record.stopped_at_target) == (2, True)
    assert len(record.measures["time_to_target_s"].samples) == 1


@pytest.mark.usefixtures("at_once")
def test_targets_are_timed_over_all_attempts(store: Store) -> None:
    # Reached at once, and never.
    easy, hard = ["score>=0.0", "loss<=1000.0"], ["score>=0.999"]
    whole = go(store, "whole", targets=hard, epochs=2)
    assert whole.targets == ("score>=0.999",)
    best = max(point.metrics["validation_score"] for point in whole.history)
    assert whole.measures["time_to_target_s"].reason == f"score was at most {best:.4g} in 2 epochs"
    assert "time_to_target_s" not in go(store, "aimless", epochs=1).measures
    first = go(store, watch=until(3), targets=hard, epochs=5)
    assert first.status == "interrupted"
    record = go(store, targets=easy, epochs=5)
    assert record.resumed_after == (2,)
    assert record.targets == tuple(easy)
    one = first.history[0]
    assert record.value("time_to_target_s") == one.train_s + (one.validation_s or 0)


def test_examples_are_the_first_and_the_worst_of_the_wrong(store: Store) -> None:
    go(store, epochs=1)
    predictions = Predictions.load(store.run_dir("r") / "predictions-test.npz")
    kept = Examples.load(store.run_dir("r") / "examples.npz")
    said = predictions.probabilities.argmax(axis=1)
    wrong = [i for i in range(300) if said[i] != predictions.labels[i]]
    assert len(wrong) > 12
    worst = sorted(
        wrong, key=lambda i: overlap(predictions.boxes[i], predictions.predicted_boxes[i])
    )
    assert kept.ids.tolist() == sorted({*range(12), *worst[:12]})
    assert kept.predicted_labels.tolist() == said[kept.ids].tolist()
    assert (kept.predicted_boxes == predictions.predicted_boxes[kept.ids]).all()
    for image, box in zip(kept.images, kept.boxes, strict=True):
        left, top, right, bottom = np.rint(box * 75).astype(int)
        assert image[top:bottom, left:right].sum() == image.sum() > 0


def overlap(a: Any, b: Any) -> float:
    """IoU of two boxes in plain Python."""
    a, b = [float(v) for v in a], [float(v) for v in b]

    def side(low: float, high: float) -> float:
        return max(0.0, high - low)

    both = side(max(a[0], b[0]), min(a[2], b[2])) * side(max(a[1], b[1]), min(a[3], b[3]))
    areas = [side(box[0], box[2]) * side(box[1], box[3]) for box in (a, b)]
    return both / (sum(areas) - both)


def test_compiling_is_paid_and_reported_once(store: Store) -> None:
    engines._compiled.cache_clear()
    first = go(store, "first", epochs=1, evaluate_test=False)
    second = go(store, "second", epochs=1, evaluate_test=False, learning_rate=1e-4, seed=3)
    paid = first.value("compile_s")
    assert paid is not None
    assert 0 < paid < first.duration_s
    measure = second.measures["compile_s"]
    assert (measure.value, measure.reason) == (None, "compiled for an earlier run of this process")


def test_networks_in_turns_are_compiled_once_each(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "MEMORY_SHARE", 1.0)  # this process did much before
    engines._compiled.cache_clear()
    names = ["nets:tiny", "nets:normalised", "nets:dropping", "nets:decaying"]
    assert len(names) == engines.KEPT
    records = [
        go(store, f"{turn}-{name[5:]}", epochs=1, evaluate_test=False, backbone=name)
        for turn in range(3)
        for name in names
    ]
    for first, *later in zip(records[:4], records[4:8], records[8:], strict=True):
        assert first.value("compile_s") is not None
        assert {record.value("compile_s") for record in later} == {None}
        assert {record.history[0].metrics["train_loss"] for record in later} == {
            first.history[0].metrics["train_loss"]
        }
    data, layout = load(CONFIG, None, say=print), engines.open_devices(CONFIG)
    for name in names:
        config = dataclasses.replace(CONFIG, backbone=name)
        engine, _, _ = engines.compiled_engine(config, data, layout)
        assert engine._train_call.experimental_get_tracing_count() == 1
        assert engine._predict_call.experimental_get_tracing_count() == 1
    go(store, "fifth", epochs=1, evaluate_test=False, backbone="nets:nested")
    again = go(store, "again", epochs=1, evaluate_test=False, backbone=names[0])
    assert again.value("compile_s") is not None, "the one used longest ago made room"


def test_what_fits_does_not_depend_on_what_came_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "MEMORY_SHARE", 1.0)  # this process did much before
    engines._compiled.cache_clear()
    assert go(store, "before", epochs=1).status == "finished"
    assert go(store, "jealous", epochs=1, backbone="test_run:jealous").status == "finished"
    assert _alone[:2] == [False, True]
    greedy = go(store, "greedy", epochs=1, backbone="test_run:greedy")
    assert (greedy.status, greedy.cause) == ("failed", "out_of_memory")
    assert greedy.reason is not None
    assert greedy.reason.startswith("Out of memory with batch_size 16: ")
    assert greedy.reason.endswith(" Use a smaller --batch-size or network.")
    assert "no room" in (greedy.traceback or "")


_alone: list[bool] = []


def jealous(image_shape: tuple[int, int, int]) -> Any:
    """A network that fits into memory only if no other is kept when it is built first."""
    _alone.append(not engines._compiled.cache_info().currsize)
    return nets.tiny(image_shape) if any(_alone) else greedy(image_shape)


def greedy(image_shape: tuple[int, int, int]) -> Any:
    raise MemoryError("no room")


def test_auto_times_xla_once_a_process_and_says_what_it_chose(store: Store) -> None:
    engines._compiled.cache_clear()
    said: list[str] = []
    first = go(store, "first", Watch(note=said.append), epochs=1, jit="auto")
    go(store, "between", epochs=1)
    again = go(store, "again", epochs=1, jit="auto", seed=4)
    assert first.machine is not None
    assert again.machine is not None
    off, on = (first.measures[f"jit_{name}_step_s"] for name in ("off", "on"))
    assert off.value is not None
    assert on.value is not None
    assert first.config.jit == "auto", "the request stays what it was"
    assert first.machine.jit == ("on" if on.value < off.value else "off") == again.machine.jit
    assert (again.measures["jit_off_step_s"], again.measures["jit_on_step_s"]) == (off, on)
    (line,) = said
    assert line.startswith(f"--jit auto: {first.machine.jit}, because a step takes ")
    # As if chosen that way from the start.
    asked = go(store, "asked", epochs=1, jit=first.machine.jit)
    assert asked.history[0].metrics == first.history[0].metrics
    assert JitChoice.of_record(asked) is None


def test_what_an_earlier_process_chose_holds(store: Store) -> None:
    config = dataclasses.replace(CONFIG, jit="auto", steps_per_call=2)
    choice = JitChoice(
        jit=True, off_step_s=Measure(value=1.0), on_step_s=Measure(value=2.0)
    )  # not what these times would lead to
    data, layout = load(config, None, say=print), engines.open_devices(config)
    engine, _, found = engines.compiled_engine(config, data, layout, decided=choice)
    assert (engine.key.jit, found) == (True, choice)
    record = go(store, jit="auto", steps_per_call=2, epochs=1)
    assert JitChoice.of_record(record) == choice


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_run_of_less_precision_learns_and_says_what_it_skipped(
    store: Store, precision: Any
) -> None:
    exact, rough = go(store, "exact"), go(store, "rough", precision=precision)
    assert rough.status == "finished", rough.reason
    assert rough.config.precision == precision
    for a, b in zip(exact.history, rough.history, strict=True):
        # 11 or 8 bits are kept, over twenty steps.
        assert b.metrics["train_loss"] == pytest.approx(a.metrics["train_loss"], rel=2e-2)
        assert b.metrics["validation_loss"] == pytest.approx(
            a.metrics["validation_loss"], rel=2e-2
        )
    assert rough.value("test_loss") != exact.value("test_loss")
    skipped = 0.0 if precision == "mixed_float16" else None
    assert rough.value("skipped_steps") == skipped
    assert go(store, "exact-again").history[-1].metrics == exact.history[-1].metrics


def test_a_scaled_rate_depends_on_the_global_batch_and_is_recorded(store: Store) -> None:
    scaled: Any = {
        "learning_rate_scaling": "linear",
        "reference_batch_size": 4,
        "warmup_epochs": 1,
    }
    one = go(store, "one", **scaled)
    # 3e-3 x 16 / 4.
    assert one.value("scaled_learning_rate") == pytest.approx(1.2e-2)
    devices = {"strategy": "mirrored", "devices": "cpu:0,cpu:1", "batch_size": 8}
    two = go(store, "two", **scaled, **devices)
    assert two.value("scaled_learning_rate") == one.value("scaled_learning_rate")
    plain = go(store, "plain")
    for a, b in zip(one.history, two.history, strict=True):
        assert b.metrics["train_loss"] == pytest.approx(a.metrics["train_loss"], rel=1e-4)
    assert one.history[-1].metrics["train_loss"] < plain.history[-1].metrics["train_loss"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"backbone": "nets:foreign", "jit": "on"},
            "nets:foreign must train with --jit on, but that raised ",
        ),
        (
            {"backbone": "nets:single", "precision": "mixed_float16"},
            "nets:single must train with --precision mixed_float16, but that raised ",
        ),
        (
            {"backbone": "nets:always_single", "precision": "mixed_bfloat16"},
            "This was under --precision mixed_bfloat16: float32 may do.",
        ),
        (
            {"learning_rate_scaling": "sqrt", "warmup_epochs": 4},
            "`warmup_epochs` must be at most the 3 epochs of the run, got 4",
        ),
        (
            {"backbone": "nets:growing", "epochs": 30, "precision": "mixed_bfloat16"},
            " training diverged. ",
        ),
    ],
)
def test_what_breaks_under_a_precision_or_compiler_fails_with_the_way_out(
    store: Store, changes: dict[str, Any], reason: str
) -> None:
    record = go(store, **changes)
    assert record.status == "failed"
    assert record.reason is not None
    assert reason in record.reason
    if "diverged" in reason:
        assert record.reason.endswith(" Or use --precision float32.")
    if "must train with" in reason:
        instead = "--jit off" if "jit" in changes else "--precision float32"
        assert record.reason.endswith(f"It does without: use {instead}.")


def test_auto_does_without_xla_where_it_cannot_compile(store: Store) -> None:
    said: list[str] = []
    record = go(
        store, watch=Watch(note=said.append), backbone="nets:foreign", jit="auto", epochs=1
    )
    assert record.status == "finished", record.reason
    assert record.machine is not None
    assert record.machine.jit == "off"
    assert record.measures["jit_on_step_s"].value is None
    assert "XLA could not compile it: " in (record.measures["jit_on_step_s"].reason or "")
    assert said[0].startswith("--jit auto: off, because XLA could not compile it: ")


def test_patience_stops_and_goes_back_to_the_best_epoch(store: Store) -> None:
    record = go(store, epochs=60, patience=2, learning_rate=3e-2, evaluate_test=False)
    scores = [point.metrics["validation_score"] for point in record.history]
    best = scores.index(max(scores))
    assert len(scores) == best + 1 + 2 < 60
    for name in QUALITY:
        expected = record.history[best].metrics[f"validation_{name}"]
        assert record.value(f"validation_{name}") == expected
    assert max(scores) > scores[-1]


def test_a_run_that_the_watcher_stops_is_pruned(store: Store) -> None:
    record = go(store, watch=Watch(epoch=lambda point: point.epoch < 2))
    assert record.status == "pruned"
    assert record.reason == "Stopped after epoch 2: no better than others."
    assert len(record.history) == 2
    assert record.value("images_per_s")
    assert record.value("validation_score") is None
    assert record.files == {}


@pytest.mark.parametrize("signal", [KeyboardInterrupt, InterruptedRun("SIGTERM")])
def test_an_interrupted_run_keeps_what_it_measured(store: Store, signal: Any) -> None:
    def stop(point: EpochPoint) -> bool:
        if point.epoch == 2:
            raise signal
        return True

    record = go(store, watch=Watch(epoch=stop))
    assert record.status == "interrupted"
    assert record.reason == "Stopped from outside after epoch 2."
    assert [point.epoch for point in record.history] == [1, 2]
    assert record.machine is not None
    assert go(store, "next").status == "finished", "the process is as good as before"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a checkpoint be due after each epoch."""
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)


def until(last: int, seen: list[int] | None = None) -> Watch:
    """Interrupt before epoch `last` is judged."""

    def stop(point: EpochPoint) -> bool:
        if seen is not None:
            seen.append(point.epoch)
        if point.epoch == last:
            raise KeyboardInterrupt
        return True

    return Watch(epoch=stop)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "nets:dropping", "epochs": 5},
        {"backbone": "nets:normalised", "epochs": 5},
        {"epochs": 9, "patience": 2, "learning_rate": 3e-2},
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_record(
    store: Store, changes: dict[str, Any]
) -> None:
    whole = go(store, "whole", **changes)
    # The second attempt is stopped while it tells again of what the first had done.
    for last in (3, 2, 4):
        assert go(store, watch=until(last), **changes).status == "interrupted"
    seen: list[int] = []
    record = go(store, watch=until(99, seen), **changes)
    assert record.resumed_after == (2, 3)
    assert whole.resumed_after == ()
    assert seen == [point.epoch for point in whole.history], "all epochs, in order, once"
    assert timeless(record) == timeless(whole) | {"resumed_after": [2, 3]}
    assert len(record.measures["images_per_s"].samples) == len(record.history)
    assert {path.name for path in store.run_dir("r").iterdir()} == {*record.files, RECORD_FILE}


@pytest.mark.parametrize("changes", [{}, {"epochs": 9, "patience": 2, "learning_rate": 3e-2}])
def test_a_run_that_is_asked_to_stop_after_an_epoch_loses_nothing(
    store: Store, changes: dict[str, Any]
) -> None:
    def stop(point: EpochPoint) -> bool:
        if point.epoch == 2:
            raise InterruptedRun("the time is up")
        return True

    # None is due after so short a time, but this one was asked for.
    assert go(store, watch=Watch(epoch=stop), **changes).status == "interrupted"
    assert checkpoint.last_epoch(store.checkpoint_dir("r")) == 2
    record, whole = go(store, **changes), go(store, "whole", **changes)
    assert record.resumed_after == (2,)
    assert timeless(record) == timeless(whole) | {"resumed_after": [2]}


@pytest.mark.usefixtures("at_once")
def test_times_of_a_run_that_goes_on_are_those_of_all_attempts(store: Store) -> None:
    first = go(store, watch=until(3))
    said: list[str] = []
    record = go(store, watch=Watch(say=said.append))
    assert said == ["Run r goes on after epoch 2 of 3."]
    assert record.started_at == first.started_at
    assert record.history[:2] == first.history[:2]
    assert record.duration_s > sum(point.train_s for point in record.history)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": 1}, "it is of another configuration"),
        ({"strategy": "mirrored", "devices": "cpu:0,cpu:1"}, "it is of another configuration"),
    ],
)
def test_another_run_in_its_place_starts_anew_and_says_so(
    store: Store, changes: dict[str, Any], reason: str
) -> None:
    go(store, watch=until(3))
    said: list[str] = []
    record = go(store, watch=Watch(say=said.append), **changes)
    assert said == [f"Run r starts anew: its checkpoint cannot be used, as {reason}."]
    assert record.status == "finished"
    assert record.resumed_after == ()
    assert timeless(record) == timeless(go(store, "other", **changes))


@pytest.mark.usefixtures("at_once")
def test_a_network_that_was_edited_starts_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nets, "edited", nets.tiny, raising=False)
    go(store, watch=until(2), backbone="nets:edited")
    monkeypatch.setattr(nets, "edited", nets.normalised)
    engines._compiled.cache_clear()
    said: list[str] = []
    record = go(store, watch=Watch(say=said.append), backbone="nets:edited")
    assert len(said) == 1
    assert re.search(r"starts anew: .* as it holds \d+ variables, but the network has", said[0])
    assert record.status == "finished"


@pytest.mark.usefixtures("at_once")
def test_what_would_only_end_so_again_keeps_no_checkpoint(store: Store) -> None:
    kept = store.checkpoint_dir("r")
    assert go(store, watch=until(2)).status == "interrupted"
    assert checkpoint.last_epoch(kept) == 1
    assert go(store, watch=Watch(epoch=lambda point: point.epoch < 3)).status == "pruned"
    assert not kept.exists()
    assert go(store, backbone="nets:growing", epochs=30).status == "failed"
    assert not kept.exists()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("role", "left"), [("run", 1), ("trial", 0)])
def test_a_failure_that_may_pass_keeps_its_checkpoint_where_a_repeat_is_due(
    store: Store, role: Role, left: int
) -> None:
    def fail(point: EpochPoint) -> bool:
        if point.epoch == 2:
            raise OSError("the cable was pulled")
        return True

    identity = Identity(run_id="r", role=role)
    record = execute(
        CONFIG, identity=identity, store=store, data_dir=None, watch=Watch(epoch=fail)
    )
    assert record.status == "failed"
    assert checkpoint.last_epoch(store.checkpoint_dir("r")) == left


@pytest.mark.usefixtures("at_once")
def test_a_checkpoint_that_cannot_be_written_costs_nothing_else(store: Store) -> None:
    store.run_dir("r").mkdir(parents=True)
    store.checkpoint_dir("r").write_bytes(b"")
    said: list[str] = []
    record = go(store, watch=Watch(say=said.append))
    assert record.status == "finished"
    assert len(said) == 1
    assert "checkpoint must be writable: File exists. The run goes on" in said[0]


def test_a_short_run_writes_no_checkpoint(store: Store) -> None:
    go(store, watch=until(3))
    assert not store.checkpoint_dir("r").exists()


def test_a_run_that_diverges_fails_with_its_history(store: Store) -> None:
    record = go(store, backbone="nets:growing", epochs=30)
    assert record.status == "failed"
    assert record.reason is not None
    assert "must be finite" in record.reason
    assert "training diverged" in record.reason
    assert record.cause == "diverged"
    assert "DivergedRun" in (record.traceback or "")
    assert 1 <= len(record.history) < 5
    assert record.value("images_per_s")


def test_a_broken_backbone_fails_with_its_traceback(store: Store) -> None:
    record = go(store, backbone="nets:broken")
    assert record.status == "failed"
    assert record.reason is not None
    assert "nets:broken raised ValueError: no such network for (75, 75, 1)." in record.reason
    assert record.traceback is not None
    assert "in broken" in record.traceback
    assert record.cause == "plugin"
    assert record.machine is not None
    assert record.data is not None
    assert record.model is None
    assert record.history == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "minst"}, "Unknown data set 'minst'. Did you mean 'mnist'?"),
        ({"backbone": "notebok-cnn"}, "Unknown backbone 'notebok-cnn'. Did you mean"),
        ({"train_examples": 9}, "`train_examples` must be 10"),
        (
            {"batch_size": 121},
            "A step's 121 images must not exceed the 120 training examples. Use --batch-size 120",
        ),
        (
            {"global_batch_size": 122, "strategy": "mirrored", "devices": "cpu:0,cpu:1"},
            "examples. Use --global-batch-size 120 or less.",
        ),
        ({"strategy": "gpu", "devices": "cpu:0"}, "`gpu` uses one GPU, got devices 'cpu:0'."),
    ],
)
def test_what_cannot_be_run_is_a_failed_record_too(
    store: Store, changes: dict[str, Any], reason: str
) -> None:
    record = go(store, **changes)
    assert record.status == "failed"
    assert record.reason is not None
    assert reason in record.reason
    assert record.traceback is None


def test_an_unexpected_error_is_kept_with_its_traceback(store: Store) -> None:
    def fault(_point: EpochPoint) -> bool:
        raise ZeroDivisionError("by the watcher")

    record = go(store, watch=Watch(epoch=fault))
    assert (record.status, record.reason) == ("failed", "ZeroDivisionError: by the watcher")
    assert record.traceback is not None
    assert "in fault" in record.traceback


def test_only_a_store_that_cannot_be_written_raises(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        go(Store(tmp_path / "out"), epochs=1)


def test_predictions_that_cannot_be_written_are_no_failure_of_the_run(store: Store) -> None:
    # As on a full disk that has room for a small record still: a trial would count as failed.
    (store.run_dir("r") / "predictions-validation.npz").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"predictions-validation\.npz cannot be written"):
        go(store, epochs=1)
    assert store.read_record("r") is None


def test_two_devices_give_the_same_record_up_to_rounding(store: Store) -> None:
    one = go(store, "one", jit="off")
    changes = {"strategy": "mirrored", "devices": "cpu:0,cpu:1", "global_batch_size": 16}
    two = go(store, "two", **changes)
    assert (one.status, two.status) == ("finished", "finished"), (one.reason, two.traceback)
    assert two.machine is not None
    assert (two.machine.strategy, two.machine.replicas) == ("mirrored", 2)
    assert two.machine.devices == ("cpu:0", "cpu:1")
    for a, b in zip(one.history, two.history, strict=True):
        assert a.images == b.images
        assert b.metrics["train_loss"] == pytest.approx(a.metrics["train_loss"], rel=1e-5)
    for split in ("validation", "test"):
        loaded = [
            Predictions.load(store.run_dir(name) / f"predictions-{split}.npz")
            for name in ("one", "two")
        ]
        assert loaded[0].ids.tolist() == loaded[1].ids.tolist()
        assert loaded[1].predicted_boxes == pytest.approx(loaded[0].predicted_boxes, abs=1e-4)


@pytest.fixture(scope="module")
def half_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a training pool of MNIST's shape and garbage in the test files."""
    folder = tmp_path_factory.mktemp("mnist")
    labels = (np.arange(60_000) % 10).astype(np.uint8)
    dark = np.zeros((60_000, 28, 28), np.uint8)
    for name, array in zip(IDX_FILES[:2], (dark, labels), strict=True):
        shape = b"".join(struct.pack(">I", size) for size in array.shape)
        content = bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    for name in IDX_FILES[2:]:
        (folder / f"{name}.gz").write_bytes(b"not gzip")
    return folder


def test_without_its_evaluation_the_test_split_is_not_even_read(
    store: Store, half_mnist: Path
) -> None:
    config = dataclasses.replace(CONFIG, dataset="auto", epochs=1, batch_size=64)
    said: list[str] = []
    records = {
        opened: execute(
            dataclasses.replace(config, evaluate_test=opened),
            identity=Identity(run_id=f"opened-{opened}"), store=store, data_dir=half_mnist,
            watch=Watch(say=said.append),
        )
        for opened in (False, True)
    }  # fmt: skip
    sealed, opened = records[False], records[True]
    assert sealed.status == "finished"
    assert sealed.config.dataset == "mnist", "the record names what `auto` chose"
    assert sealed.data is not None
    assert (sealed.data.n_test, sealed.data.test_digest) == (None, None)
    assert not any(name.startswith("test_") for name in sealed.measures)
    assert set(sealed.files) == {"predictions-validation.npz", "examples.npz", "weights.npz"}
    assert opened.status == "failed"
    assert opened.reason is not None
    assert "t10k-images" in opened.reason
    assert opened.value("validation_score") == sealed.value("validation_score")
    assert "Data: MNIST" in said[0]


def test_a_job_of_a_sweep_is_done_as_asked(store: Store) -> None:
    points: list[EpochPoint] = []
    job = {
        "run_id": "s-t003", "role": "trial", "sweep": "s", "trial": 3,
        "config": json.loads(json.dumps(CONFIG.to_json())), "store": str(store.root),
        "data_dir": None,
    }  # fmt: skip
    record = work(job, lambda point: not points.append(point))
    assert (record.run_id, record.role, record.sweep, record.trial) == ("s-t003", "trial", "s", 3)
    assert record.config == CONFIG
    assert tuple(points) == record.history
    assert store.read_record("s-t003") == record
    assert work(job | {"run_id": "x"}, lambda _point: False).status == "pruned"


def test_probe_says_what_is_wrong_with_devices(capsys: pytest.CaptureFixture[str]) -> None:
    engines.probe(json.dumps(CONFIG.to_json()))
    wrong = dataclasses.replace(CONFIG, strategy="gpu", devices="gpu:77").to_json()
    with pytest.raises(SystemExit) as end:
        engines.probe(json.dumps(wrong))
    assert end.value.code == 2
    assert "TensorFlow must see gpu:77" in capsys.readouterr().out


def test_run_ids_differ_within_a_second_and_name_a_folder() -> None:
    config = dataclasses.replace(CONFIG, backbone="my.package:a/b")
    ids = {new_run_id(config) for _ in range(50)}
    assert len(ids) == 50
    for run_id in ids:
        assert Path(run_id).name == run_id
        assert "my.package-a-b" in run_id
        assert ":" not in run_id
