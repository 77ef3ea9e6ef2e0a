"""How a sweep stands is told truly from its folder: running, ended, stopped, killed, damaged."""

import json
import shutil
import signal
import time

import pytest
from running_toy import running_toy
from toy_sweep import sweep, toy_plan

from harness.config import RunConfig
from harness.errors import StoreError
from harness.store import Store
from sweeps.group import SweepGroup, settle_group
from sweeps.lock import hold_lock
from sweeps.progress import PROGRESS_FILE, Progress, UnderWay
from sweeps.sampler import TrialRow
from sweeps.standing import (
    Standing,
    group_members,
    running,
    standing,
    sweep_names,
)
from sweeps.study import JOURNAL_FILE

pytestmark = pytest.mark.slow

PLAN = toy_plan()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with a finished sweep."""
    store = Store(tmp_path_factory.mktemp("done"))
    sweep(store, PLAN, total=6)
    return store


@pytest.fixture
def process(tmp_path):
    with running_toy(Store(tmp_path)) as started:
        yield started


def test_a_running_sweep_says_who_and_what(process, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("sweep.json")}
    stands = standing(Store(tmp_path), "toy")
    assert (stands.state, stands.holder.pid) == ("running", process.pid)
    assert (stands.total, stands.workers) == (12, 2)
    assert not stands.is_complete
    counts = stands.counts()
    assert sum(counts.values()) == 12
    assert counts["waiting"] > 0
    assert {run.role for run in stands.under_way} == {"trial"}
    assert all(run.run_id.startswith("toy-t0") and run.epochs == 6 for run in stands.under_way)
    assert abs(time.time() - stands.last_ended_s) < 60
    assert stands.best is not None
    assert stands.left_s(final_examples=1) is not None
    assert running(Store(tmp_path)) == {"toy": stands.holder}
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("sweep.json")}


def test_a_killed_sweep_died_and_a_stopped_one_did_not(process, tmp_path):
    store = Store(tmp_path)
    process.kill()
    process.wait()
    stands = standing(store, "toy")
    assert (stands.state, stands.holder) == ("died", None)
    assert stands.counts()["running"] > 0
    assert running(store) == {}

    again = sweep(store, PLAN, total=12, max_s=0.0)
    assert again.stopped
    stands = standing(store, "toy")
    assert stands.state == "interrupted"
    assert stands.progress.reason == "The time given by --max-time was over."


def test_a_sweep_ended_by_a_signal_was_interrupted(process, tmp_path):
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    stands = standing(Store(tmp_path), "toy")
    assert stands.state == "interrupted"
    assert stands.progress.reason.startswith("Stopped by SIGTERM.")
    assert len(stands.under_way) == 2, "what goes on with the next command"


def test_a_finished_sweep_is_complete(done):
    stands = standing(done, "toy")
    assert (stands.state, stands.is_complete) == ("finished", True)
    assert (stands.ended, stands.total, stands.finals_done) == (6, 6, 3)
    assert stands.under_way == ()
    assert stands.left_s(final_examples=1) == 0


def test_it_is_complete_only_with_its_finals(done, tmp_path):
    store = copy(done, tmp_path)
    run_id = standing(store, "toy").finals[0].run_id
    (store.run_dir(run_id) / "record.json").unlink()
    stands = standing(store, "toy")
    assert (stands.finals_done, stands.is_complete) == (2, False)


def test_a_torn_journal_is_read_and_left_as_it_is(done, tmp_path):
    store = copy(done, tmp_path)
    path = store.sweep_dir("toy") / JOURNAL_FILE
    with path.open("ab") as file:
        file.write(b'{"op_code": 6, "worker_id": "dea')
    torn = path.read_bytes()
    assert standing(store, "toy").ended == 6
    assert path.read_bytes() == torn


@pytest.mark.parametrize("text", ["", "{", "[]", '{"total": 3}', '{"total": 1, "running": [{}]}'])
def test_a_sweep_without_a_readable_note_is_told_from_its_table(done, tmp_path, text):
    store = copy(done, tmp_path)
    path = store.sweep_dir("toy") / PROGRESS_FILE
    path.write_text(text)
    stands = standing(store, "toy")
    assert (stands.progress, stands.state, stands.total) == (None, "finished", 6)


def test_damage_is_named(done, tmp_path):
    store = copy(done, tmp_path)
    (store.sweep_dir("toy") / JOURNAL_FILE).write_bytes(b"{half a line\n{}\n")
    with pytest.raises(StoreError, match=r"journal\.log must be a journal"):
        standing(store, "toy")
    with pytest.raises(StoreError, match="no sweep 'nope'"):
        standing(store, "nope")


def test_a_record_that_cannot_be_read_spoils_an_average_only(done, tmp_path):
    store = copy(done, tmp_path)
    (store.run_dir("toy-t000") / "record.json").write_text("{")
    assert standing(store, "toy").ended == 6


def test_groups_are_told_from_their_members(done, tmp_path):
    store = copy(done, tmp_path)
    for name in ("both.a", "both.b", "bother"):
        sweep(store, toy_plan(name=name, finals=0), total=1)
    assert group_members(store, "both") == []
    store.sweep_dir("both").mkdir()
    group = SweepGroup(name="both", members={"both.a": "a", "both.b": "b"})
    settle_group(group, store.sweep_dir("both"))
    assert group_members(store, "both") == ["both.a", "both.b"]
    assert sweep_names(store) == ["both.a", "both.b", "bother", "toy"]
    with hold_lock(store.sweep_dir("both")), hold_lock(store.sweep_dir("both.a")):
        assert list(running(store)) == ["both"]
    with hold_lock(store.sweep_dir("both.a")):
        assert list(running(store)) == ["both.a"]


def row(number, status, value=None):
    params = {"learning_rate": 1e-3, "class_weight": 1.0, "box_weight": 1.0}
    return TrialRow(number=number, status=status, params=params, value=value)


def under_way(run_id, role, epoch, epochs):
    return UnderWay(run_id=run_id, role=role, epoch=epoch, epochs=epochs)


def test_the_time_left_is_worked_out_from_what_has_ended():
    running = (under_way("toy-t002", "trial", 2, 4), under_way("toy-t003", "trial", 1, 4))
    stands = Standing(
        plan=toy_plan(base=RunConfig(epochs=10), finals=3),
        rows=(row(0, "finished", 0.5), row(1, "pruned"), row(2, "running"), row(3, "running")),
        progress=Progress(total=10, workers=2, at="", running=running),
        trial_s=20.0, image_s=0.01,
    )  # fmt: skip
    # 8 trials less 3/4 of one, 20 s each, and 3 finals of 10 x 100 images at 10 ms; two at once.
    assert stands.left_s(final_examples=100) == pytest.approx((7.25 * 20 + 3 * 10) / 2)
    assert stands.counts() == {
        "finished": 1, "pruned": 1, "failed": 0, "running": 2, "waiting": 6,
    }  # fmt: skip


def test_nothing_is_said_of_the_time_left_before_a_trial_has_ended():
    stands = Standing(plan=PLAN, rows=(row(0, "running"),))
    assert stands.left_s(final_examples=100) is None


def test_a_note_is_found_again_as_it_was():
    run = UnderWay(run_id="toy-t001", role="trial", epoch=2, epochs=6, value=0.5)
    progress = Progress(total=3, workers=2, at="2026-01-01T00:00:00+00:00", running=(run,))
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress


def copy(store, folder):
    shutil.copytree(store.root, folder / "out")
    return Store(folder / "out")
