"""The tracker against a real MLflow on a temporary SQLite file."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import warm_process
from certified import certificate, contender, quantity
from timed import timings
from tracked import CONFIG, MANIFEST, answering, final, new_store, point, record, trial

from harness import mlflow_names as names
from harness import track
from harness.errors import InterruptedRun, TrackingError
from harness.liveness import Owner, is_alive
from harness.mlflow_api import Run
from harness.mlflow_client import asking, check_answers, open_client
from harness.record import Measure, RunRecord
from harness.sent_notes import SENT_FILE
from harness.store import Store
from harness.timings import TIMINGS_FILE
from harness.track import Tracker
from reports.statistics import t_interval

# MLflow 3.17 with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return new_store(tmp_path / "bench-runs", tmp_path_factory)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def tracker(store: Store, told: list[str]) -> Iterator[Tracker]:
    with Tracker(None, store, notify=told.append) as tracker:
        yield tracker
    assert told == []


def runs_of(store: Store, experiment: str = "bench") -> dict[str, Run]:
    """Every active run by its bench run id; the same id twice is an error."""
    client = open_client(f"sqlite:///{store.root / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], max_results=1000)
    keys = [run.data.tags[names.RUN_ID] for run in runs]
    assert len(keys) == len(set(keys))
    return dict(zip(keys, runs, strict=True))


def artifacts_of(run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def steps(store: Store, run: Run, metric: str) -> list[tuple[int, float]]:
    client = open_client(f"sqlite:///{store.root / 'mlflow.db'}")
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)]


def test_a_run_arrives_with_everything(store: Store, tracker: Tracker) -> None:
    done = record()
    tracker.begin("r1", "run", None, None, CONFIG)
    for epoch in done.history:
        tracker.epoch("r1", epoch)
    tracker.finish(done)
    assert tracker.flush()
    run = runs_of(store)["r1"]

    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run · notebook-cnn"
    assert run.info.end_time - run.info.start_time == 12_500
    assert run.data.params == {name: str(value) for name, value in CONFIG.to_json().items()}
    # epoch / 10, and images over seconds: 1200 / 2.125, 1200 / 2.25, 1200 / 2.375
    assert steps(store, run, "epoch/validation_score") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert steps(store, run, "epoch/images_per_s") == [
        (1, 1200 / 2.125), (2, 1200 / 2.25), (3, 1200 / 2.375)
    ]  # fmt: skip
    assert run.data.metrics["test_score"] == 0.28
    assert "mfu" not in run.data.metrics
    tags = run.data.tags
    assert tags["bench.status"] == "finished"
    assert tags["bench.role"] == "run"
    assert tags["git.dirty"] == "true"
    assert tags["mlflow.source.git.commit"] == "f" * 40
    assert (tags["data.source"], tags["data.digest"]) == ("digits", "ab" * 32)
    assert (tags["strategy"], tags["devices"]) == ("cpu", "cpu:0")
    assert "No mfu: the peak is unknown" in tags["mlflow.note.content"]
    assert (artifacts_of(run) / "record.json").read_text() == done.dumps()


def test_data_is_an_input_with_our_digest(store: Store, tracker: Tracker) -> None:
    tracker.finish(record())
    assert tracker.flush()
    inputs = runs_of(store)["r1"].inputs
    assert inputs is not None
    seen = {
        (i.dataset.name, i.dataset.digest, tag.value)
        for i in inputs.dataset_inputs
        for tag in i.tags
        if tag.key == "mlflow.data.context"
    }
    # MLflow takes digests of 36 characters at most.
    assert seen == {
        ("digits", "ab" * 18, "training"), ("digits-test", "cd" * 18, "evaluation")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "mlflow_status", "name"),
    [
        ("finished", "FINISHED", "trial 07 · notebook-cnn"),
        ("pruned", "FINISHED", "trial 07 · notebook-cnn · pruned"),
        ("failed", "FAILED", "trial 07 · notebook-cnn · failed"),
        ("interrupted", "KILLED", "trial 07 · notebook-cnn · interrupted"),
    ],
)
def test_every_end_is_told_apart(
    store: Store, tracker: Tracker, status: str, mlflow_status: str, name: str
) -> None:
    tracker.finish(trial(7, status=status, traceback="Traceback ..."))
    assert tracker.flush()
    runs = runs_of(store)
    run = runs["demo-t007"]
    assert (run.info.status, run.info.run_name) == (mlflow_status, name)
    assert run.data.tags["bench.status"] == status
    assert run.data.tags.get("bench.reason") == (None if status == "finished" else "because")
    assert run.data.tags["mlflow.parentRunId"] == runs["sweep:demo"].info.run_id
    assert (artifacts_of(run) / "traceback.txt").read_text() == "Traceback ..."


def test_numbers_that_are_not_finite_are_never_sent(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep(MANIFEST)
    tracker.close_sweep("demo", {"worst": math.inf, "lost": math.nan, "workers": 1})
    assert tracker.flush()
    metrics = runs_of(store)["sweep:demo"].data.metrics
    assert metrics["workers"] == 1
    assert not {"worst", "lost"} & set(metrics)


def test_repeating_every_call_changes_nothing(store: Store, tracker: Tracker) -> None:
    done = trial(0)
    for _ in range(2):
        tracker.open_sweep(MANIFEST)
        tracker.begin(done.run_id, "trial", "demo", 0, CONFIG)
        tracker.epoch(done.run_id, done.history[0])
        for _ in range(2):
            tracker.finish(done)
        tracker.reconcile([done])
        tracker.close_sweep("demo", {})
    assert tracker.flush()
    runs = runs_of(store)
    assert set(runs) == {"sweep:demo", "demo-t000"}
    assert runs["sweep:demo"].info.status == "FINISHED"
    for metric in ("epoch/train_loss", "epoch/train_s"):
        assert [step for step, _ in steps(store, runs["demo-t000"], metric)] == [1, 2, 3]


def test_epochs_that_got_lost_are_sent_at_the_end(store: Store, tracker: Tracker) -> None:
    done = record()
    tracker.begin("r1", "run", None, None, CONFIG)
    tracker.epoch("r1", done.history[1])  # 1 and 3 never arrive
    tracker.finish(done)
    assert tracker.flush()
    assert sorted(steps(store, runs_of(store)["r1"], "epoch/validation_score")) == [
        (1, 0.1), (2, 0.2), (3, 0.3)
    ]  # fmt: skip


def test_an_earlier_attempt_leaves_no_trace(store: Store, tracker: Tracker) -> None:
    with Tracker(None, store) as earlier:
        earlier.begin("r1", "run", None, None, CONFIG)
        for epoch in (1, 2, 3):
            earlier.epoch("r1", point(epoch, train_s=99.0, score=0.9))
    done = record(history=(point(1), point(2)))
    tracker.finish(done)
    assert tracker.flush()
    run = runs_of(store)["r1"]
    assert steps(store, run, "epoch/validation_score") == [(1, 0.1), (2, 0.2)]


def test_a_curve_told_again_after_a_checkpoint_is_there_once(
    store: Store, tracker: Tracker
) -> None:
    # A worker died in epoch 3, and the next one tells of epochs 1 and 2 again; to the
    # coordinator it is still the same run.
    tracker.begin("r1", "run", None, None, CONFIG)
    for epoch in (1, 2, 1, 2, 3):
        tracker.epoch("r1", point(epoch))
    tracker.finish(record())
    assert tracker.flush()
    run = runs_of(store)["r1"]
    assert run.info.status == "FINISHED"
    assert sorted(steps(store, run, "epoch/validation_score")) == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_the_reason_of_an_interruption_does_not_outlive_it(store: Store, tracker: Tracker) -> None:
    whole = trial(0)
    cut = trial(0, status="interrupted", history=whole.history[:2])
    tracker.open_sweep(MANIFEST)
    tracker.finish(cut)
    tracker.close_sweep("demo", {"status": "interrupted", "reason": "Ctrl-C"})
    assert tracker.flush()
    before = runs_of(store)
    assert {run.data.tags["bench.reason"] for run in before.values()} == {"because", "Ctrl-C"}
    tracker.open_sweep(MANIFEST)
    store.write_record(whole)  # it went on from its checkpoint
    tracker.reconcile([whole])
    tracker.close_sweep("demo", {})
    assert tracker.flush()
    after = runs_of(store)
    assert {key: run.info.run_id for key, run in after.items()} == {
        key: run.info.run_id for key, run in before.items()
    }
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert not any("bench.reason" in run.data.tags for run in after.values())


def test_a_run_begun_again_is_a_new_run(store: Store, tracker: Tracker) -> None:
    with Tracker(None, store) as earlier:
        earlier.begin("r1", "run", None, None, CONFIG)
        earlier.epoch("r1", point(1, score=0.9))
    tracker.begin("r1", "run", None, None, CONFIG)
    tracker.epoch("r1", point(1))
    assert tracker.flush()
    run = runs_of(store)["r1"]
    assert run.info.status == "RUNNING"
    assert steps(store, run, "epoch/validation_score") == [(1, 0.1)]
    client = open_client(f"sqlite:///{store.root / 'mlflow.db'}")
    deleted_only = 2  # mlflow.entities.ViewType
    thrown_away = client.search_runs([run.info.experiment_id], run_view_type=deleted_only)
    assert [old.info.status for old in thrown_away] == ["KILLED"]


def test_the_parent_tells_the_story_of_the_sweep(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep(MANIFEST)
    tracker.finish(trial(0, score=0.4))
    tracker.finish(trial(1, score=0.6))
    tracker.finish(trial(2, status="pruned"))
    tracker.finish(trial(3, status="failed"))
    tracker.finish(final(0, 1, 0.9))  # of a trial that was overtaken since
    tracker.finish(final(1, 1, 0.5))
    tracker.finish(final(1, 2, 0.7))
    tracker.close_sweep("demo", {"workers": 2, "command": "bench sweep", "trials_granted": 5})
    assert tracker.flush()
    parent = runs_of(store)["sweep:demo"]
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "sweep demo"
    expected = {
        "trials_finished": 2, "trials_pruned": 1, "trials_failed": 1, "trials_interrupted": 0,
        "validation_score": 0.6, "workers": 2,
        "trials_granted": 5,
        "examples_granted": 5 * 3 * 1200, "examples_consumed": 4 * 3 * 1200,  # of three epochs
        # 0.6 - 0.5 and 0.6 - 0.7: the finals of this plan train as its trials do.
        "optimism_gap": 0.0, "optimism_gap_sd": math.sqrt(0.02),
        "test_score": 0.6,  # (0.5 + 0.7) / 2
        "test_score_sd": math.sqrt(0.02),  # (0.1 ** 2 + 0.1 ** 2) / (2 - 1)
        # Student's t with 1 degree of freedom: 0.6 -+ 12.706 x 0.1, cut to what a score can be.
        "test_score_low": 0.0, "test_score_high": 1.0, "final_seeds": 2,
        "optimism_gap_low": -1.2706, "optimism_gap_high": 1.2706,
    }  # fmt: skip
    assert parent.data.metrics == pytest.approx(expected, abs=1e-4)
    note = parent.data.tags["mlflow.note.content"]
    assert "**4 trials ended**: 2 finished, 1 failed, 1 pruned." in note
    assert "**0.6000** (trial 01 · notebook-cnn)" in note
    assert "| trial 01 · notebook-cnn | 2 | 0.600 ± 0.141 |" in note
    assert "command: bench sweep" in note
    assert parent.data.params["sweep.seed"] == "7"
    assert json.loads((artifacts_of(parent) / "sweep.json").read_text()) == MANIFEST


KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from tracked import MANIFEST, final, trial
from harness.mlflow_runs import RunWriter
from harness.store import Store
from harness.track import Tracker

tracker = Tracker(None, Store(Path(sys.argv[1])))
tracker.open_sweep(MANIFEST)
tracker.finish(trial(0))
tracker.finish(final(0, 1, 0.5))
tracker.flush()
RunWriter.update_parent = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
tracker.finish(final(0, 2, 0.7))
tracker.flush()
"""


