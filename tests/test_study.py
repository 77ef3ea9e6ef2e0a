import dataclasses
import json
import os
from pathlib import Path

import optuna
import pytest
from toy_sweep import toy_plan

from harness.config import RunConfig
from harness.errors import StoreError, SweepError, UsageError
from harness.record import EpochPoint, Measure, RunRecord
from harness.store import Store
from sweeps.axes import Choice, Range
from sweeps.lock import hold_lock
from sweeps.plan import SweepPlan, read_plan, settle_plan
from sweeps.sampler import TrialRow
from sweeps.space import DEFAULT_SPACE, SearchSpace
from sweeps.study import JOURNAL_FILE, SweepStudy, best_row, load_table

PLAN = toy_plan()
GOLDEN = Path(__file__).parent / "golden" / "sweep.v1.json"
MIXED = SearchSpace(
    axes=(
        Choice(name="head", values=("soft-argmax", "pooled", "dense")),
        Choice(name="width", values=(1.0, 0.5, 0.25)),
        Choice(name="depth", values=(1, 2, 3)),
        Choice(name="batch_size", values=(16, 32, 64)),
        Range(name="learning_rate", low=1e-4, high=0.1, log=True),
    )
)
PARAMS = {"learning_rate": 0.001, "class_weight": 2.0, "box_weight": 3.0}


def record(number, status="finished", *, value=0.4, reason=None):
    task = PLAN.trial_task(number, PARAMS)
    history = tuple(
        EpochPoint(epoch=e, images=1, train_s=0.0, metrics={"validation_score": e / 10})
        for e in (1, 2, 3)
    )
    return RunRecord(
        run_id=task.run_id, role="trial", sweep="toy", trial=number, config=task.config,
        status=status, reason=reason, started_at="2026-01-01T00:00:00+00:00", duration_s=1.0,
        history=history, measures={"validation_score": Measure(value=value)},
    )  # fmt: skip


def row(number, value, status="finished"):
    return TrialRow(number=number, status=status, params=PARAMS, value=value)


def test_rows_survive_the_process(tmp_path):
    study = SweepStudy(PLAN, tmp_path)
    for number in range(4):
        study.begin(number, PARAMS)
    study.end(0, record(0))
    study.end(1, record(1, "pruned"))
    study.end(2, record(2, "failed", reason="out of memory"))
    curve = ((1, 0.1), (2, 0.2), (3, 0.3))
    assert SweepStudy(PLAN, tmp_path).rows() == [
        TrialRow(number=0, status="finished", params=PARAMS, value=0.4, curve=curve),
        TrialRow(number=1, status="pruned", params=PARAMS, value=0.3, curve=curve),
        TrialRow(
            number=2, status="failed", params=PARAMS, curve=curve, reason="out of memory"
        ),
        TrialRow(number=3, status="running", params=PARAMS),
    ]  # fmt: skip


def test_attempts_are_counted_in_place(tmp_path):
    study = SweepStudy(PLAN, tmp_path)
    first = study.begin(0, PARAMS)
    assert study.count_attempt(study.count_attempt(first)).attempts == 2
    assert [r.attempts for r in SweepStudy(PLAN, tmp_path).rows()] == [2]


def test_optuna_itself_reads_the_study(tmp_path):
    study = SweepStudy(PLAN, tmp_path)
    study.begin(0, PARAMS)
    study.end(0, record(0))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL_FILE))
    loaded = optuna.load_study(study_name="toy", storage=optuna.storages.JournalStorage(backend))
    assert (loaded.best_value, loaded.best_params) == (0.4, PARAMS)


def test_rows_of_several_objectives_survive_the_process(tmp_path):
    plan = toy_plan(objectives=("score", "images_per_s"), pruner="none")
    measures = {"validation_score": Measure(value=0.4), "images_per_s": Measure(value=50.0)}
    history = tuple(
        EpochPoint(epoch=e, images=100, train_s=2.0, metrics={"validation_score": e / 10})
        for e in (1, 2)
    )
    study = SweepStudy(plan, tmp_path)
    study.begin(0, PARAMS)
    study.end(0, dataclasses.replace(record(0), measures=measures, history=history))
    (found,) = SweepStudy(plan, tmp_path).rows()
    assert found.values == (0.4, 50.0)
    assert found.curves == (((1, 0.1), (2, 0.2)), ((1, 50.0), (2, 50.0)))


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_costs_only_itself(tmp_path, cut):
    study = SweepStudy(PLAN, tmp_path)
    study.begin(0, PARAMS)
    path = tmp_path / JOURNAL_FILE
    whole = path.read_bytes()
    study.begin(1, PARAMS)
    path.write_bytes(path.read_bytes()[:-cut])
    healed = SweepStudy(PLAN, tmp_path)
    assert path.read_bytes() == whole
    healed.begin(1, PARAMS)
    assert len(SweepStudy(PLAN, tmp_path).rows()) == 2


