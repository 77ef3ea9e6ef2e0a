"""Several backbones in one command: equal budgets, the tables of single sweeps, few recompiles."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import toy
from toy_sweep import sweep, sweep_all, toy_members, toy_plan

from harness.config import RunConfig
from harness.errors import InterruptedRun, StoreError, SweepError, UsageError
from harness.store import Store
from sweeps.axes import Choice
from sweeps.group import (
    GROUP_FILE,
    SweepGroup,
    check_group,
    member_name,
    read_group,
    settle_group,
)
from sweeps.listeners import EpochDone, RunEnded, SweepOpened
from sweeps.lock import hold_lock
from sweeps.plan import SweepPlan, settle_plan
from sweeps.sampler import TrialRow
from sweeps.space import DEFAULT_SPACE, SearchSpace
from sweeps.study import best_rows, load_table

N = 10
PAIR = toy_members("notebook-cnn", "residual-s")
NAMES = [plan.name for plan in PAIR]
LIKE_FINALS: dict[str, Any] = {"epochs": 6}
SHORT: dict[str, Any] = {"epochs": 3}


class Tape:
    """A tracker and observer that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The tables of one sweep for each backbone, each by a command of its own."""
    root = tmp_path_factory.mktemp("single")
    singles = [dataclasses.replace(p, name=p.base.backbone, group=None) for p in PAIR]
    return [sweep(Store(root), plan, total=N).trials for plan in singles]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_group_gives_the_tables_of_single_sweeps(
    store: Store, undisturbed: list[Any], workers: int
) -> None:
    outcomes = sweep_all(store, PAIR, total=N, workers=workers, delay_s=0.02)
    assert [outcome.trials for outcome in outcomes] == undisturbed
    assert [load_table(store, name)[1] for name in NAMES] == undisturbed
    assert [outcome.total for outcome in outcomes] == [N, N]
    for outcome, plan in zip(outcomes, PAIR, strict=True):
        assert {record.config.backbone for record in outcome.finals} == {plan.base.backbone}
        assert [record.config.seed for record in outcome.finals] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_keep_to_a_backbone(store: Store, workers: int) -> None:
    # Trials that differ in length by chance: nobody has to wait for another.
    sweep_all(store, toy_members("a", "b", finals=0), total=N, workers=workers, delay_s=0.01)
    for jobs in toy.served(store):
        assert switches(jobs) <= 1, "to the other backbone once the own one is done"
    first = {jobs[0] for jobs in toy.served(store)}
    assert len(first) == workers, "each worker begins with a backbone of its own"


def switches(jobs: list[str]) -> int:
    return sum(before != after for before, after in pairwise(jobs))


@pytest.mark.slow
def test_one_worker_trains_one_backbone_after_the_other(store: Store) -> None:
    sweep_all(store, PAIR, total=3, workers=1)
    (jobs,) = toy.served(store)
    a, b = (plan.base.backbone for plan in PAIR)
    # Its finals begin with the backbone that is compiled.
    assert jobs == [a] * 3 + [b] * 3 + [b] * 3 + [a] * 3


@pytest.mark.slow
def test_no_final_begins_before_the_last_search_has_ended(store: Store) -> None:
    tape = Tape()
    sweep_all(store, PAIR, total=4, workers=2, observer=tape)
    roles = [event.task.role for event in tape.events if isinstance(event, RunEnded)]
    assert roles == ["trial"] * 8 + ["final"] * 6


@pytest.mark.slow
def test_a_second_command_does_nothing_and_a_larger_one_goes_on(
    store: Store, undisturbed: list[Any]
) -> None:
    first = sweep_all(store, PAIR, total=3)
    tape = Tape()
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    again = sweep_all(store, PAIR, total=3, observer=tape)
    assert all(outcome.already_done for outcome in again)
    assert [o.finals for o in again] == [o.finals for o in first]
    assert [type(event) for event in tape.events] == [SweepOpened] * 2
    after = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"lock"}
    assert [o.trials for o in sweep_all(store, PAIR, total=N)] == undisturbed


@pytest.mark.slow
def test_the_tracker_hears_of_the_group_first_and_last(store: Store) -> None:
    tape = Tape()
    outcomes = sweep_all(store, PAIR, total=1, tracker=tape)
    names = [call[0] for call in tape.calls]
    assert names[:4] == ["open_group", "open_sweep", "open_sweep", "reconcile"]
    group = SweepGroup.of(PAIR)
    assert tape.calls[0] == ("open_group", group)
    assert tape.calls[-3:] == [
        ("close_sweep", "finished", outcomes[0]), ("close_sweep", "finished", outcomes[1]),
        ("close_group", group, "finished"),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_signal_ends_every_member_in_good_order(store: Store, undisturbed: list[Any]) -> None:
    tape = Tape()

    def stop_it(event: Any) -> None:
        if isinstance(event, EpochDone) and event.task.trial == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRun):
        sweep_all(store, PAIR, total=N, tracker=tape, observer=stop_it, delay_s=0.05)
    ends = [call[:2] for call in tape.calls if call[0] == "close_sweep"]
    assert ends == [("close_sweep", "interrupted")] * 2
    assert tape.calls[-1][2] == "interrupted"
    assert [o.trials for o in sweep_all(store, PAIR, total=N)] == undisturbed


@pytest.mark.slow
def test_a_killed_coordinator_changes_no_table(store: Store, undisturbed: list[Any]) -> None:
    wish = {"backbones": ["notebook-cnn", "residual-s"], "total": N, "workers": 4,
            "delay_s": 0.1}  # fmt: skip
    script = Path(__file__).with_name("toy_sweep.py")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    for ended in (3, 9):
        process = subprocess.Popen(
            [sys.executable, script, store.root, json.dumps(wish)],
            env=os.environ | {"PYTHONPATH": path},
        )
        deadline = time.monotonic() + 60
        while len(list(store.root.glob("runs/*-t???/record.json"))) < ended:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
    outcomes = sweep_all(store, PAIR, total=N, workers=2)
    assert [outcome.trials for outcome in outcomes] == undisturbed
    assert len(list(store.records())) == 2 * (N + 3)


@pytest.mark.slow
def test_one_command_at_a_time_and_members_go_nowhere_alone(store: Store) -> None:
    for name in ("toys", NAMES[1]):
        with hold_lock(store.sweep_dir(name)), pytest.raises(SweepError, match="running"):
            sweep_all(store, PAIR, total=1)
    sweep_all(store, PAIR, total=1)
    alone = dataclasses.replace(PAIR[0], group=None)
    with pytest.raises(SweepError, match=r"`group` is None \(was 'toys'\)"):
        sweep(store, alone, total=2)
    with pytest.raises(SweepError, match="'toys' is the name of a group"):
        sweep(store, toy_plan(name="toys"), total=1)
    assert load_table(store, NAMES[0])[1][1:] == ()


@pytest.mark.slow
def test_the_best_few_are_trained_again_and_what_is_there_stays(store: Store) -> None:
    plan = toy_plan(trial_overrides=SHORT)
    one = sweep(store, plan, total=6)
    kept = {p: p.stat().st_mtime_ns for p in store.root.rglob("record.json")}
    three = sweep(store, plan, total=6, top=3)
    best = [row.number for row in best_rows(plan, three.trials, 3)]
    ids = [f"toy-t{n:03d}-s{k}" for n in best for k in (1, 2, 3)]
    assert [record.run_id for record in three.finals] == ids
    assert three.finals[:3] == one.finals
    assert three.reruns == one.reruns
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert sweep(store, plan, total=6, top=3).already_done
    assert len(sweep(store, plan, total=6).finals) == 3, "fewer are shown, none is removed"
    with pytest.raises(UsageError, match="trials to train again must be at least 1"):
        sweep(store, plan, total=6, top=0)


@pytest.mark.slow
def test_the_best_trial_is_repeated_like_for_like(store: Store) -> None:
    plan = toy_plan(trial_overrides=SHORT)
    outcome = sweep(store, plan, total=4)
    assert outcome.best is not None
    trial = plan.trial_task(outcome.best.number, outcome.best.params).config
    for k, record in enumerate(outcome.reruns, start=1):
        assert record.run_id == f"toy-t{outcome.best.number:03d}-r{k}"
        assert record.role == "rerun"
        assert record.config == dataclasses.replace(trial, seed=k, evaluate_test=True)
    assert [len(record.history) for record in outcome.reruns] == [3, 3, 3]
    assert [len(record.history) for record in outcome.finals] == [6, 6, 6]


@pytest.mark.slow
def test_finals_that_train_like_trials_are_their_own_re_runs(store: Store) -> None:
    outcome = sweep(store, toy_plan(trial_overrides=LIKE_FINALS), total=2)
    assert len(outcome.finals) == 3
    assert outcome.reruns == ()


def test_equal_params_are_trained_again_once() -> None:
    space = SearchSpace(axes=(Choice(name="depth", values=(1, 2)),))
    plan = toy_plan(space=space)
    rows = [row(0, 1, 0.5), row(1, 1, 0.7), row(2, 2, 0.6), row(3, 1, 0.7)]
    assert [r.number for r in best_rows(plan, rows, 3)] == [1, 2]


def row(number: int, depth: int, value: float) -> TrialRow:
    return TrialRow(number=number, status="finished", params={"depth": depth}, value=value)


def test_budgets_are_equal_by_construction() -> None:
    assert {plan.trial_budget(100) for plan in PAIR} == {600}
    short = toy_plan(trial_overrides={"epochs": 2, "train_examples": 30})
    assert short.trial_budget(100) == 60
    space = SearchSpace(axes=(Choice(name="depth", values=(1, 2)), *DEFAULT_SPACE.axes))
    SweepGroup.of([PAIR[0], dataclasses.replace(PAIR[1], space=space)])
    longer = dataclasses.replace(PAIR[1], trial_overrides={"epochs": 9})
    other = dataclasses.replace(PAIR[1], base=RunConfig(epochs=9, backbone="residual-s"))
    for unequal in (longer, other):
        with pytest.raises(ValueError, match="must be searched alike"):
            SweepGroup.of([PAIR[0], unequal])
    with pytest.raises(ValueError, match="at least two sweeps"):
        SweepGroup.of(PAIR[:1])


def test_a_group_is_found_again_as_it_was(tmp_path: Path) -> None:
    group = SweepGroup.of(PAIR)
    assert not check_group(group, tmp_path)
    settle_group(group, tmp_path)
    settle_group(group, tmp_path)
    assert read_group(tmp_path) == group
    more = SweepGroup.of(toy_members("notebook-cnn", "residual-s", "patch-s"))
    with pytest.raises(SweepError, match="with the backbones notebook-cnn, residual-s, but now"):
        settle_group(more, tmp_path)


def test_a_sweep_keeps_its_name_to_itself(tmp_path: Path) -> None:
    settle_plan(toy_plan(), tmp_path)
    with pytest.raises(SweepError, match="name of a sweep of one backbone already"):
        settle_group(SweepGroup.of(PAIR), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 9}', '{"version": 1, "name": "x"}'])
def test_a_damaged_group_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / GROUP_FILE).write_text(text)
    with pytest.raises(StoreError, match=r"group\.json"):
        read_group(tmp_path)


def test_names_of_members_are_safe_and_apart() -> None:
    assert member_name("g", "keras/MobileNetV2") == "g.keras-MobileNetV2"
    assert member_name("g", "mine.nets:deep") == "g.mine.nets-deep"
    with pytest.raises(UsageError, match="read alike in a file name"):
        SweepGroup.of(toy_members("mine:net", "mine/net"))


def test_a_plan_outside_of_groups_reads_as_ever() -> None:
    plan = toy_plan()
    assert "group" not in plan.to_json()
    member = PAIR[0]
    assert member.to_json()["group"] == "toys"
    assert SweepPlan.from_json(member.to_json()) == member
    assert SweepPlan.from_json(plan.to_json()) == plan


def test_a_plug_in_may_stand_beside_a_net_of_ours() -> None:
    first, second = PAIR
    mixed = [first, dataclasses.replace(second, code="0.1.0+12345678 fancynets 9abcdef0")]
    assert list(SweepGroup.of(mixed).members) == [plan.name for plan in PAIR]
    with pytest.raises(ValueError, match="pruner"):
        SweepGroup.of([first, dataclasses.replace(second, pruner="none")])
