"""RunRecord: round trip, the golden file, and records that are damaged."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import RunConfig
from harness.errors import StoreError
from harness.record import (
    METRICS,
    QUALITY,
    RECORD_VERSION,
    DataIdentity,
    EpochPoint,
    Layer,
    Machine,
    Measure,
    ModelFacts,
    RunRecord,
    timing_key,
)

GOLDEN = Path(__file__).parent / "golden" / "record.v1.json"

MACHINE = Machine(
    host_digest="0123456789ab", system="Linux 6.1 x86_64", python="3.11.7",
    cpu_model="Some CPU", cpu_cores=2, memory_gib=23.5,
    packages={"keras": "3.15.1", "tensorflow": "2.21.0"}, strategy="cpu", replicas=1,
    devices=("cpu:0",), threads=0, git_commit="0123456789" * 4, git_dirty=True,
)  # fmt: skip

RECORD = RunRecord(
    run_id="20260102-030405-0123456789abcdef",
    role="trial",
    sweep="notebook-cnn",
    trial=7,
    config=RunConfig(backbone="notebook-cnn", learning_rate=0.002, epochs=2, patience=1),
    status="finished",
    started_at="2026-01-02T03:04:05+00:00",
    duration_s=12.5,
    data=DataIdentity(
        source="digits", digest="0123456789abcdef", data_seed=0, image_px=75, classes=10,
        n_train=1200, n_validation=200, n_test=397, test_digest="fedcba9876543210",
    ),
    machine=MACHINE,
    model=ModelFacts(
        parameters=1290, backbone_parameters=0,
        layers=(
            Layer(name="image", kind="InputLayer", output_shape=(75, 75, 1), parameters=0),
            Layer(name="classification", kind="Dense", output_shape=(None, 10), parameters=1290),
        ),
    ),
    history=(
        EpochPoint(epoch=1, images=1200, train_s=2.5, metrics={"validation_score": 0.25}),
        EpochPoint(epoch=2, images=1200, train_s=2.0, metrics={"validation_score": 0.5}),
    ),
    measures={
        "validation_score": Measure(value=0.5),
        "images_per_s": Measure(value=533.25, samples=(480.0, 600.0)),
        "peak_rss_mib": Measure(reason="not known on this system"),
    },
    files={"predictions-validation.npz": "ab" * 32},
)  # fmt: skip

FAILED = RunRecord(
    run_id="x", role="run", config=RunConfig(), status="failed",
    started_at="2026-01-02T03:04:05+00:00", duration_s=0.0, reason="out of memory",
    traceback="Traceback (most recent call last):\n…",
)  # fmt: skip


@pytest.mark.parametrize("record", [RECORD, FAILED])
def test_text_brings_back_an_equal_record(record: RunRecord) -> None:
    again = RunRecord.loads(record.dumps())
    assert again == record
    assert again.dumps() == record.dumps()


def test_names_of_classes_come_back_and_older_records_have_none() -> None:
    data = RECORD.data
    assert data is not None
    named = dataclasses.replace(data, class_names=("sun", "moon"), skipped=3, duplicates=2)
    record = dataclasses.replace(RECORD, data=named)
    assert RunRecord.loads(record.dumps()) == record
    old = {key: v for key, v in dataclasses.asdict(data).items()
           if key not in ("class_names", "skipped", "duplicates")}  # fmt: skip
    assert DataIdentity.from_json(old) == data


def test_text_is_ascii_with_sorted_keys_and_ends_in_a_newline() -> None:
    text = FAILED.dumps()
    assert text.isascii()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_the_golden_file_of_version_1_is_read() -> None:
    # Never rewrite the file: it stands for records that people have. Fields may be added to
    # RunConfig and RunRecord; they must get defaults under which this still holds.
    record = RunRecord.loads(GOLDEN.read_text(encoding="utf-8"))
    assert dataclasses.replace(record, version=RECORD_VERSION) == RECORD


def test_nothing_of_the_golden_file_is_lost() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    now = json.loads(RunRecord.loads(GOLDEN.read_text(encoding="utf-8")).dumps())
    assert_contains(now, golden)


def assert_contains(whole: Any, part: Any) -> None:
    if isinstance(part, dict):
        for key, value in part.items():
            assert_contains(whole[key], value)
    elif isinstance(part, list):
        assert len(whole) == len(part)
        for one, other in zip(whole, part, strict=True):
            assert_contains(one, other)
    else:
        assert whole == part


HERE = dataclasses.replace(
    MACHINE, governor="performance", gpus=("NVIDIA H100 80GB HBM3",) * 2, driver="550.54",
    thread_settings={"OMP_NUM_THREADS": "2", "intra_op": "2", "inter_op": "2"},
)  # fmt: skip


def test_a_machine_comes_back_from_json_equal_and_with_an_equal_timing_key() -> None:
    again = Machine.from_json(json.loads(json.dumps(dataclasses.asdict(HERE))))
    assert again == HERE
    assert hash(timing_key(again)) == hash(timing_key(HERE))


@pytest.mark.parametrize(
    "changes",
    [
        {"host_digest": "beef"}, {"cpu_model": "Other CPU"}, {"cpu_cores": 4},
        {"memory_gib": 31.5}, {"governor": "powersave"}, {"governor": None}, {"gpus": ()},
        {"driver": "560.10"}, {"python": "3.12.3"}, {"system": "Linux 6.8 x86_64"},
        {"packages": {"keras": "3.15.1", "tensorflow": "2.22.0"}},
        {"thread_settings": {"OMP_NUM_THREADS": "1", "intra_op": "2", "inter_op": "2"}},
        {"git_commit": "ab" * 20}, {"git_dirty": False},
    ],
)  # fmt: skip
def test_timings_of_another_fingerprint_are_not_ranked_together(changes: dict[str, Any]) -> None:
    assert timing_key(dataclasses.replace(HERE, **changes)) != timing_key(HERE)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "mirrored", "replicas": 2, "devices": ("cpu:0", "cpu:1")}, {"threads": 1},
        {"jit": "on"}, {"memory_gib": 23.6}, {"workers": 2},
        {"thread_settings": {"inter_op": "1", "OMP_NUM_THREADS": "2", "intra_op": "1"}},
    ],
)  # fmt: skip
def test_what_one_may_want_to_compare_is_not_in_the_timing_key(changes: dict[str, Any]) -> None:
    assert timing_key(dataclasses.replace(HERE, **changes)) == timing_key(HERE)


def test_what_is_known_of_the_machine_alone_outlives_a_commit() -> None:
    later = dataclasses.replace(HERE, git_commit="ab" * 20, git_dirty=False)
    assert timing_key(later, source=False) == timing_key(HERE, source=False)
    assert timing_key(dataclasses.replace(later, governor=None), source=False) != timing_key(
        HERE, source=False
    )


def test_epochs_that_were_disturbed_are_told() -> None:
    busy = [dataclasses.replace(p, disturbed=("steal 3 %", "steal 4 %")) for p in RECORD.history]
    assert RECORD.disturbance() is None
    one = dataclasses.replace(RECORD, history=(RECORD.history[0], busy[1]))
    assert one.disturbance() == "1 of 2 epochs: steal 3 % and steal 4 %"
    both = dataclasses.replace(RECORD, history=tuple(busy), targets=("score>=0.9",))
    assert both.disturbance() == "2 of 2 epochs, such as epoch 1: steal 3 % and steal 4 %"
    assert RunRecord.loads(both.dumps()) == both


def test_value() -> None:
    assert RECORD.value("images_per_s") == 533.25
    assert RECORD.value("peak_rss_mib") is None  # there is only a reason
    assert RECORD.value("test_score") is None  # never measured


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_hold_is_refused_when_it_is_made(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Measure(value=bad)
    with pytest.raises(ValueError, match="finite"):
        Measure(value=1.0, samples=(1.0, bad))
    with pytest.raises(ValueError, match="epoch 3 must hold finite"):
        EpochPoint(epoch=3, images=1, train_s=1.0, metrics={"train_loss": bad})


@pytest.mark.parametrize("both", [{}, {"value": 1.0, "reason": "x"}])
def test_a_measure_is_a_value_or_a_reason(both: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a value or a reason"):
        Measure(**both)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be JSON, but it is damaged"),
        (RECORD.dumps()[:-20], "must be JSON, but it is damaged"),
        ("[]", "must be a JSON object"),
        ("{}", "must have version 1, got None"),
        ('{"version": 2}', "must have version 1, got 2.*another release"),
        ('{"version": 1}', "not a run record: 'status'"),
    ],
)
def test_text_that_is_no_record(text: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        RunRecord.loads(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "done"}, "status must be one of finished, failed, pruned, interrupted"),
        ({"role": "boss"}, "role must be one of run, trial, final, rerun, got 'boss'"),
        ({"cause": "mood"}, "cause must be one of None, diverged, out_of_memory, plugin"),
        ({"too_large": ["x"]}, "not a run record"),
        ({"config": {"epochs": -1}}, "`epochs` must be at least 1"),
        ({"config": {"lr": 1}}, "Unknown configuration field 'lr'"),
        ({"measures": []}, "not a run record"),
        ({"measures": {"score": {"value": math.nan, "reason": None, "samples": []}}}, "finite"),
        ({"history": [{"epoch": 1}]}, "not a run record"),
        ({"data": {"colour": "red"}}, "not a run record"),
        ({"surprise": 1}, "not a run record.*surprise"),
    ],
)
def test_a_field_that_does_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StoreError, match=words):
        RunRecord.loads(json.dumps(RECORD.to_json() | changes))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in inside:
        found.append((*path, key))
        if isinstance(item, (dict, list)):
            found += places(item, (*path, key))
    return found


PLAIN = json.loads(RECORD.dumps())
JUNK = st.sampled_from([None, True, -1, 1.5, "junk", "", [], {}, [[]], {"a": 1}, [1, "a"]])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(places(PLAIN)), JUNK)
def test_junk_anywhere_is_refused_as_a_store_error_or_kept(
    path: tuple[Any, ...], junk: Any
) -> None:
    values = copy.deepcopy(PLAIN)
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    try:
        record = RunRecord.from_json(values)
    except StoreError:
        return
    assert RunRecord.loads(record.dumps()) == record


def test_every_measure_of_quality_is_explained() -> None:
    assert set(QUALITY) <= set(METRICS)
    for metric in METRICS.values():
        assert metric.title
        assert metric.meaning
        assert metric.digits >= 0
