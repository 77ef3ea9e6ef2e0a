import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import toy
from records import DATA
from toy import pids
from toy_sweep import sweep, toy_plan

from harness.errors import BenchError, InterruptedRun, StoreError, SweepError, UsageError
from harness.goal import dominates
from harness.store import Store
from sweeps.axes import Choice, Range
from sweeps.coordinator import run_sweep
from sweeps.listeners import EpochDone, RunEnded, RunStarted, SweepOpened, WorkerDied
from sweeps.lock import hold_lock
from sweeps.plan import settle_plan
from sweeps.pool import LocalPool
from sweeps.space import DEFAULT_SPACE, SearchSpace
from sweeps.study import JOURNAL_FILE, SweepStudy, load_table

pytestmark = pytest.mark.slow

PLAN = toy_plan()
N = 16


class Tape:
    """A tracker and observer that keeps what it was told."""

    def __init__(self):
        self.calls, self.events = [], []

    def __call__(self, event):
        self.events.append(event)

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The table that any way of running the sweep must give."""
    return sweep(Store(tmp_path_factory.mktemp("calm")), PLAN, total=N, workers=1).trials


def test_every_row_ends_and_some_are_pruned(undisturbed):
    assert [row.number for row in undisturbed] == list(range(N))
    assert {row.status for row in undisturbed} == {"finished", "pruned"}
    assert all(row.epochs < 6 for row in undisturbed if row.status == "pruned")


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_workers_and_delays_do_not_change_the_table(store, undisturbed, workers):
    assert sweep(store, PLAN, total=N, workers=workers, delay_s=0.02).trials == undisturbed


def test_a_mixed_space_gives_one_table_and_fails_only_what_cannot_be_built(store):
    plan = toy_plan(
        space=SearchSpace(
            axes=(
                Choice(name="head", values=("pooled", "dense", "soft-argmax")),
                Range(name="width", low=0.25, high=4.0, log=True),
                Choice(name="depth", values=(1, 2, 3)),
                *DEFAULT_SPACE.axes,
                Choice(name="batch_size", values=(16, 32, 64)),
            )
        )
    )
    tables = [
        sweep(Store(store.root / str(workers)), plan, total=N, workers=workers, delay_s=0.01)
        for workers in (1, 2, 4)
    ]
    rows = tables[0].trials
    assert [table.trials for table in tables[1:]] == [rows, rows]
    unbuildable = {row.number for row in rows if row.params["depth"] == 3}
    assert unbuildable
    assert {row.number for row in rows if row.status == "failed"} == unbuildable
    assert all("needs a map" in rows[number].reason for number in unbuildable)
    assert {record.config.head for record in tables[0].finals} == {tables[0].best.params["head"]}


def test_a_conditional_space_gives_one_table(store):
    plan = toy_plan(
        space=SearchSpace(
            axes=(
                Choice(name="backbone", values=("notebook-cnn", "residual-s")),
                Choice(name="depth", values=(1, 2), only_for=("residual-s",)),
                *DEFAULT_SPACE.axes,
            )
        )
    )
    tables = [
        sweep(Store(store.root / str(workers)), plan, total=N, workers=workers, delay_s=0.01)
        for workers in (1, 4)
    ]
    rows = tables[0].trials
    assert tables[1].trials == rows
    assert {row.params["backbone"] for row in rows} == {"notebook-cnn", "residual-s"}
    for row in rows:
        assert ("depth" in row.params) == (row.params["backbone"] == "residual-s")
        config = plan.trial_task(row.number, row.params).config
        assert (config.depth is None) == (config.backbone == "notebook-cnn")


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("random", "percentile"), ("qmc", "median"), ("cmaes", "hyperband"), ("grid", "none")],
)
def test_every_sampler_and_pruner_gives_one_table(store, sampler, pruner):
    grid = tuple(
        Choice(name=axis.name, values=(axis.low, 1e-3, axis.high)) for axis in DEFAULT_SPACE.axes
    )
    space = SearchSpace(axes=grid) if sampler == "grid" else DEFAULT_SPACE
    plan = toy_plan(sampler=sampler, pruner=pruner, space=space, finals=0)
    tables = []
    for workers, totals in ((1, [24]), (2, [9, 24]), (4, [24])):  # two workers resume once
        for total in totals:
            here = Store(store.root / str(workers))
            outcome = sweep(here, plan, total=total, workers=workers, delay_s=0.01)
        tables.append(outcome.trials)
    assert tables[1:] == [tables[0], tables[0]]
    assert len({tuple(row.params.items()) for row in tables[0]}) == 24
    assert ("pruned" in {row.status for row in tables[0]}) == (pruner != "none")


def test_a_larger_lookahead_lets_more_workers_be_busy(store):
    plan = toy_plan(lookahead=6, finals=0)
    tables = [
        sweep(Store(store.root / str(workers)), plan, total=N, workers=workers, delay_s=0.01)
        for workers in (1, 6)
    ]
    assert tables[0].trials == tables[1].trials
    assert tables[0].trials != sweep(store, PLAN, total=N).trials


def test_a_grid_has_no_more_trials_than_combinations(store):
    axes = (Choice(name="depth", values=(1, 2)), Choice(name="head", values=("dense", "pooled")))
    plan = toy_plan(sampler="grid", space=SearchSpace(axes=axes), finals=0)
    with pytest.raises(UsageError, match=r"make 4 combinations, .* at most 4 trials, got 5"):
        sweep(store, plan, total=5)
    rows = sweep(store, plan, total=4).trials
    assert {tuple(row.params.values()) for row in rows} == {
        (1, "dense"), (1, "pooled"), (2, "dense"), (2, "pooled"),
    }  # fmt: skip


def test_growing_in_steps_does_not_change_the_table(store, undisturbed):
    for total in (1, 5, 6, N):
        outcome = sweep(store, PLAN, total=total)
    assert outcome.trials == undisturbed


def test_a_second_command_does_nothing_and_says_so(store):
    first = sweep(store, PLAN, total=3)
    tape = Tape()
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    again = sweep(store, PLAN, total=3, tracker=tape, observer=tape)
    assert again.already_done
    assert "nothing was left to do" in again.notes[0]
    assert (again.trials, again.best, again.finals) == (first.trials, first.best, first.finals)
    assert [type(event) for event in tape.events] == [SweepOpened]
    after = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {"lock"}


def test_fewer_trials_than_there_are_remove_none(store):
    first = sweep(store, PLAN, total=4)
    fewer = sweep(store, PLAN, total=2)
    assert fewer.trials == first.trials
    assert "holds 4 trials, more than the 2 asked for" in fewer.notes[0]


def test_the_best_is_trained_again_with_new_seeds(store):
    outcome = sweep(store, PLAN, total=5)
    assert outcome.best.value == max(r.value for r in outcome.trials if r.status == "finished")
    assert [r.run_id for r in outcome.finals] == [
        f"toy-t{outcome.best.number:03d}-s{k}" for k in (1, 2, 3)
    ]
    assert [r.config.seed for r in outcome.finals] == [1, 2, 3]
    for record in outcome.finals:
        assert record.role == "final"
        assert record.config.evaluate_test
        assert record.config.learning_rate == outcome.best.params["learning_rate"]
        assert store.read_record(record.run_id) == record


def test_a_lost_final_is_made_again_and_no_other(store):
    run_id = sweep(store, PLAN, total=2).finals[1].run_id
    (store.run_dir(run_id) / "record.json").unlink()
    tape = Tape()
    assert not sweep(store, PLAN, total=2, tracker=tape).already_done
    assert [task.run_id for (task,) in tape.named("begin")] == [run_id]


def test_the_tracker_hears_the_whole_story(store):
    tape = Tape()
    outcome = sweep(store, PLAN, total=2, workers=1, tracker=tape, observer=tape)
    names = [call[0] for call in tape.calls]
    one = ["begin", *["epoch"] * 6, "finish"]
    assert names == ["open_sweep", "reconcile", *one * 5, "close_sweep"]
    assert tape.named("close_sweep") == [("finished", outcome)]
    kinds = [type(event) for event in tape.events]
    assert kinds == [SweepOpened, *[RunStarted, *[EpochDone] * 6, RunEnded] * 5]
    assert tuple(e.row for e in tape.events[1:] if isinstance(e, RunEnded) and e.row) == (
        outcome.trials
    )


def test_the_next_command_hands_over_what_ended(store):
    sweep(store, PLAN, total=2)
    tape = Tape()
    sweep(store, PLAN, total=2, tracker=tape)
    ((records,),) = tape.named("reconcile")
    assert sorted(r.run_id for r in records) == sorted(r.run_id for r in store.records())
    assert len(records) == 5


def test_a_crash_is_tried_again_in_place(store, undisturbed):
    tape = Tape()
    outcome = sweep(store, PLAN, total=N, faults={"3": "crash once"}, observer=tape)
    assert outcome.trials == undisturbed
    assert [row.attempts for row in outcome.trials] == [0, 0, 0, 1] + [0] * (N - 4)
    (died,) = [event for event in tape.events if isinstance(event, WorkerDied)]
    assert died.task.trial == 3


def test_three_crashes_fail_the_trial_and_the_rest_go_on(store):
    outcome = sweep(store, PLAN, total=6, faults={"2": "crash"})
    assert [row.status for row in outcome.trials].count("failed") == 1
    row = outcome.trials[2]
    assert (row.status, row.attempts) == ("failed", 3)
    assert "SIGKILL" in row.reason
    assert "a last word before the crash" in row.reason
    record = store.read_record("toy-t002")
    assert (record.status, record.reason) == ("failed", row.reason)
    assert [point.epoch for point in record.history] == [1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", "RuntimeError: the toy broke"),
        ("no score", "needs a finite validation_score, but its is None"),
        ("no record", "must write a record"),
    ],
)
def test_failures_are_results(store, fault, words):
    outcome = sweep(store, PLAN, total=3, faults={"1": fault})
    assert [row.status for row in outcome.trials] == ["finished", "failed", "finished"]
    assert words in outcome.trials[1].reason
    record = store.read_record("toy-t001")
    assert (record.status, record.reason) == ("failed", outcome.trials[1].reason)
    assert ("the toy broke" in (record.traceback or "")) == (fault == "raise")


def test_a_sweep_without_a_finished_trial_has_no_best(store):
    outcome = sweep(store, PLAN, total=2, faults={"0": "raise", "1": "raise"})
    assert outcome.best is None
    assert outcome.finals == ()
    assert "No trial finished" in outcome.notes[-1]


def test_a_record_on_disk_is_not_trained_again(store):
    tape = Tape()
    faults = {"1": "crash after the record"}
    outcome = sweep(store, PLAN, total=2, faults=faults, tracker=tape)
    assert [row.status for row in outcome.trials] == ["finished", "finished"]
    assert [task.run_id for (task,) in tape.named("begin")].count("toy-t001") == 1


def test_a_row_left_running_is_told_from_its_record(store):
    other = Store(store.root / "other")
    done = sweep(other, PLAN, total=1)
    folder = store.sweep_dir("toy")
    with hold_lock(folder):
        settle_plan(PLAN, folder)
        SweepStudy(PLAN, folder).begin(0, dict(done.trials[0].params))
    store.write_record(other.read_record("toy-t000"))
    tape = Tape()
    assert sweep(store, PLAN, total=1, tracker=tape).trials == done.trials
    assert "toy-t000" not in [task.run_id for (task,) in tape.named("begin")]


def test_data_that_changed_underneath_fails_the_trial(store):
    # The toy's records name no data; give one of them other data, as if the folder had changed.
    other = Store(store.root / "other")
    done = sweep(other, PLAN, total=1)
    folder = store.sweep_dir("toy")
    with hold_lock(folder):
        settle_plan(PLAN, folder)
        SweepStudy(PLAN, folder).begin(0, dict(done.trials[0].params))
    store.write_record(dataclasses.replace(other.read_record("toy-t000"), data=DATA))
    (row,) = sweep(store, PLAN, total=1).trials
    assert row.status == "failed"
    assert f"{DATA.digest} instead of {PLAN.data_digest}" in row.reason


def test_a_torn_journal_goes_on(store, undisturbed):
    sweep(store, PLAN, total=9)
    path = store.sweep_dir("toy") / JOURNAL_FILE
    path.write_bytes(path.read_bytes()[:-7])
    assert sweep(store, PLAN, total=N).trials == undisturbed


def test_a_changed_plan_starts_nothing(store):
    sweep(store, PLAN, total=1)
    with pytest.raises(SweepError, match=r"`seed` is 1 \(was 0\)"):
        sweep(store, toy_plan(seed=1), total=2)
    assert len(load_table(store, "toy")[1]) == 1


def test_a_new_sweep_overwrites_no_run(store):
    sweep(store, PLAN, total=1)
    for path in store.sweep_dir("toy").iterdir():
        path.unlink()
    with pytest.raises(SweepError, match="must not overwrite runs"):
        sweep(store, PLAN, total=1)


def test_a_second_coordinator_is_refused(store):
    with hold_lock(store.sweep_dir("toy")), pytest.raises(SweepError, match=str(os.getpid())):
        sweep(store, PLAN, total=1)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"total": 0}, "trials must be at least 1, got 0"),
        ({"total": 1, "workers": 0}, "workers must be at least 1"),
        ({"total": 1, "workers": 5}, "At most 4 workers"),
        ({"total": 1, "attempts": 0}, "attempts must be at least 1"),
    ],
)
def test_unfit_numbers_start_nothing(store, numbers, words):
    with pytest.raises(UsageError, match=words):
        sweep(store, PLAN, **numbers)
    assert not store.sweep_dir("toy").exists()


def test_a_store_that_fails_in_a_worker_stops_the_sweep(store, undisturbed):
    tape = Tape()
    blocked = store.run_dir("toy-t002")
    blocked.parent.mkdir(parents=True)
    blocked.touch()  # a file where the folder of the run should be: as final as a full disk
    with pytest.raises(StoreError, match="toy-t002"):
        sweep(store, PLAN, total=N, tracker=tape)
    assert tape.named("close_sweep")[0][0] == "failed"
    blocked.unlink()
    assert sweep(store, PLAN, total=N).trials == undisturbed


def test_workers_that_cannot_start_stop_the_sweep(store):
    pool = partial(LocalPool, execute="no_such:execute", log_dir=store.sweep_dir("toy"))
    with pytest.raises(BenchError, match="able to start"):
        run_sweep(PLAN, total=1, workers=1, store=store, start_pool=pool)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(store, undisturbed, number):
    tape = Tape()

    def stop_it(event):
        if isinstance(event, EpochDone) and event.task.trial == 2:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(InterruptedRun, match=f"Stopped by {number.name}"):
        sweep(store, PLAN, total=N, tracker=tape, observer=stop_it, delay_s=0.05)
    assert signal.getsignal(number) is before
    assert tape.named("close_sweep")[0][0] == "interrupted"
    interrupted = [r for (r,) in tape.named("finish") if r.status == "interrupted"]
    assert interrupted
    assert all(store.read_record(record.run_id) == record for record in interrupted)
    assert sweep(store, PLAN, total=N).trials == undisturbed


def test_orphans_end_with_a_killed_coordinator(store):
    script = Path(__file__).with_name("toy_sweep.py")
    wish = json.dumps({"total": 4, "workers": 2, "faults": {"0": "hang", "1": "hang"}})
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)
    }
    process = subprocess.Popen([sys.executable, script, store.root, wish], env=environment)
    wait(lambda: len(pids(store)) == 2)
    process.kill()
    process.wait()
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids(store)))


def wait(condition, limit_s=20.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


TWO = toy_plan(objectives=("score", "mean_iou"), pruner="dominance", finals=1)


@pytest.mark.parametrize("workers", [2, 4])
def test_several_objectives_give_one_table_and_a_front(tmp_path, workers):
    alone = sweep(Store(tmp_path / "1"), TWO, total=40, workers=1)
    together = sweep(Store(tmp_path / "n"), TWO, total=40, workers=workers, delay_s=0.002)
    assert together.trials == alone.trials
    assert "pruned" in {row.status for row in alone.trials}
    finished = [row for row in alone.trials if row.status == "finished"]
    assert all(len(row.values) == len(row.curves) == 2 for row in finished)
    best = {max(finished, key=lambda row: row.values[i]).number for i in (0, 1)}
    assert best <= {row.number for row in alone.front}
    assert alone.best == alone.front[0]
    # What was stopped early is dominated by what finished, as it would have been at its end.
    for row in alone.trials:
        if row.status == "pruned":
            config = TWO.trial_task(row.number, row.params).config
            end = (toy.score(config, toy.EPOCHS), toy.iou(config, toy.EPOCHS))
            assert any(dominates(other.values, end, TWO.goals) for other in finished)
