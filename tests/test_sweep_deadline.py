"""`--max-time` as the coordinator keeps it: no new run, the others stop after their epoch."""

import time

import pytest
from toy_sweep import sweep, toy_plan

from harness.store import Store
from sweeps import crew
from sweeps.listeners import EpochDone, RunStarted
from sweeps.progress import read_progress

pytestmark = pytest.mark.slow

PLAN = toy_plan()
N = 12


class Tape:
    """An observer and tracker that keeps what it was told."""

    def __init__(self):
        self.events, self.calls = [], []

    def __call__(self, event):
        self.events.append((time.monotonic(), event))

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return sweep(Store(tmp_path_factory.mktemp("calm")), PLAN, total=N, workers=2).trials


def test_it_ends_in_good_order_and_the_same_command_goes_on(tmp_path, undisturbed):
    store, tape = Store(tmp_path), Tape()
    start = time.monotonic()
    outcome = sweep(store, PLAN, total=N, max_s=4.0, delay_s=0.8, observer=tape, tracker=tape)
    assert outcome.stopped == "The time given by --max-time was over."
    assert outcome.finals == ()
    assert any(row.status == "running" for row in outcome.trials)
    late = [e for at, e in tape.events if at > start + 4.6]
    assert not [event for event in late if isinstance(event, RunStarted)]
    # Each run that trained is heard of once more, at the end of its epoch, and no further.
    after = [e.task.run_id for at, e in tape.events if at > start + 4.0 and type(e) is EpochDone]
    assert len(after) == len(set(after)) <= 2
    assert tape.calls[-1] == ("close_sweep", "interrupted", outcome)
    stopped = [r for name, *rest in tape.calls if name == "finish" for r in rest]
    stopped = [record for record in stopped if record.status == "interrupted"]
    assert {record.trial for record in stopped} == {
        row.number for row in outcome.trials if row.status == "running"
    }
    assert all("the sweep stopped" in r.reason or "goes on here" in r.reason for r in stopped)
    assert all(row.attempts == 0 for row in outcome.trials), "that was nobody's fault"
    noted = read_progress(store.sweep_dir("toy"))
    assert (noted.end, noted.reason) == ("interrupted", outcome.stopped)

    again = sweep(store, PLAN, total=N)
    assert again.stopped is None
    assert again.trials == undisturbed


def test_a_run_that_does_not_end_its_epoch_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "LAST_EPOCH_S", 0.5)
    faults = {"0": "hang", "1": "hang"}
    start = time.monotonic()
    outcome = sweep(Store(tmp_path), PLAN, total=4, max_s=3.0, faults=faults)
    assert outcome.stopped
    assert 3.0 < time.monotonic() - start < 30


def test_time_that_is_up_before_anything_begins_starts_no_worker(tmp_path):
    tape = Tape()
    outcome = sweep(Store(tmp_path), PLAN, total=4, max_s=0.0, observer=tape)
    assert (outcome.stopped is not None, outcome.trials) == (True, ())
    assert not list(tmp_path.rglob("worker-*.log"))


def test_with_nothing_left_to_do_the_time_does_not_matter(tmp_path):
    sweep(Store(tmp_path), PLAN, total=2)
    again = sweep(Store(tmp_path), PLAN, total=2, max_s=0.0)
    assert again.stopped is None
    assert again.already_done