def test_a_stale_lock_of_optuna_delays_nobody(tmp_path):
    SweepStudy(PLAN, tmp_path).begin(0, PARAMS)
    stale = tmp_path / f"{JOURNAL_FILE}.lock"
    stale.touch()
    # Optuna alone would wait 30 s for it.
    SweepStudy(PLAN, tmp_path).begin(1, PARAMS)
    assert not stale.exists()


def test_a_damaged_journal_is_named(tmp_path):
    study = SweepStudy(PLAN, tmp_path)
    study.begin(0, PARAMS)
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(b"{half a line\n" + path.read_bytes())
    with pytest.raises(StoreError, match=rf"{JOURNAL_FILE} must be a journal"):
        SweepStudy(PLAN, tmp_path)


def test_the_best_row_finished_and_came_first():
    rows = [row(0, 0.9, "pruned"), row(1, 0.5), row(2, 0.7), row(3, 0.7), row(4, None, "failed")]
    assert best_row(PLAN, rows).number == 2
    assert best_row(toy_plan(objectives=("cross_entropy",)), rows).number == 1
    assert best_row(PLAN, rows[:1]) is None


def test_the_table_can_be_read_without_the_lock(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="no sweep 'toy'"):
        load_table(store, "toy")
    folder = store.sweep_dir("toy")
    with hold_lock(folder):
        settle_plan(PLAN, folder)
        assert load_table(store, "toy") == (PLAN, ())
        SweepStudy(PLAN, folder).begin(0, PARAMS)
        plan, rows = load_table(store, "toy")
    assert (plan, len(rows)) == (PLAN, 1)


def test_one_process_holds_the_lock(tmp_path):
    refused = pytest.raises(SweepError, match=rf"process {os.getpid()} is running")
    with hold_lock(tmp_path), refused, hold_lock(tmp_path):
        pass
    with hold_lock(tmp_path):
        pass


def test_a_plan_is_found_again_as_it_was(tmp_path):
    plan = toy_plan(trial_overrides={"epochs": 3, "patience": None}, lookahead=2)
    assert settle_plan(plan, tmp_path) is False
    assert settle_plan(plan, tmp_path) is True
    assert read_plan(tmp_path) == plan


def test_a_mixed_plan_is_found_again_as_it_was(tmp_path):
    plan = toy_plan(space=MIXED)
    assert settle_plan(plan, tmp_path) is False
    assert settle_plan(plan, tmp_path) is True
    assert read_plan(tmp_path) == plan


def test_the_golden_plan_of_version_1_is_read():
    """Written before there were choices, and before width, depth and heads."""
    plan = SweepPlan.from_json(json.loads(GOLDEN.read_text(encoding="utf-8")))
    batches = Range(name="batch_size", low=16, high=64, step=16)
    assert plan.space == SearchSpace(axes=(*DEFAULT_SPACE.axes, batches))
    assert plan.base == RunConfig(epochs=60, dataset="digits", threads=1)
    assert (plan.trial_overrides, plan.finals) == ({"epochs": 18, "train_examples": None}, 3)