def test_a_sweep_is_right_after_a_kill_between_its_run_and_itself(
    store: Store, tracker: Tracker
) -> None:
    tests = Path(__file__).parent
    environment = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED_BETWEEN, str(store.root)], env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    before = runs_of(store)
    assert before["demo-t000-s2"].info.status == "FINISHED"
    assert before["sweep:demo"].data.metrics["final_seeds"] == 1
    tracker.sync()
    after = runs_of(store)
    assert set(after) == set(before)
    metrics = after["sweep:demo"].data.metrics
    assert (metrics["test_score"], metrics["final_seeds"]) == (pytest.approx(0.6), 2)
    assert tracker.sync().sent == 0


SEARCHED = {
    "name": "demo", "base": CONFIG.to_json(), "final_overrides": {"epochs": 9},
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-2}, "head": {"values": ["dense"]}},
}  # fmt: skip


def of(number: int, score: float, head: str, rate: float) -> RunRecord:
    config = dataclasses.replace(CONFIG, head=head, learning_rate=rate)
    return dataclasses.replace(trial(number, score=score), config=config)


def test_a_sweep_carries_what_its_best_trial_chose(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep(SEARCHED)
    tracker.finish(of(0, 0.4, "dense", 0.004))
    assert tracker.flush()
    assert runs_of(store)["sweep:demo"].data.tags["best.head"] == "dense"
    tracker.finish(of(1, 0.6, "pooled", 0.002))
    tracker.finish(of(2, 0.5, "dense", 0.003))
    assert tracker.flush()
    parent = runs_of(store)["sweep:demo"].data
    assert parent.metrics["best/learning_rate"] == 0.002
    assert "best/head" not in parent.metrics
    best = {name: tag for name, tag in parent.tags.items() if name.startswith("best.")}
    assert best == {
        "best.learning_rate": "0.002", "best.head": "pooled",
        "best.trial": "trial 01 · notebook-cnn",
    }  # fmt: skip
    # What the sweep fixed reads as in its finals; what it searched is no param of all of them.
    assert parent.params["backbone"] == "notebook-cnn"
    assert parent.params["epochs"] == "9"
    assert not {"learning_rate", "head", "seed"} & set(parent.params)


def test_intervals_at_the_sweep_are_those_of_the_report(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep(MANIFEST)
    scores, speeds = (0.71, 0.74, 0.72), (410.0, 395.0, 402.0)
    tracker.finish(trial(0))
    for seed, (score, speed) in enumerate(zip(scores, speeds, strict=True)):
        measures = {"test_score": Measure(value=score), "images_per_s": Measure(value=speed),
                    "test_accuracy": Measure(value=1.0)}  # fmt: skip
        tracker.finish(dataclasses.replace(final(0, seed, score), measures=measures))
    assert tracker.flush()
    metrics = runs_of(store)["sweep:demo"].data.metrics
    for name, values in (("test_score", scores), ("images_per_s", speeds)):
        said = t_interval(values, varied="seeds")
        assert (metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"]) == pytest.approx(
            (said.value, said.low, said.high)
        )
    assert metrics["test_accuracy_sd"] == 0
    assert "test_accuracy_low" not in metrics, "equal values have no interval in the report"
    assert metrics["final_seeds"] == 3


def test_one_final_has_no_interval(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep(MANIFEST)
    tracker.finish(trial(0))
    tracker.finish(final(0, 1, 0.7))
    assert tracker.flush()
    metrics = runs_of(store)["sweep:demo"].data.metrics
    assert (metrics["test_score"], metrics["final_seeds"]) == (0.7, 1)
    assert not {"test_score_sd", "test_score_low", "test_score_high"} & set(metrics)


def test_all_sweeps_have_a_view_of_their_own(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep(MANIFEST)
    assert tracker.flush()
    client = open_client(f"sqlite:///{store.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("bench")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.bench-sweeps"])
    state = json.loads(view["state"])
    found = client.search_runs([experiment.experiment_id], filter_string=state["searchFilter"])
    assert [run.info.run_name for run in found] == ["sweep demo"]
    assert "metrics.`test_score_low`" in state["selectedColumns"]


def test_a_lower_objective_is_better_where_it_is(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep({"name": "demo", "objective": "box_mse"})
    for number, mse in enumerate((0.02, 0.01, 0.03)):
        measures = {"validation_box_mse": Measure(value=mse)}
        tracker.finish(dataclasses.replace(trial(number), measures=measures))
    assert tracker.flush()
    assert runs_of(store)["sweep:demo"].data.metrics["validation_box_mse"] == 0.01


def test_each_objective_of_the_best_trial_stands_at_the_parent(
    store: Store, tracker: Tracker
) -> None:
    tracker.open_sweep({"name": "demo", "objectives": ["images_per_s", "score"]})
    for number, (score, speed) in enumerate([(0.9, 100.0), (0.5, 300.0)]):
        measures = {"validation_score": Measure(value=score), "images_per_s": Measure(value=speed)}
        tracker.finish(dataclasses.replace(trial(number), measures=measures))
    assert tracker.flush()
    parent = runs_of(store)["sweep:demo"].data.metrics
    assert (parent["images_per_s"], parent["validation_score"]) == (300.0, 0.5)


def test_pictures_are_sent_and_their_failure_is_not_fatal(store: Store, told: list[str]) -> None:
    def draw(done: RunRecord, folder: Path) -> list[Path]:
        if done.run_id == "r2":
            raise ZeroDivisionError("no ink")
        (folder / "curves.png").write_bytes(b"png")
        return [folder / "curves.png"]

    with Tracker(None, store, illustrate=draw, notify=told.append) as tracker:
        tracker.finish(record("r1"))
        tracker.finish(record("r2"))
    runs = runs_of(store)
    assert (artifacts_of(runs["r1"]) / "pictures" / "curves.png").read_bytes() == b"png"
    assert runs["r2"].data.tags["bench.pictures"] == "not drawn: no ink"
    assert runs["r2"].info.status == "FINISHED"
    assert told == []


@pytest.mark.parametrize(
    ("error", "waits"), [(KeyboardInterrupt, False), (InterruptedRun, False), (OSError, True)]
)
def test_after_ctrl_c_a_slow_store_is_waited_for_briefly(
    store: Store, told: list[str], monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException], waits: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(track, "_HURRY_S", 0.1)
    drawing, goes_on = threading.Event(), threading.Event()

    def draw(_record: RunRecord, _folder: Path) -> list[Path]:
        drawing.set()
        goes_on.wait(1.0)
        return []

    def stopped() -> None:
        with Tracker(None, store, illustrate=draw, notify=told.append) as tracker:
            tracker.finish(record())
            assert drawing.wait(30)
            raise error

    with pytest.raises(error):
        stopped()
    assert bool(told) != waits, "what was left behind is said"
    goes_on.set()
    for thread in threading.enumerate():
        if thread.name == "bench-tracker":
            thread.join(30)
    assert runs_of(store)["r1"].info.status == "FINISHED"


def test_two_folders_with_the_same_run_ids_do_not_meet(
    store: Store, tmp_path: Path, tracker: Tracker
) -> None:
    tracker.finish(record(reason="mine"))
    other = Store(tmp_path / "other")
    with Tracker(tracker.uri, other) as theirs:
        theirs.finish(record(reason="theirs"))
    assert tracker.flush()
    client = open_client(tracker.uri)
    found = client.get_experiment_by_name("bench")
    assert found is not None
    reasons = {run.data.tags["bench.reason"] for run in client.search_runs([found.experiment_id])}
    assert reasons == {"mine", "theirs"}


def test_a_report_lies_at_its_sweep_as_a_page_too(
    store: Store, tracker: Tracker, tmp_path: Path
) -> None:
    tracker.open_sweep(MANIFEST)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "report.md").write_text("# R")
    for page in ("<p>old", "<p>new"):
        tracker.log_report(tmp_path / "r", sweep="demo", page=page)
    artifacts = artifacts_of(runs_of(store)["sweep:demo"])
    assert (artifacts / "report.html").read_text() == "<p>new"
    assert (artifacts / "report" / "report.md").read_text() == "# R"


def test_a_report_lands_on_its_sweep(store: Store, tracker: Tracker, tmp_path: Path) -> None:
    folder = tmp_path / "weekly"
    folder.mkdir()
    (folder / "report.md").write_text("# hello")
    tracker.open_sweep(MANIFEST)
    parent = tracker.log_report(folder, sweep="demo")
    alone = tracker.log_report(folder)
    assert tracker.log_report(folder) == alone
    runs = runs_of(store)
    assert runs["sweep:demo"].info.run_id == parent
    assert runs["report:weekly"].info.run_id == alone
    for key in ("sweep:demo", "report:weekly"):
        assert (artifacts_of(runs[key]) / "report" / "report.md").read_text() == "# hello"


def test_sync_sends_what_no_store_has_and_only_once(store: Store, tracker: Tracker) -> None:
    for number in range(3):
        store.write_record(trial(number))
    broken = store.run_dir("broken") / "record.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    first, second = tracker.sync(), tracker.sync()
    # Three runs; their sweep was never closed and no living process owns it: it is buried.
    assert (first.sent, first.already, first.buried) == (3, 0, 1)
    assert (second.sent, second.already, second.buried) == (0, 3, 0)
    assert set(second.failed) == {"broken"}
    assert "damaged" in second.failed["broken"]
    runs = runs_of(store)
    assert runs["sweep:demo"].info.status == "KILLED"
    assert runs["sweep:demo"].data.metrics["trials_finished"] == 3
    note = json.loads((store.run_dir("demo-t000") / SENT_FILE).read_text())
    [(where, sent)] = note.items()
    assert where.startswith(f"{tracker.uri}#bench")
    assert sent["run"] == runs["demo-t000"].info.run_id


def test_sync_sends_a_record_that_changed(store: Store, tracker: Tracker) -> None:
    tracker.finish(record())
    store.write_record(record(reason="second thoughts"))
    assert tracker.sync().sent in (0, 1)
    store.write_record(record(reason="third thoughts"))
    assert tracker.sync().sent == 1
    assert runs_of(store)["r1"].data.tags["bench.reason"] == "third thoughts"


def test_sync_sends_certificates_and_only_once(store: Store, tracker: Tracker) -> None:
    store.certificates.mkdir(parents=True)
    bad = (contender(quantities=(quantity(difference=None),)),)
    for made in (certificate(name="good"), certificate(name="bad", contenders=bad)):
        (store.certificates / f"{made.name}.json").write_text(made.dumps())
    tracker.log_certificate(store.certificates / "good.json")
    (store.certificates / "broken.json").write_text("{")
    first, second = tracker.sync(), tracker.sync()
    assert (first.sent, second.sent) == (1, 0)
    assert set(first.failed) == set(second.failed) == {"broken"}
    runs = runs_of(store)
    assert {key: run.info.status for key, run in runs.items()} == {
        "certificate:good": "FINISHED", "certificate:bad": "FAILED",
    }  # fmt: skip
    assert runs["certificate:bad"].data.params["strategies"] == "cpu,mirrored"
    for name in ("good", "bad"):
        sent = artifacts_of(runs[f"certificate:{name}"]) / "certificate" / f"{name}.json"
        assert sent.read_text() == (store.certificates / f"{name}.json").read_text()


def test_sync_sends_timings_again_once_there_are_more_cells(
    store: Store, tracker: Tracker
) -> None:
    for name in ("mine", "broken"):
        (store.timings / name).mkdir(parents=True)
    path = store.timings / "mine" / TIMINGS_FILE
    (store.timings / "broken" / TIMINGS_FILE).write_text("[]")
    made = timings(name="mine")
    path.write_text(timings(name="mine", status="interrupted", cells=made.cells[:1]).dumps())
    first, again = tracker.sync(), tracker.sync()
    assert (first.sent, again.sent) == (1, 0)
    assert runs_of(store)["timings:mine"].info.status == "KILLED"
    path.write_text(made.dumps())
    assert tracker.sync().sent == 1
    run = runs_of(store)["timings:mine"]
    assert run.info.status == "FINISHED"
    assert run.data.params["contenders"] == "notebook-cnn | patch-s"
    assert (artifacts_of(run) / "timings" / TIMINGS_FILE).read_text() == made.dumps()
    assert set(again.failed) == {"broken"}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from harness.store import Store
from harness.track import Tracker
from tracked import CONFIG, MANIFEST, point, trial
store = Store(Path({root!r}))
tracker = Tracker(None, store)
tracker.open_sweep(MANIFEST)
for number in range(3):
    tracker.begin(f"demo-t{{number:03d}}", "trial", "demo", number, CONFIG)
    tracker.epoch(f"demo-t{{number:03d}}", point(1))
tracker.finish(trial(0))
tracker.flush()
store.write_record(trial(1))  # recorded, but not sent
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_kill_9_leaves_nothing_running_after_the_next_command(
    store: Store, tracker: Tracker
) -> None:
    tests = str(Path(__file__).parent)
    script = KILLED.format(tests=tests, root=str(store.root))
    assert warm_process.run(code=script).returncode == -signal.SIGKILL
    before = runs_of(store)
    assert {key: run.info.status for key, run in before.items()} == {
        "sweep:demo": "RUNNING", "demo-t000": "FINISHED", "demo-t001": "RUNNING",
        "demo-t002": "RUNNING",
    }  # fmt: skip

    tracker.open_sweep(MANIFEST)
    tracker.reconcile([trial(0), trial(1)])
    assert tracker.flush()
    after = runs_of(store)
    assert {key: run.info.status for key, run in after.items()} == {
        "sweep:demo": "RUNNING", "demo-t000": "FINISHED", "demo-t001": "FINISHED",
        "demo-t002": "KILLED",
    }  # fmt: skip
    assert after["demo-t001"].info.run_id == before["demo-t001"].info.run_id
    assert after["demo-t002"].data.tags["bench.status"] == "interrupted"
    assert after["demo-t002"].data.tags["bench.reason"] == "its process died without a word"
    # Its duration ends with its last sign of life, not with its discovery.
    [heard] = open_client(tracker.uri).get_metric_history(
        after["demo-t002"].info.run_id, "epoch/train_s"
    )
    assert after["demo-t002"].info.end_time == heard.timestamp


def test_runs_of_living_processes_are_left_alone(store: Store, tracker: Tracker) -> None:
    with Tracker(None, store) as living:
        living.begin("theirs", "run", None, None, CONFIG)
        assert living.flush()
        tracker.begin("mine", "run", None, None, CONFIG)
        assert tracker.sync().buried == 0
        assert {run.info.status for run in runs_of(store).values()} == {"RUNNING"}
    assert tracker.sync().buried == 1
    runs = runs_of(store)
    assert (runs["mine"].info.status, runs["theirs"].info.status) == ("RUNNING", "KILLED")


def test_an_owner_lives_as_long_as_its_process(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    assert is_alive(tmp_path, owner.name)
    owner.release()
    owner.release()
    assert not is_alive(tmp_path, owner.name)
    assert not is_alive(tmp_path, "../../etc/passwd")
    assert list((tmp_path / ".owners").iterdir()) == []


def _check_in_process(root: str, go: Any, results: Any) -> None:
    go.wait()
    try:
        Tracker(None, Store(Path(root))).check()
    except TrackingError as error:
        results.put(str(error))
    else:
        results.put("ok")


@pytest.mark.slow
def test_two_processes_may_make_the_database_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    go, results = context.Event(), context.Queue()
    processes = [
        context.Process(target=_check_in_process, args=(str(tmp_path), go, results))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    go.set()
    assert [results.get(timeout=120) for _ in processes] == ["ok", "ok"]
    for process in processes:
        process.join()
    client = open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.get_experiment_by_name("bench")
    assert found is not None
    assert found.artifact_location == (tmp_path / "artifacts").as_uri()
    assert found.tags["mlflow.experimentKind"] == "custom_model_development"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///tmp/mlruns", "no longer supports"),
        ("mlruns", "names a folder"),
        ("foo://bar", "must start with sqlite"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("http://", "must name a host"),
        ("http://host:nonsense", "must name a host and a valid port"),
    ],
)
def test_a_malformed_uri_is_refused_at_once(tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(TrackingError, match=words) as caught:
        Tracker(uri, Store(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:secret@host:nonsense", "http://user:sec/ret@host", "https://user:secret@",
        "foo://user:secret@host", "user:secret@host", "sqlite://user:secret@host/x.db",
        "postgresql://host:x/db?password=secret", "http://user:secret@[host",
    ],
)  # fmt: skip
def test_a_password_in_a_malformed_uri_is_not_printed(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match="must") as caught:
        Tracker(uri, Store(tmp_path))
    assert not any(part in str(caught.value) for part in ("sec", "ret@"))


@pytest.mark.parametrize("status", [200, 401])
def test_a_server_with_a_password_is_found_by_its_host(status: int) -> None:
    with answering(f"HTTP/1.0 {status} Words\r\n\r\n") as host:
        check_answers(f"http://user:secret@{host}")


def test_an_answer_that_is_no_http_is_refused_in_words() -> None:
    with (
        answering("SSH-2.0-OpenSSH_9.2\r\n") as host,
        pytest.raises(TrackingError, match=r"must answer within 5 s, but: SSH-2\.0"),
    ):
        check_answers(f"http://{host}")


def test_a_password_in_mlflows_own_words_is_not_printed() -> None:
    uri = "http://user:secret@127.0.0.1:9"
    words = r"said: API request to http://127\.0\.0\.1:9/api/2\.0 failed\.$"
    with pytest.raises(TrackingError, match=words), asking(uri):
        raise OSError(f"API request to {uri}/api/2.0 failed.")


def test_a_server_that_is_not_there_is_refused_within_seconds(tmp_path: Path) -> None:
    start = time.perf_counter()
    words = r"http://127\.0\.0\.1:9 must answer.*Connection refused"
    with pytest.raises(TrackingError, match=words) as caught:
        Tracker("http://user:secret@127.0.0.1:9", Store(tmp_path)).check()
    assert time.perf_counter() - start < 6
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, it only looks like one" * 100)
    with pytest.raises(TrackingError, match="must answer") as caught:
        Tracker(None, Store(tmp_path)).check()
    assert "\n" not in str(caught.value)


def test_a_deleted_experiment_is_named(store: Store) -> None:
    client = open_client(f"sqlite:///{store.root / 'mlflow.db'}")
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(TrackingError, match=r"'gone'.*must not be deleted"):
        Tracker(None, store, experiment="gone").check()


def test_explicit_beats_environment_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    assert Tracker(None, store).uri == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:1/")
    assert Tracker(None, store).uri == "http://host:1"
    assert Tracker("", store).uri == "http://host:1"
    assert Tracker("sqlite:////abs/x.db", store).uri == "sqlite:////abs/x.db"
    monkeypatch.chdir(tmp_path)
    assert Tracker("sqlite:///rel.db", store).uri == f"sqlite:///{tmp_path}/rel.db"


def test_telemetry_is_off_and_patience_short() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"


def test_a_failing_store_stops_nothing_and_everything_arrives_later(
    store: Store, told: list[str]
) -> None:
    database = store.root / "mlflow.db"
    hidden = store.root / "hidden"
    tracker = Tracker(None, store, notify=told.append, cool_down_s=0.05)
    database.rename(hidden)
    database.mkdir()  # whatever is asked of it fails
    start = time.perf_counter()
    tracker.open_sweep(MANIFEST)
    tracker.begin("demo-t000", "trial", "demo", 0, CONFIG)
    tracker.finish(trial(0))
    assert time.perf_counter() - start < 0.5  # nobody waited for MLflow
    assert tracker.flush()
    assert len(told) == 1
    assert "The work goes on" in told[0]
    assert store.read_record("demo-t000") == trial(0)

    database.rmdir()
    hidden.rename(database)
    time.sleep(1)  # longer than the pauses after three failures: 0.05, 0.1, 0.2
    tracker.begin("demo-t001", "trial", "demo", 1, CONFIG)
    assert tracker.flush()
    assert "answers again: 1 runs were sent" in told[1]
    status = {key: run.info.status for key, run in runs_of(store).items()}
    assert status == {"sweep:demo": "RUNNING", "demo-t000": "FINISHED", "demo-t001": "RUNNING"}
    tracker.finish(trial(1))
    tracker.close_sweep("demo", {})
    tracker.close()
    assert {run.info.status for run in runs_of(store).values()} == {"FINISHED"}
    assert len(told) == 2


def test_the_end_of_a_sweep_is_sent_by_the_next_command(store: Store, told: list[str]) -> None:
    tracker = Tracker(None, store, notify=told.append)
    database, hidden = store.root / "mlflow.db", store.root / "hidden"
    database.rename(hidden)
    database.mkdir()
    tracker.open_sweep(MANIFEST)
    tracker.finish(trial(0))
    tracker.close_sweep("demo", {"status": "interrupted", "reason": "Ctrl-C"})
    tracker.close()
    assert "`bench sync`" in told[-1]
    database.rmdir()
    hidden.rename(database)
    with Tracker(None, store) as later:
        assert later.sync().sent == 2  # the trial and the sweep's end
        assert later.sync().sent == 0
    parent = runs_of(store)["sweep:demo"]
    assert parent.info.status == "KILLED"
    assert parent.data.tags["bench.reason"] == "Ctrl-C"
