"""Records and predictions come back from a real MLflow, whole or with a reason."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certified import certificate
from timed import timings
from tracked import CONFIG, MANIFEST, final, new_store, record, trial

from harness import mlflow_names as names
from harness.errors import TrackingError, UsageError
from harness.fetch import Fetched, fetch, filter_of, latest_sweep, sweep_params, sweeps_of
from harness.mlflow_client import open_client
from harness.predictions import write_npz
from harness.store import Store, file_digest
from harness.timings import TIMINGS_FILE
from harness.track import Tracker

# MLflow 3.17 with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)

ARRAYS = "predictions-test.npz"


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A sweep of two trials and a final with arrays, a run, and one that still runs."""
    store = new_store(tmp_path / "bench-runs", tmp_path_factory)
    with Tracker(address(store), store) as tracker:
        tracker.open_sweep(MANIFEST)
        tracker.finish(trial(0, started_at="2026-01-01T00:00:01+00:00"))
        tracker.finish(trial(1, started_at="2026-01-01T00:00:02+00:00", status="pruned"))
        path = store.run_dir("demo-t000-s1") / ARRAYS
        write_npz(path, {"ids": np.arange(5)})
        tracker.finish(dataclasses.replace(final(0, 1, 0.5), files={ARRAYS: file_digest(path)}))
        tracker.close_sweep("demo", {})
        tracker.finish(record("alone"))
        tracker.begin("going", "run", None, None, CONFIG)
        assert tracker.flush()
    return store


def address(store: Store) -> str:
    return f"sqlite:///{store.root / 'mlflow.db'}"


def bring(store: Store, into: Path, **wanted: Any) -> Fetched:
    return fetch(address(store), experiment="bench", into=into, **wanted)


def test_every_run_comes_back_or_is_listed(store: Store, tmp_path: Path) -> None:
    fetched = bring(store, tmp_path / "into")
    records = {item.record.run_id: item.record for item in fetched.runs}
    assert records == {done.run_id: done for done in store.records()}
    assert set(records) == {"demo-t000", "demo-t001", "demo-t000-s1", "alone"}
    [left] = fetched.left_out
    assert left.run_id == "going"
    assert left.reason == "it has no record yet: its status is running."


def test_artifacts_on_this_machine_are_read_in_place(store: Store, tmp_path: Path) -> None:
    [done] = bring(store, tmp_path / "into", run_ids=["demo-t000-s1"]).runs
    assert done.folder.is_relative_to(store.root / "artifacts")
    with np.load(done.folder / ARRAYS) as arrays:
        assert arrays["ids"].tolist() == [0, 1, 2, 3, 4]
    assert not (tmp_path / "into").exists()


def test_a_sweep_is_named_or_given_by_its_parent(store: Store, tmp_path: Path) -> None:
    parent = latest_sweep(address(store), experiment="bench")
    assert parent is not None
    for sweep in ("demo", parent):
        named = sweeps_of(address(store), sweep, experiment="bench")
        assert named == ("demo", {parent: "demo"})
        ids = [item.record.run_id for item in bring(store, tmp_path / "into", sweep=sweep).runs]
        assert ids == ["demo-t000", "demo-t001", "demo-t000-s1"]  # in the order they began


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"sweep": "dmo"}, "no sweep 'dmo'.*It has: demo"),
        ({"run_ids": ["alone", "nobody"]}, "no 'nobody'"),
    ],
)
def test_what_is_not_there_is_named(
    store: Store, tmp_path: Path, wanted: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        bring(store, tmp_path / "into", **wanted)


def test_plans_of_sweeps_come_with_one_look(store: Store) -> None:
    found = sweep_params(address(store), ["demo", "nope"], experiment="bench")
    assert isinstance(found["demo"], dict)
    assert found["demo"]["sweep.seed"] == "7"
    assert isinstance(found["nope"], str)
    assert "There is no sweep 'nope'" in found["nope"]


def test_pages_of_runs_are_known_of_a_server_only(store: Store, tmp_path: Path) -> None:
    assert {run.address for run in bring(store, tmp_path / "into").runs} == {None}


def test_two_sweeps_of_one_name_must_be_told_apart(store: Store, tmp_path: Path) -> None:
    with Tracker(address(store), Store(tmp_path / "other")) as theirs:
        theirs.open_sweep(MANIFEST)
        theirs.close_sweep("demo", {})
    with pytest.raises(UsageError, match="2 are called 'demo'"):
        bring(store, tmp_path / "into", sweep="demo")
    parent = latest_sweep(address(store), experiment="bench")
    assert bring(store, tmp_path / "into", sweep=parent) == Fetched(runs=(), left_out=())


def test_a_missing_experiment_or_store_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"no experiment 'bnch'.*It has: Default, bench"):
        fetch(address(store), experiment="bnch", into=tmp_path / "into")
    with pytest.raises(TrackingError, match=r"there is no .*nothing\.db"):
        fetch(f"sqlite:///{tmp_path}/nothing.db", experiment="bench", into=tmp_path / "into")
    assert not (tmp_path / "into").exists()


