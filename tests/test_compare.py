"""What may be compared, in which order, and what is said of the rest."""

from __future__ import annotations

import dataclasses
import random
import re
import shlex
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import DATA, MACHINE, fabricate, fabricate_sweep
from scipy import stats

from harness.config import RunConfig
from harness.errors import UsageError
from harness.predictions import Predictions, predictions_file
from harness.record import Measure
from reports.commands import repeat_command, run_command
from reports.compare import Comparison, compare
from reports.contenders import contender_names
from reports.evidence import Evidence, load
from reports.pair_tests import holm
from reports.searches import summarise_searches

GOOD, POOR = (0.99, 0.01), (0.80, 0.05)  # accuracy, noise of boxes


def config(backbone: str = "notebook-cnn", seed: int = 0, **fields: object) -> RunConfig:
    return RunConfig.from_json(
        {"backbone": backbone, "seed": seed, "dataset": "mnist", "epochs": 5} | fields
    )


def seeds(
    folder: Path, backbone: str, quality: tuple[float, float], *, count: int = 3, **more: object
) -> list[Evidence]:
    return [
        load(*fabricate(folder, f"{backbone}-{seed}", config=config(backbone, seed, **more),
                        accuracy=quality[0], noise=quality[1]))
        for seed in range(count)
    ]  # fmt: skip


def reasons(comparison: Comparison) -> dict[str, str | None]:
    return {line.run_id: line.not_ranked for line in comparison.runs}


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path: Path) -> None:
    evidence = seeds(tmp_path, "notebook-cnn", GOOD)
    ((row,),) = (table.contenders for table in compare(evidence).tables)
    values = [e.record.value("test_score") for e in evidence]
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert row.seeds == (0, 1, 2)
    assert row.quality["score"].value == pytest.approx(np.mean([v or 0 for v in values]))
    assert row.quality["score"].low == pytest.approx(theirs.low)
    assert (row.quality["score"].varied, row.quality["score"].n) == ("seeds", 3)


def test_one_seed_has_an_interval_over_images(tmp_path: Path) -> None:
    (evidence,) = seeds(tmp_path, "notebook-cnn", GOOD, count=1)
    quality = compare([evidence]).tables[0].contenders[0].quality
    assert {e.varied for e in quality.values()} == {"images"}
    assert quality["accuracy"].method == "Wilson"
    outcomes = evidence.outcomes
    assert outcomes is not None
    theirs = stats.ttest_1samp(outcomes.iou, 0).confidence_interval(0.95)
    assert quality["mean_iou"].low == pytest.approx(theirs.low)


def test_the_best_score_leads_and_is_separated(tmp_path: Path) -> None:
    evidence = seeds(tmp_path, "a-cnn", POOR) + seeds(tmp_path, "b-cnn", GOOD)
    (table,) = compare(evidence).tables
    assert [(row.rank, row.name) for row in table.contenders] == [(1, "b-cnn"), (2, "a-cnn")]
    (verdict,) = table.verdicts
    assert (verdict.first, verdict.better, verdict.worse) == ("b-cnn", "b-cnn", "a-cnn")
    assert {name: each.separated for name, each in verdict.measures.items()} == {
        "score": True, "accuracy": True, "mean_iou": True,
    }  # fmt: skip
    assert verdict.measures["score"].test.difference.varied == "seeds and images"
    assert table.ranges == {"b-cnn": (1, 1), "a-cnn": (2, 2)}


def test_equal_contenders_cannot_be_separated(tmp_path: Path) -> None:
    evidence = seeds(tmp_path, "a-cnn", GOOD) + seeds(tmp_path, "b-cnn", GOOD)
    (table,) = compare(evidence).tables
    (verdict,) = table.verdicts
    assert (verdict.better, verdict.worse) == (None, None)
    assert table.ranges == dict.fromkeys(("a-cnn", "b-cnn"), (1, 2))


def test_one_seed_each_is_judged_over_images_only(tmp_path: Path) -> None:
    evidence = seeds(tmp_path, "a-cnn", GOOD, count=1) + seeds(tmp_path, "b-cnn", POOR, count=1)
    (verdict,) = compare(evidence).tables[0].verdicts
    tests = {name: each.test for name, each in verdict.measures.items()}
    assert {name: test.method for name, test in tests.items()} == {
        "score": "paired bootstrap", "accuracy": "exact McNemar test",
        "mean_iou": "paired bootstrap",
    }  # fmt: skip
    assert {test.difference.varied for test in tests.values()} == {"images"}
    for name, test in tests.items():
        a, b = (e.outcomes.values(name) for e in evidence if e.outcomes is not None)
        assert test.difference.value == pytest.approx(float(np.mean(a - b)))


