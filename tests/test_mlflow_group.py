"""A group of sweeps in a real MLflow: one run above those of its sweeps, right in every state."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm_process
from test_track import artifacts_of, runs_of
from tracked import final, new_store, of_sweep, rerun, trial

from harness import mlflow_names as names
from harness.fetch import fetch, latest_sweep, sweeps_of
from harness.mlflow_client import open_client
from harness.record import RunRecord
from harness.store import Store
from harness.track import Tracker
from harness.tracking_uri import resolve_uri

# MLflow 3.17 with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)

GROUP = {"version": 1, "name": "g", "members": {"g.a": "readme-cnn", "g.b": "patch-s"}}
MEMBERS = [
    {"name": name, "objective": "score", "group": "g", "final_overrides": {"epochs": 9}}
    for name in ("g.a", "g.b")
]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return new_store(tmp_path / "bench-runs", tmp_path_factory)


@pytest.fixture
def tracker(store: Store) -> Iterator[Tracker]:
    told: list[str] = []
    with Tracker(None, store, notify=told.append) as tracker:
        yield tracker
    assert told == []


def opened(tracker: Tracker) -> None:
    for manifest in (GROUP, *MEMBERS):
        tracker.open_sweep(manifest)


def runs_done() -> list[RunRecord]:
    a = [trial(0, score=0.4), trial(1, status="pruned"), final(0, 1, 0.3)]
    b = [trial(0, score=0.6), trial(1, score=0.5), final(0, 1, 0.7), rerun(0, 1, 0.5),
         rerun(0, 2, 0.4)]  # fmt: skip
    return [of_sweep("g.a", each, "readme-cnn") for each in a] + [
        of_sweep("g.b", each, "patch-s") for each in b
    ]


def closed(tracker: Tracker, status: str = "finished") -> None:
    for manifest in MEMBERS:
        tracker.close_sweep(str(manifest["name"]), {"status": status, "trials_granted": 2})
    tracker.close_sweep("g", {"status": status})


def statuses(store: Store) -> dict[str, str]:
    return {key: run.info.status for key, run in runs_of(store).items() if ":" in key}


def test_sweeps_are_nested_below_their_group(store: Store, tracker: Tracker) -> None:
    opened(tracker)
    for done in runs_done():
        tracker.finish(done)
    assert tracker.flush()
    assert statuses(store) == dict.fromkeys(("sweep:g", "sweep:g.a", "sweep:g.b"), "RUNNING")
    runs = runs_of(store)
    group = runs["sweep:g"]
    assert (group.info.run_name, group.data.tags["bench.role"]) == ("group g", "group")
    assert names.PARENT not in group.data.tags
    for name in ("g.a", "g.b"):
        member = runs[f"sweep:{name}"]
        assert member.data.tags[names.PARENT] == group.info.run_id
        for key, run in runs.items():
            if key.startswith(f"{name}-"):
                assert run.data.tags[names.PARENT] == member.info.run_id
    assert json.loads((artifacts_of(group) / "group.json").read_text()) == GROUP
    assert runs["g.b-t000-r2"].info.run_name == "re-run 00 · seed 2 · patch-s"
    closed(tracker)
    assert tracker.flush()
    assert set(statuses(store).values()) == {"FINISHED"}


def test_the_group_tells_how_each_backbone_stands(store: Store, tracker: Tracker) -> None:
    opened(tracker)
    for done in runs_done():
        tracker.finish(done)
    closed(tracker)
    assert tracker.flush()
    group = runs_of(store)["sweep:g"].data
    # Three epochs of 1,200 images in each run; two trials granted to each of two backbones.
    expected = {
        "readme-cnn/validation_score": 0.4, "patch-s/validation_score": 0.6,
        "readme-cnn/test_score": 0.3, "patch-s/test_score": 0.7,
        "patch-s/optimism_gap": 0.15,  # 0.6 - (0.5 + 0.4) / 2
        "patch-s/trials_finished": 2, "readme-cnn/trials_pruned": 1, "trials_finished": 3,
        "readme-cnn/examples_granted": 7200, "readme-cnn/examples_consumed": 7200,
        "examples_granted": 14400, "examples_consumed": 14400, "trials_granted": 4,
    }  # fmt: skip
    assert {name: group.metrics[name] for name in expected} == pytest.approx(expected)
    # Finals trained otherwise: without a re-run nobody knows the gap. And no backbone is the best.
    assert not {"readme-cnn/optimism_gap", "validation_score"} & set(group.metrics)
    note = group.tags["mlflow.note.content"]
    assert "| readme-cnn | 0.400 | 0.300 | absent | 1 | 1 | 7,200 | 7,200 |" in note
    assert "| patch-s | 0.600 | 0.700 | 0.150 ± 0.071 | 2 | 0 | 7,200 | 7,200 |" in note


def test_a_sweep_of_its_own_has_the_gap_too(store: Store, tracker: Tracker) -> None:
    tracker.open_sweep({"name": "demo", "objective": "score", "trial_overrides": {"epochs": 1}})
    for done in (trial(0, score=0.6), final(0, 1, 0.9), rerun(0, 1, 0.5)):
        tracker.finish(done)
    tracker.close_sweep("demo", {})
    assert tracker.flush()
    metrics = runs_of(store)["sweep:demo"].data.metrics
    assert metrics["optimism_gap"] == pytest.approx(0.1)
    assert metrics["test_score"] == 0.9, "a re-run is no final"


@pytest.mark.parametrize(("status", "shown"), [("interrupted", "KILLED"), ("failed", "FAILED")])
def test_every_end_is_told(store: Store, tracker: Tracker, status: str, shown: str) -> None:
    opened(tracker)
    closed(tracker, status)
    assert tracker.flush()
    assert set(statuses(store).values()) == {shown}


def test_the_view_lists_the_trials_of_all_members(store: Store, tracker: Tracker) -> None:
    opened(tracker)
    for done in runs_done():
        tracker.finish(done)
    assert tracker.flush()
    client = open_client(f"sqlite:///{store.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("bench")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.bench-sweep"])
    assert view["name"] == "newest sweep: g"
    found = client.search_runs(
        [experiment.experiment_id], json.loads(view["state"])["searchFilter"]
    )
    ids = {run.data.tags["bench.run_id"] for run in found}
    assert ids == {done.run_id for done in runs_done()} | {"sweep:g.a", "sweep:g.b"}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from harness.store import Store
from harness.track import Tracker
from test_mlflow_group import opened, runs_done
tracker = Tracker(None, Store(Path({root!r})))
opened(tracker)
tracker.finish(runs_done()[0])
tracker.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_after_kill_9_the_next_command_ends_or_takes_up_all(store: Store) -> None:
    tests = str(Path(__file__).parent)
    killed = warm_process.run(code=KILLED.format(tests=tests, root=str(store.root)))
    assert killed.returncode == -signal.SIGKILL
    assert set(statuses(store).values()) == {"RUNNING"}
    before = {key: run.info.run_id for key, run in runs_of(store).items()}
    with Tracker(None, store) as sync:
        assert sync.sync().buried == 3
        assert set(statuses(store).values()) == {"KILLED"}
    with Tracker(None, store) as again:
        opened(again)
        again.reconcile(runs_done()[:1])
        assert again.flush()
        assert set(statuses(store).values()) == {"RUNNING"}
        closed(again)
    assert set(statuses(store).values()) == {"FINISHED"}
    assert {key: run.info.run_id for key, run in runs_of(store).items()} == before


def test_what_could_not_be_sent_is_sent_with_its_place(store: Store, tracker: Tracker) -> None:
    """The folder alone knows of the group: its first command never reached the server."""
    for manifest, file in ((GROUP, "group.json"), *((m, "sweep.json") for m in MEMBERS)):
        folder = store.sweep_dir(str(manifest["name"]))
        folder.mkdir(parents=True)
        (folder / file).write_text(json.dumps(manifest))
        (folder / "closed.json").write_text('{"status": "finished", "trials_granted": 2}')
    for done in runs_done():
        store.write_record(done)
    first = tracker.sync()
    assert (first.sent, first.buried, dict(first.failed)) == (len(runs_done()) + 3, 0, {})
    assert tracker.sync().sent == 0
    runs = runs_of(store)
    assert set(statuses(store).values()) == {"FINISHED"}
    assert runs["sweep:g.a"].data.tags[names.PARENT] == runs["sweep:g"].info.run_id
    assert runs["sweep:g"].data.metrics["examples_granted"] == 14400


def test_a_group_is_found_by_name_by_run_and_as_the_latest(store: Store, tracker: Tracker) -> None:
    opened(tracker)
    for done in runs_done():
        tracker.finish(done)
    closed(tracker)
    assert tracker.flush()
    uri, options = resolve_uri(None, store.root), {"experiment": "bench"}
    runs = runs_of(store)
    members = {runs[f"sweep:{name}"].info.run_id: name for name in ("g.a", "g.b")}
    group = runs["sweep:g"].info.run_id
    assert latest_sweep(uri, **options) == group
    assert sweeps_of(uri, "g", **options) == ("g", members)
    assert sweeps_of(uri, group, **options) == ("g", members)
    (one,) = (key for key, name in members.items() if name == "g.b")
    assert sweeps_of(uri, "g.b", **options) == ("g.b", {one: "g.b"})
    fetched = fetch(uri, into=store.root / "cache", sweep=one, **options)
    assert {run.record.sweep for run in fetched.runs} == {"g.b"}
    assert fetched.left_out == ()
    everything = fetch(uri, into=store.root / "cache", **options)
    assert len(everything.runs) == len(runs_done())


def test_the_report_of_a_group_is_kept_with_it(store: Store, tracker: Tracker) -> None:
    opened(tracker)
    folder = store.report_dir("g")
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("# hello")
    assert tracker.log_report(folder, sweep="g") == runs_of(store)["sweep:g"].info.run_id