def test_params_keep_their_types_on_disk(tmp_path):
    plan = toy_plan(space=MIXED)
    params = {"head": "pooled", "width": 1.0, "depth": 2, "batch_size": 32, "learning_rate": 0.01}
    study = SweepStudy(plan, tmp_path)
    study.begin(0, params)
    study.end(0, record(0))
    (found,) = SweepStudy(plan, tmp_path).rows()
    assert found.params == params
    assert {n: type(v) for n, v in found.params.items()} == {n: type(params[n]) for n in params}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 5}, r"`seed` is 5 \(was 0\)"),
        ({"oom_backoff": True}, r"`oom_backoff` is True \(was False\)"),
        ({"lookahead": 2}, r"`lookahead` is 2 \(was 4\)"),
        ({"data_digest": "feed"}, r"`data_digest` is 'feed' \(was '0123456789abcdef'\)"),
        ({"base": RunConfig(epochs=9)}, r"`base.epochs` is 9 \(was 6\)"),
        ({"trial_overrides": {"epochs": 3}}, r"`trial_overrides.epochs` is 3 \(was None\)"),
        (
            {"space": SearchSpace(axes=DEFAULT_SPACE.axes[1:])},
            r"`space.learning_rate` is None",
        ),
        (
            {
                "space": SearchSpace(
                    axes=(*DEFAULT_SPACE.axes, Choice(name="depth", values=(1, 2)))
                )
            },
            r"`space.depth` is {'values': \[1, 2\]} \(was None\)",
        ),
        (
            {
                "space": SearchSpace(
                    axes=(
                        Range(name="learning_rate", low=1e-5, high=1e-2, log=True),
                        *DEFAULT_SPACE.axes[1:],
                    )
                )
            },
            r"`space.learning_rate.low` is 1e-05 \(was 0.0001\).*--name",
        ),
    ],
)
def test_another_plan_is_refused_and_the_difference_named(tmp_path, change, words):
    settle_plan(PLAN, tmp_path)
    with pytest.raises(SweepError, match=words):
        settle_plan(toy_plan(**change), tmp_path)
    assert read_plan(tmp_path) == PLAN


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../up"}, "name must be"),
        ({"name": ""}, "name must be"),
        ({"objectives": ("scor",)}, "Did you mean 'score'"),
        ({"objectives": ("score", "mflops")}, "--pruner dominance"),
        ({"sampler": "tpa"}, "Did you mean 'tpe'"),
        ({"pruner": "medium"}, "Did you mean 'median'"),
        ({"lookahead": 0}, "lookahead must be from 1"),
        ({"finals": -1}, "number of finals"),
        ({"seed": -1}, "seed of the sweep"),
        ({"trial_overrides": {"learning_rate": 0.1}}, "`learning_rate` is set by the sweep"),
        ({"trial_overrides": {"evaluate_test": True}}, "`evaluate_test` is set by the sweep"),
        ({"final_overrides": {"epochs": 0}}, "`epochs` must be at least 1"),
        (
            {
                "space": SearchSpace(
                    axes=(
                        Choice(name="class_weight", values=(1, 0)),
                        Choice(name="box_weight", values=(0, 1)),
                    )
                )
            },
            "must not both be 0",
        ),
    ],
)
def test_unfit_plans_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        toy_plan(**change)


def test_trials_never_open_the_test_split_and_finals_do():
    assert PLAN.trial_task(0, PARAMS).config.evaluate_test is False
    finals = [PLAN.final_task(0, PARAMS, k).config for k in (1, 2, 3)]
    assert all(config.evaluate_test for config in finals)
    assert len({PLAN.base.seed, *(config.seed for config in finals)}) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 99}, r"must have version 1 or \d+, got 99\. If another release"),
        ({"lookbehind": 4}, r"but has 'lookbehind'\. If another release"),
        ({"base": None}, r"must hold 'base', but does not\. If another release"),
        ({"lookahead": 0}, r"no description of a sweep: The lookahead must .+ got 0\. If another"),
        ({"seed": []}, r"no description of a sweep: The seed .+ got \[\]\. If another release"),
    ],
)
def test_a_plan_of_another_release_is_told_in_one_line(tmp_path, change, words):
    values = {**PLAN.to_json(), **change}
    values = {name: value for name, value in values.items() if value is not None}
    (tmp_path / "sweep.json").write_text(json.dumps(values))
    with pytest.raises(StoreError, match=words) as error:
        settle_plan(PLAN, tmp_path)
    assert ".." not in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("or start another sweep with --new or --name.")


def test_other_code_is_refused_with_the_way_back(tmp_path):
    settle_plan(toy_plan(code="0.1.0+11111111"), tmp_path)
    with pytest.raises(SweepError) as error:
        settle_plan(toy_plan(code="0.1.0+22222222"), tmp_path)
    assert str(error.value) == (
        "Sweep 'toy' must go on as it began, but now `code` is '0.1.0+22222222' (was "
        "'0.1.0+11111111'). Give the original value (of `code`: that release or checkout of bench "
        "and its plug-ins), or start another sweep with --new or --name."
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_damaged_plan_is_named(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(StoreError, match=r"sweep\.json"):
        read_plan(tmp_path)


def test_plans_are_readable_json(tmp_path):
    settle_plan(PLAN, tmp_path)
    values = json.loads((tmp_path / "sweep.json").read_text())
    assert values["space"]["box_weight"] == {"low": 0.1, "high": 100.0, "log": True, "step": None}