def test_one_seed_against_several_is_judged_over_images_with_the_mean_of_seeds(
    tmp_path: Path,
) -> None:
    evidence = seeds(tmp_path, "a-cnn", GOOD, count=2) + seeds(tmp_path, "b-cnn", POOR, count=1)
    (verdict,) = compare(evidence).tables[0].verdicts
    assert {each.test.method for each in verdict.measures.values()} == {"paired bootstrap"}
    first, second, other = (
        e.outcomes.values("accuracy") for e in evidence if e.outcomes is not None
    )
    assert verdict.measures["accuracy"].test.difference.value == pytest.approx(
        float(np.mean((first + second) / 2 - other))
    )


def test_every_pair_is_tested_and_corrected_for_all(tmp_path: Path) -> None:
    evidence = [e for name in "abcd" for e in seeds(tmp_path, name, GOOD, count=2)]
    evidence += seeds(tmp_path, "poor", POOR, count=2)
    (table,) = compare(evidence).tables
    names = [row.name for row in table.contenders]
    assert names[-1] == "poor"
    assert [(v.first, v.second) for v in table.verdicts] == list(combinations(names, 2))
    assert [v.second for v in table.lead] == names[1:]
    for measure in ("score", "accuracy", "mean_iou"):
        tests = [v.measures[measure] for v in table.verdicts]
        assert [each.p_holm for each in tests] == holm([each.test.p_value for each in tests])
    assert table.ranges["poor"] == (5, 5)
    # A pair that is open may err as often as the next step of Holm would let it.
    open_pairs = sum(v.better is None for v in table.verdicts)
    assert [v.alarms for v in table.verdicts] == pytest.approx([0.05 / open_pairs] * 10)


def test_the_order_of_arrival_changes_nothing(tmp_path: Path) -> None:
    evidence = seeds(tmp_path, "a-cnn", GOOD) + seeds(tmp_path, "b-cnn", POOR)
    evidence += [load(*run) for run in fabricate_sweep(tmp_path, "s", trials=8)]
    shuffled = random.Random(5).sample(evidence, len(evidence))
    assert compare(shuffled) == compare(evidence)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "00" * 8},
        {"test_digest": "00" * 8},
        {"data_seed": 1},
        {"source": "digits"},
        {"scene_digest": "00" * 8},
    ],
)
def test_other_data_is_never_ranked_together(tmp_path: Path, change: dict[str, Any]) -> None:
    first = seeds(tmp_path, "a-cnn", GOOD)
    other = dataclasses.replace(DATA, **change)
    second = load(*fabricate(tmp_path, "b", config=config("b-cnn"), data=other))
    tables = compare([*first, second]).tables
    assert [[row.name for row in table.contenders] for table in tables] == [["a-cnn"], ["b-cnn"]]
    assert not tables[0].verdicts


def test_fewer_training_examples_are_a_choice_not_other_data(tmp_path: Path) -> None:
    small = dataclasses.replace(DATA, n_train=1000)
    few = fabricate(tmp_path, "few", config=config(train_examples=1000), data=small)
    (table,) = compare([*seeds(tmp_path, "notebook-cnn", GOOD), load(*few)]).tables
    assert {row.name for row in table.contenders} == {
        "notebook-cnn defaults",
        "notebook-cnn train_examples=1000",
    }


def test_nothing_is_dropped_silently(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, "ok", config=config()),
        fabricate(tmp_path, "bad", config=config(), status="failed", reason="loss became NaN"),
        fabricate(tmp_path, "cut", config=config(), status="interrupted", reason="Ctrl-C"),
        fabricate(tmp_path, "mute", config=config(), status="failed"),
        fabricate(tmp_path, "dry", config=config(evaluate_test=False), tested=False),
        fabricate(tmp_path, "lost", config=config(), tested=False),
        fabricate(tmp_path, "t", config=config(), role="trial", sweep="s", trial=0),
    ]
    said = reasons(compare(load(*run) for run in runs))
    assert said == {
        "ok": None,
        "bad": "loss became NaN",
        "cut": "Ctrl-C",
        "mute": "failed without saying why",
        "dry": "run with --no-test",
        "lost": "not evaluated on test",
        "t": "a trial: a search looks at validation only",
    }


def test_an_unmeasured_test_score_gives_its_reason(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path, "x", config=config(), tested=False)
    record = dataclasses.replace(record, measures={"test_score": Measure(reason="disk full")})
    assert reasons(compare([load(record, folder)])) == {"x": "disk full"}