def _record_flipped(folder: Path) -> None:
    path = folder / "record.json"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))


def _arrays_flipped(folder: Path) -> None:
    path = folder / ARRAYS
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_record_flipped, "record.json must be there with the digest"),
        (lambda folder: (folder / "record.json").unlink(), "is missing, changed or damaged"),
        (_arrays_flipped, "predictions-test.npz must be there with the digest"),
        (lambda folder: (folder / ARRAYS).unlink(), "predictions-test.npz must be there"),
        (shutil.rmtree, "Failed to download artifacts"),
    ],
)
def test_damage_is_listed_with_its_reason(
    store: Store, tmp_path: Path, damage: Any, words: str
) -> None:
    [whole] = bring(store, tmp_path / "into", run_ids=["demo-t000-s1"]).runs
    damage(whole.folder)
    fetched = bring(store, tmp_path / "into", sweep="demo")
    assert [item.record.run_id for item in fetched.runs] == ["demo-t000", "demo-t001"]
    [left] = fetched.left_out
    assert (left.run_id, left.mlflow_run_id) == ("demo-t000-s1", whole.mlflow_run_id)
    assert words in left.reason


def test_arrays_that_nobody_wants_are_not_looked_at(store: Store, tmp_path: Path) -> None:
    [whole] = bring(store, tmp_path / "into", run_ids=["demo-t000-s1"]).runs
    (whole.folder / ARRAYS).unlink()
    fetched = bring(store, tmp_path / "into", run_ids=["demo-t000-s1"], arrays_of=("trial",))
    assert len(fetched.runs) == 1


def test_measurements_are_no_runs(store: Store, tmp_path: Path) -> None:
    """Each has a name, where runs have their id; neither comes nor is missed."""

    def known() -> set[str]:
        found = bring(store, tmp_path / "into")
        return {run.record.run_id for run in found.runs} | {left.run_id for left in found.left_out}

    before = known()
    store.certificates.mkdir(parents=True, exist_ok=True)
    store.timings.mkdir(parents=True, exist_ok=True)
    (store.certificates / "c.json").write_text(certificate(name="c").dumps())
    (store.timings / "t").mkdir()
    (store.timings / "t" / TIMINGS_FILE).write_text(timings(name="t").dumps())
    with Tracker(address(store), store) as tracker:
        assert tracker.sync().sent == 2
    assert known() == before


def test_hundreds_of_runs_are_listed_at_once(store: Store, tmp_path: Path) -> None:
    # Runs as MLflow holds them, made without the tracker: that would take a minute.
    client = open_client(address(store))
    found = client.get_experiment_by_name("bench")
    assert found is not None
    for number in range(300):
        done = record(f"many-{number:03d}")
        text = done.dumps().encode()
        run = client.create_run(
            found.experiment_id,
            tags={
                "bench.run_id": done.run_id, "bench.role": "run",
                "bench.record": hashlib.sha256(text).hexdigest(),
            },
        )  # fmt: skip
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        folder.mkdir(parents=True)
        (folder / "record.json").write_bytes(text)
    start = time.perf_counter()
    fetched = bring(store, tmp_path / "into")
    assert time.perf_counter() - start < 3  # measured: 0.3 s
    assert len(fetched.runs) == 304


def test_runs_are_chosen_by_tags_and_query(store: Store, tmp_path: Path) -> None:
    def chosen(*tags: str, query: str | None = None) -> set[str]:
        found = bring(store, tmp_path / "into", where=filter_of(tags, query))
        return {item.record.run_id for item in found.runs}

    role = f"{names.ROLE}=trial"
    assert chosen(role) == {"demo-t000", "demo-t001"}
    assert chosen(role, f"{names.RUN_ID}=demo-t001") == {"demo-t001"}
    assert chosen(query="metrics.test_score > 0.4") == {"demo-t000-s1"}
    assert chosen(role, query="metrics.test_score > 0.4") == set()
    assert chosen(f"{names.ROLE}=it's") == set()


def test_a_filter_that_mlflow_does_not_understand_is_wrong_usage(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--query must be a filter that MLflow understands"):
        bring(store, tmp_path / "into", where="score is good")


@pytest.mark.parametrize("tag", ["novalue", "=x", "a`b=c", 'a=it\'s "so"'])
def test_tags_that_cannot_be_asked_for_are_wrong_usage(tag: str) -> None:
    with pytest.raises(UsageError, match="--tag must be KEY=VALUE"):
        filter_of([tag], None)


def test_no_tags_and_no_query_are_no_filter() -> None:
    assert filter_of([], None) is None
    assert filter_of(["a=b"], "metrics.x > 1") == "tags.`a` = 'b' and metrics.x > 1"
