"""`bench compare` and `bench baseline` on runs in a real MLflow: words, JSON and exit codes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from records import fabricate, fabricate_sweep
from tracked import new_store

from harness.cli import main
from harness.config import RunConfig
from harness.predictions import predictions_file
from harness.record import RunRecord
from harness.store import Store, file_digest
from harness.track import Tracker

# MLflow 3.17 with SQLAlchemy 2.1.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"
)

Bench = Callable[..., tuple[int, str, str]]


def sent(record: RunRecord, folder: Path) -> RunRecord:
    name = predictions_file("test")
    files = {name: file_digest(folder / name)} if (folder / name).exists() else {}
    return dataclasses.replace(record, files=files)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three seeds of a good and of a poor network, one untested run and a sweep, all sent."""
    store = new_store(tmp_path_factory.mktemp("compare") / "bench-runs", tmp_path_factory)
    runs = [
        fabricate(store.root / "runs", f"{name}-{seed}", accuracy=accuracy,
                  config=RunConfig(backbone=name, dataset="mnist", seed=seed))
        for name, accuracy in (("patch-s", 0.99), ("readme-cnn", 0.9))
        for seed in range(3)
    ]  # fmt: skip
    runs.append(fabricate(store.root / "runs", "dry", tested=False))
    of_sweep = fabricate_sweep(store.root / "runs", "tune", trials=6)
    with Tracker(f"sqlite:///{store.root}/mlflow.db", store) as tracker:
        tracker.open_sweep({"name": "tune", "objective": "score", "seed": 0})
        for run in [*of_sweep, *runs]:
            tracker.finish(sent(*run))
        tracker.close_sweep("tune", {})
        assert tracker.flush()
    return store


@pytest.fixture
def bench(store: Store, capsys: pytest.CaptureFixture[str]) -> Bench:
    def run(*words: str, out: Path | None = None) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--out", str(out or store.root)])
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, said.out, said.err

    return run


GOOD, POOR = "patch-s-0,patch-s-1,patch-s-2", "readme-cnn-0,readme-cnn-1,readme-cnn-2"


def test_a_regression_is_told_by_words_and_exit_code(bench: Bench) -> None:
    code, out, err = bench("compare", GOOD, POOR, "--fail-on", "regression")
    assert code == 1
    assert f"{GOOD} > {POOR} in score: a regression" in out.replace("\n", "")
    assert f"Error: {POOR} is worse than {GOOD} beyond noise: score." in err
    code, out, _ = bench("compare", POOR, GOOD, "--fail-on", "regression")
    assert code == 0
    assert f"{GOOD} > {POOR} in score" in out.replace("\n", "")


def test_noise_never_fails(bench: Bench) -> None:
    code, out, err = bench("compare", "patch-s-0", "patch-s-1", "--fail-on", "regression")
    assert (code, err) == (0, "")
    assert "cannot separate patch-s-0 and patch-s-1 in score" in out
    assert "One seed on a side" in out


def test_json_is_the_whole_output(bench: Bench) -> None:
    code, out, _ = bench("compare", GOOD, POOR, "--json", "--by", "accuracy", "--by", "score")
    found = json.loads(out)
    assert code == 0
    assert found["outcomes"] == {"accuracy": "worse", "score": "worse"}
    assert found["regressions"] == ["accuracy", "score"]
    assert found["first"]["runs"] == GOOD.split(",")
    assert found["second"]["seeds"] == [0, 1, 2]
    accuracy = found["measures"]["accuracy"]
    assert accuracy["difference"]["value"] == pytest.approx(accuracy["second"] - accuracy["first"])
    assert accuracy["method"] == "t-test, seeds and images crossed"


def test_a_sweep_stands_for_the_seeds_of_its_best(bench: Bench, store: Store) -> None:
    code, out, _ = bench("compare", "tune", POOR, "--json")
    assert code == 0
    finals = [r.run_id for r in store.records() if r.sweep == "tune" and r.role == "final"]
    assert sorted(json.loads(out)["first"]["runs"]) == sorted(finals)


def test_many_seeds_of_a_side_are_no_name_of_a_file(bench: Bench) -> None:
    many = ",".join(f"a-run-with-a-long-name-{seed:03d}" for seed in range(20))
    code, _, err = bench("compare", many, POOR)
    assert (code, "there is no 'a-run-with-a-long-name-000'" in err) == (2, True)


def test_what_cannot_be_compared_is_refused(bench: Bench) -> None:
    code, _, err = bench("compare", "patch-s-0", "dry")
    assert code == 2
    assert err.startswith("Error: dry: run dry cannot be compared: ")
    code, _, err = bench("compare", "patch-s-0", "nothing")
    assert code == 2
    assert "There is no baseline, run or sweep 'nothing'" in err
    assert "`bench baseline list`, `bench status` and `bench ui` show what there is." in err
    code, _, err = bench("compare", "patch-s-0,readme-cnn-1", "patch-s-1")
    assert code == 2
    assert "must differ in their seed only, but patch-s-0 and readme-cnn-1 differ in" in err


def test_a_baseline_is_saved_listed_compared_and_taken_elsewhere(
    bench: Bench, store: Store, tmp_path: Path
) -> None:
    code, out, err = bench("baseline", "save", "main", GOOD)
    assert (code, err) == (0, "")
    assert f"baseline main is in {store.root / 'baselines' / 'main'}" in out
    code, _, err = bench("baseline", "save", "main", GOOD)
    assert code == 2
    assert "There is a baseline 'main' already" in err
    assert bench("baseline", "save", "main", GOOD, "--replace")[0] == 0
    code, out, _ = bench("baseline", "list")
    assert code == 0
    assert "main" in out
    assert "patch-s" in out
    code, out, _ = bench("compare", "main", POOR, "--fail-on", "regression")
    assert code == 1
    assert "main > readme-cnn-0" in out.replace("\n", "")
    moved = tmp_path / "kept" / "main"
    shutil.copytree(store.root / "baselines" / "main", moved)
    assert bench("compare", str(moved), POOR, "--fail-on", "regression")[0] == 1
    (moved / "patch-s-1" / "record.json").unlink()
    code, _, err = bench("compare", str(moved), POOR)
    assert code == 1
    assert "patch-s-1/record.json is missing" in err


def test_no_baselines_are_no_error(bench: Bench, tmp_path: Path) -> None:
    code, out, _ = bench("baseline", "list", out=tmp_path)
    assert code == 0
    assert "`bench baseline save NAME RUN` makes one" in out
    (tmp_path / "baselines" / "torn").mkdir(parents=True)
    (tmp_path / "baselines" / "torn" / "baseline.json").write_text("{")
    code, out, _ = bench("baseline", "list", out=tmp_path)
    assert code == 0
    assert "must be a baseline that `bench baseline save` wrote" in out.replace("\n", " ")