def test_a_repeated_seed_counts_once_and_the_first_one(tmp_path: Path) -> None:
    first = load(*fabricate(tmp_path, "z-first", config=config(), minute=1))
    again = load(*fabricate(tmp_path, "a-again", config=config(), minute=2))
    comparison = compare([again, first])
    assert comparison.tables[0].contenders[0].run_ids == ("z-first",)
    assert reasons(comparison)["a-again"] == (
        "same configuration and seed as z-first, which was first"
    )


def test_no_runs_and_doubled_runs_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one run"):
        compare([])
    evidence = load(*fabricate(tmp_path, "x", config=config()))
    with pytest.raises(UsageError, match="x was given twice"):
        compare([evidence, evidence])


def test_timings_of_different_machines_are_marked_not_averaged(tmp_path: Path) -> None:
    other = dataclasses.replace(MACHINE, host_digest="beef")
    fast = fabricate(tmp_path, "fast", config=config(seed=1), machine=other, images_per_s=4000,
                     minute=1)  # fmt: skip
    mixed = compare([*seeds(tmp_path, "notebook-cnn", GOOD, count=1), load(*fast)])
    row = mixed.tables[0].contenders[0]
    assert row.machines == ("M1", "M2")
    assert row.images_per_s.value is None
    assert row.images_per_s.absent == "its runs were timed on machines or settings that differ"


def test_runs_that_auto_compiled_differently_are_not_timed_together(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path, jit, config=config(seed=seed, jit="auto"),
                  machine=dataclasses.replace(MACHINE, jit=jit))
        for seed, jit in enumerate(("on", "off"))
    ]  # fmt: skip
    (row,) = compare(load(*run) for run in runs).tables[0].contenders
    assert row.seeds == (0, 1)
    assert row.images_per_s.absent == "`--jit auto` compiled only some of its runs"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": "mirrored"}, "strategies: cpu, mirrored"),
        ({"replicas": 2}, "numbers of replicas: 1, 2"),
        ({"devices": ("gpu:0",)}, "kinds of devices: cpu, gpu"),
    ],
)
def test_runs_on_other_devices_have_no_mean_speed(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    runs = [
        fabricate(tmp_path, f"r{seed}", config=config(seed=seed), machine=machine)
        for seed, machine in enumerate((MACHINE, dataclasses.replace(MACHINE, **change)))
    ]
    (row,) = compare(load(*run) for run in runs).tables[0].contenders
    assert row.machines == ("M1",)
    assert row.images_per_s.absent == f"its runs were trained with different {words}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("precision", "mixed_bfloat16"), ("jit", "auto"), ("learning_rate_scaling", "sqrt"),
     ("reference_batch_size", 32)],
)  # fmt: skip
def test_another_precision_compiler_or_scaling_is_another_contender(
    tmp_path: Path, field: str, value: object
) -> None:
    runs = [
        fabricate(tmp_path, f"{n}-{seed}", config=config(seed=seed, **fields))
        for n, fields in enumerate(({}, {field: value}))
        for seed in range(2)
    ]
    (table,) = compare(load(*run) for run in runs).tables
    rows = {row.name: row for row in table.contenders}
    assert set(rows) == {"notebook-cnn defaults", f"notebook-cnn {field}={value}"}
    assert {row.seeds for row in rows.values()} == {(0, 1)}
    option = f" --{field.replace('_', '-')} {value}"
    for name, row in rows.items():
        assert all((option in line) == (value_of(name) == str(value)) for line in row.commands)


def value_of(name: str) -> str:
    return name.rpartition("=")[2]


def test_throughput_of_one_run_varies_over_epochs(tmp_path: Path) -> None:
    (evidence,) = seeds(tmp_path, "a-cnn", GOOD, count=1)
    speed = compare([evidence]).tables[0].contenders[0].images_per_s
    assert (speed.varied, speed.n) == ("epochs", 5)


def test_another_device_on_the_same_machine_may_be_compared(tmp_path: Path) -> None:
    gpu = dataclasses.replace(MACHINE, strategy="gpu", devices=("gpu:0",))
    runs = [fabricate(tmp_path, "cpu", config=config()),
            fabricate(tmp_path, "gpu", config=config(strategy="gpu"), machine=gpu)]  # fmt: skip
    assert compare(load(*run) for run in runs).tables[0].machines == ("M1",)


def test_the_search_and_its_optimism_gap(tmp_path: Path) -> None:
    runs = fabricate_sweep(tmp_path, "s", trials=12)
    (search,) = compare(load(*run) for run in runs).searches
    trials = [r for r, _ in runs if r.role == "trial"]
    finals = [r.value("test_score") or 0 for r, _ in runs if r.role == "final"]
    best = max(r.value("validation_score") or 0 for r in trials if r.status == "finished")
    assert [t.number for t in search.trials] == list(range(12))
    assert (search.count("finished"), search.count("pruned"), search.count("failed")) == (9, 2, 1)
    assert search.varied == ("learning_rate", "class_weight", "box_weight")
    assert search.best is not None
    assert search.best.value == best
    assert search.gap.value == pytest.approx(best - np.mean(finals))
    assert search.gap.low is not None
    assert search.test.high is not None
    assert search.gap.low == pytest.approx(best - search.test.high)


def test_no_optimism_gap_where_the_re_runs_trained_longer(tmp_path: Path) -> None:
    runs = [
        (dataclasses.replace(r, config=dataclasses.replace(r.config, epochs=60)), f)
        if r.role == "final"
        else (r, f)
        for r, f in fabricate_sweep(tmp_path, "s", trials=12)
    ]
    (search,) = summarise_searches([record for record, _ in runs])
    trained = runs[0][0].config.epochs
    assert search.gap.value is None
    assert search.gap.absent == (
        f"no re-run, and the finals were trained otherwise: epochs 60 instead of {trained}"
    )


def test_re_runs_of_an_earlier_best_do_not_count(tmp_path: Path) -> None:
    runs = [record for record, _ in fabricate_sweep(tmp_path, "s", trials=12)]
    (search,) = summarise_searches(runs)
    assert search.best is not None
    other = search.best.number + 1
    finals = [record for record in runs if record.role == "final"]
    stale = [dataclasses.replace(r, run_id=f"old-{r.run_id}", trial=other) for r in finals]
    assert summarise_searches([*runs, *stale]) == (search,)


def test_a_search_cut_short_says_what_is_missing(tmp_path: Path) -> None:
    runs = [run for run in fabricate_sweep(tmp_path, "s", trials=6) if run[0].role == "trial"]
    comparison = compare(load(*run) for run in runs)
    assert comparison.tables == ()
    assert comparison.searches[0].test.value is None
    assert comparison.searches[0].gap.absent == ("it was not trained again to its end")


def test_predictions_that_contradict_the_record_are_not_used(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path, "x", config=config())
    forged = dict(record.measures) | {"test_score": Measure(value=0.999)}
    evidence = load(dataclasses.replace(record, measures=forged), folder)
    assert evidence.outcomes is None
    assert "but its record says 0.99900" in str(evidence.why_none)
    score = compare([evidence]).tables[0].contenders[0].quality["score"]
    assert (score.value, score.low) == (0.999, None)


def test_damaged_and_missing_predictions_are_a_reason(tmp_path: Path) -> None:
    record, folder = fabricate(tmp_path, "x", config=config())
    path = folder / predictions_file("test")
    path.write_bytes(b"not a zip")
    assert load(record, folder).why_none == "its test predictions cannot be read"
    path.unlink()
    assert load(record, folder).why_none == "its test predictions are missing"


def test_other_test_images_give_no_verdict(tmp_path: Path) -> None:
    first = seeds(tmp_path, "a-cnn", GOOD, count=1)
    record, folder = fabricate(tmp_path, "b", config=config("b-cnn"))
    path = folder / predictions_file("test")
    loaded = Predictions.load(path)
    dataclasses.replace(loaded, ids=loaded.ids + 1).save(path)
    later = seeds(tmp_path, "c-cnn", POOR, count=1)
    (table,) = compare([*first, load(record, folder), *later]).tables
    names = [row.name for row in table.contenders]
    absent = {(v.first, v.second): v.absent for v in table.verdicts}
    assert names[-1] == "c-cnn"
    # The better of the first two has set the images that the others must have seen.
    assert "other test images" in str(absent[names[0], names[1]])
    able = [pair for pair, why in absent.items() if why is None]
    assert able == ([("a-cnn", "c-cnn")] if names[0] == "a-cnn" else [])


@pytest.mark.parametrize("count", [1, 2], ids=["one seed", "two seeds"])
def test_a_single_test_image_gives_no_verdict(tmp_path: Path, count: int) -> None:
    photo = dataclasses.replace(DATA, n_test=1)
    runs = [
        fabricate(tmp_path, f"{name}-{seed}", config=config(name, seed=seed), data=photo)
        for name in ("a-cnn", "b-cnn")
        for seed in range(count)
    ]
    (verdict,) = compare(load(*run) for run in runs).tables[0].verdicts
    assert (verdict.measures, verdict.better) == ({}, None)
    assert verdict.absent is not None
    assert re.fullmatch(r"run [ab]-cnn-\d has fewer than 2 test images", verdict.absent)


def test_many_rows_stay_quick_and_have_few_verdicts(tmp_path: Path) -> None:
    (evidence,) = seeds(tmp_path, "a-cnn", GOOD, count=1)
    many = [
        dataclasses.replace(
            evidence,
            record=dataclasses.replace(
                evidence.record, run_id=f"r{n}", config=config("a-cnn", batch_size=n + 1)
            ),
        )
        for n in range(60)
    ]
    (table,) = compare(many).tables
    assert len(table.contenders) == 60
    assert {row.rank for row in table.contenders} == {1}
    assert len(table.verdicts) == 20 * 19 / 2
    assert not any(v.better for v in table.verdicts)
    assert set(table.ranges.values()) == {(1, 60)}
    assert len(table.ranges) == 60, "nobody tested the last 40: they may have any rank too"


def test_a_command_names_what_is_not_default_and_what_depends_on_the_data() -> None:
    assert run_command(RunConfig(dataset="mnist")) == "bench run --epochs 10 --dataset mnist"
    line = run_command(
        RunConfig(learning_rate=3e-05, box_weight=2.5, patience=3, evaluate_test=False,
                  devices="cpu:0,cpu:1", jit="on")
    )  # fmt: skip
    assert shlex.split(line) == [
        "bench", "run", "--learning-rate", "3e-05", "--box-weight", "2.5", "--epochs", "10",
        "--patience", "3", "--dataset", "auto", "--no-test",
        "--devices", "cpu:0,cpu:1", "--jit", "on",
    ]  # fmt: skip


def test_a_run_that_stopped_at_its_target_is_not_ranked_but_can_be_repeated(
    tmp_path: Path,
) -> None:
    record, folder = fabricate(tmp_path, "short", config=config(seed=9), minute=9)
    short = dataclasses.replace(
        record, history=record.history[:2], targets=("score>=0.5", "mean_iou>=0.5"),
        stopped_at_target=True,
    )  # fmt: skip
    found = compare([*seeds(tmp_path, "notebook-cnn", GOOD, count=2), load(short, folder)])
    assert found.tables[0].contenders[0].seeds == (0, 1)
    assert "stopped at its target" in str(reasons(found)["short"])
    assert shlex.split(repeat_command(short))[-5:] == [
        "--target", "score>=0.5", "--target", "mean_iou>=0.5", "--stop-at-target",
    ]  # fmt: skip
    whole = dataclasses.replace(short, history=record.history, stopped_at_target=False)
    assert reasons(compare([load(whole, folder)])) == {"short": None}


def test_a_repeat_names_the_data_that_auto_chose(tmp_path: Path) -> None:
    record, _ = fabricate(tmp_path, "x", config=RunConfig())
    assert repeat_command(record) == "bench run --epochs 10 --dataset mnist"


def test_names_are_short_unless_that_makes_them_equal() -> None:
    def named(*rates: float) -> list[str]:
        return contender_names([RunConfig(learning_rate=rate) for rate in rates])

    assert named(1e-3, 0.004845456843673904) == [
        "notebook-cnn defaults", "notebook-cnn learning_rate=0.004845"
    ]  # fmt: skip
    close = named(0.00484545, 0.00484546)
    assert len(set(close)) == 2
    assert all(name.startswith("notebook-cnn learning_rate=0.0048454") for name in close)


def test_equal_data_in_two_places_is_one_leaderboard_and_one_contender(tmp_path: Path) -> None:
    data = dataclasses.replace(DATA, source="folder", class_names=tuple("abcdefghij"))
    found = compare(
        load(*fabricate(tmp_path, f"r{k}", data=data, config=RunConfig(
            dataset=f"folder:/{place}/pets", seed=k, skip_bad=bool(k))))
        for k, place in enumerate(("here", "there"))
    )  # fmt: skip
    (board,) = found.tables
    assert [sorted(row.run_ids) for row in board.contenders] == [["r0", "r1"]]


def test_other_names_of_classes_are_other_data(tmp_path: Path) -> None:
    found = compare(
        load(*fabricate(tmp_path, name, data=dataclasses.replace(DATA, class_names=names)))
        for name, names in (("a", ()), ("b", tuple("abcdefghij")))
    )
    assert len(found.tables) == 2
