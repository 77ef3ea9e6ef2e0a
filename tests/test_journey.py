"""Whole journeys through the installed `bench`: real processes, training, MLflow and kills."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from warm_process import fork

from harness.mlflow_api import Run
from harness.mlflow_client import open_client
from harness.mnist import IDX_FILES
from harness.store import Store
from sweeps.study import load_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

BENCH = str(Path(sys.executable).parent / "bench")
SWEEP = (
    "sweep --dataset digits --train-examples 400 --name s --trial-epochs 3 --epochs 2 "
    "--final-seeds 1 --workers 2"
)
PATIENCE_S = 240

BACKBONE = """
import keras

def tiny(image_shape):
    image = keras.Input(image_shape)
    return keras.Model(image, keras.layers.Flatten()(keras.layers.AveragePooling2D(5)(image)))

def bursting(image_shape):
    body = tiny(image_shape)
    return keras.Model(body.inputs, body.outputs[0] * 1e38 * 1e38)
"""


class Process:
    """A `bench` command in a folder; what it prints can be waited for."""

    def __init__(self, line: str, folder: Path) -> None:
        self._out, self._errors = (folder / f"{each}-{os.urandom(4).hex()}" for each in "oe")
        self._process = fork(
            *line.split(), out=self._out, errors=self._errors, folder=folder,
            environment=settings(),
        )  # fmt: skip
        self.pid = self._process.pid

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in (said := self._out.read_text()):
            assert self._process.poll() is None, f"{text!r} was never said, but: {said}"
            assert time.monotonic() < deadline, said
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, stdout and stderr."""
        code = self._process.wait(PATIENCE_S)
        return code, self._out.read_text(), self._errors.read_text()


def settings() -> dict[str, str]:
    """Return the variables of a user who has set none of ours."""
    ours = {"MLFLOW_TRACKING_URI", "BENCH_OUT", "BENCH_DATA_DIR"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def bench(line: str, folder: Path) -> str:
    """Run a command that must succeed without a word on stderr; return its stdout."""
    code, out, errors = Process(line, folder).end()
    assert (code, errors) == (0, ""), out
    return out


def tracked(out: Path) -> list[Run]:
    """Every run in the MLflow store of an output folder, but not the deleted ones."""
    return search(f"sqlite:///{out / 'mlflow.db'}")


def search(uri: str) -> list[Run]:
    client = open_client(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, max_results=1000))


def table(out: Path, name: str = "s") -> list[tuple[Any, ...]]:
    _, rows = load_table(Store(out), name)
    return [(row.number, dict(row.params), row.status, row.value) for row in rows]


def orphans(coordinator: int) -> list[str]:
    """Worker processes that a coordinator started and that still live."""
    mark = f"sweeps.worker\0{coordinator}\0".encode()
    lines = {path: read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    return [str(path) for path, line in lines.items() if mark in line]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process ended
        return b""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished sweep of three trials, its final and its report."""
    folder = tmp_path_factory.mktemp("swept")
    done = subprocess.run(  # as a user does: installed, and in a process that loads everything
        [BENCH, *SWEEP.split(), "--trials", "3"], cwd=folder, env=settings(), text=True,
        capture_output=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = done.stdout
    assert "[3/3] s-t00" in said
    assert "[final 1/1] s-t00" in said
    assert re.search(r"best, trial \d: bench run .*--learning-rate \S+", said)
    assert (folder / "bench-runs/reports/s/report.md").is_file()
    return folder


def test_several_runs_are_compared_and_one_that_fails_ends_none(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BACKBONE)
    line = "run --dataset digits --epochs 1 --train-examples 256 --repeats 2 --out o"
    both = f"{line} --backbone mine:tiny --backbone mine:bursting"
    code, said, errors = Process(both, tmp_path).end()
    assert code == 1
    assert "run 4 of 4: mine:bursting, seed 1" in said
    assert said.count("The run failed: ") == 2
    assert errors == "Error: 2 of 4 runs failed: see the reasons above.\n"
    rows = [row.split() for row in said.splitlines() if row.startswith("mine:tiny  ")]
    assert [(row[0], row[-2:]) for row in rows] == [("mine:tiny", ["3,164", "0.0"])] * 2
    assert sorted(row[1] for row in rows) == ["0", "1"]
    (report,) = (tmp_path / "o/reports").glob("*-and-1-more/report.md")
    assert "`mine:tiny`" in report.read_text()
    runs = [run.data.tags for run in tracked(tmp_path / "o")]
    statuses = Counter(tags["bench.status"] for tags in runs if tags["bench.role"] == "run")
    assert statuses == {"finished": 2, "failed": 2}


def test_a_run_is_all_in_mlflow(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BACKBONE)
    said = bench("run --dataset digits --epochs 2 --backbone mine:tiny --out o", tmp_path)
    assert "epoch 2/2  score 0." in said
    assert "next: `bench ui --out o`" in said
    (run,) = tracked(tmp_path / "o")
    assert run.info.status == "FINISHED"
    assert run.data.params["backbone"] == "mine:tiny"
    assert run.data.params["epochs"] == "2"
    assert 0 <= run.data.metrics["test_score"] <= 1
    assert run.data.metrics["images_per_s"] > 0
    inputs = {each.dataset.digest for each in run.inputs.dataset_inputs}
    (folder,) = (tmp_path / "o/runs").iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert inputs == {record["data"]["digest"], record["data"]["test_digest"]}
    kept = Path(run.info.artifact_uri.removeprefix("file://"))
    artifacts = {path.name for path in kept.rglob("*") if path.is_file()}
    assert artifacts >= {
        "record.json", "predictions-validation.npz", "predictions-test.npz", "curves.png",
        "boxes.png", "layers.png",
    }  # fmt: skip


def test_two_backbones_are_searched_alike_and_reported_together(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        BACKBONE + "\ndef narrow(image_shape):\n    return tiny(image_shape)\n"
    )
    line = (
        "sweep --dataset digits --backbone mine:tiny --backbone mine:narrow --name g --trials 2 "
        "--trial-epochs 2 --epochs 3 --train-examples 256 --final-seeds 2 --workers 2"
    )
    said = bench(line, tmp_path)
    out = tmp_path / "bench-runs"
    assert (
        "2 trials for each of mine:tiny, mine:narrow, each trial of at most 512 training" in said
    )
    assert "[re-run 2/2] g.mine-tiny-t00" in said
    for backbone in ("mine:tiny", "mine:narrow"):
        assert re.search(rf"^{backbone} +\d +0\.\d+ ( +0\.\d+ ± 0\.\d+){{2}}", said, re.MULTILINE)
        assert f"best of {backbone}, trial" in said
    # The two nets are the same: so are the tables of two searches that know nothing of each other.
    assert table(out, "g.mine-tiny") == table(out, "g.mine-narrow")
    keys = {run.data.tags["bench.run_id"]: run for run in tracked(out)}
    group = keys["sweep:g"]
    assert not running(out)
    assert group.data.metrics["trials_finished"] == 4
    assert group.data.metrics["examples_granted"] == 2 * 2 * 512
    for name in ("sweep:g.mine-tiny", "sweep:g.mine-narrow"):
        assert keys[name].data.tags["mlflow.parentRunId"] == group.info.run_id
        assert "optimism_gap" in keys[name].data.metrics
    report = (out / "reports/g/report.md").read_text()
    assert report.count("no. 1 of 2 trials x 2 epochs x 256 examples") == 2
    assert report.count("1,024 granted (2 trials x 2 epochs x 256)") == 2
    assert "bench sweep --trials 2 --name g --backbone mine:narrow --backbone mine:tiny" in report
    code, _, errors = Process(f"{line} --backbone readme-cnn", tmp_path).end()
    assert code == 2
    assert re.fullmatch(
        r"Error: Group 'g' must go on as it began, with the backbones [^\n]+\n", errors
    )
    assert "nothing was left to do" in bench(line, tmp_path)
    status = bench("status g", tmp_path)
    assert status.startswith("group g: not running\n")
    assert re.search(r"^g\.mine-narrow +finished +2/2 ", status, re.MULTILINE)


def test_the_same_sweep_again_does_nothing_and_a_larger_one_goes_on(swept: Path) -> None:
    out = swept / "bench-runs"
    before, runs = table(out), len(tracked(out))
    report = (out / "reports/s/report.md").read_bytes()
    assert "Sweep 's' holds its 3 trials: nothing was left to do." in bench(
        f"{SWEEP} --trials 3", swept
    )
    assert table(out) == before
    assert len(tracked(out)) == runs
    assert (out / "reports/s/report.md").read_bytes() == report
    assert "[4/4] s-t003" in bench(f"{SWEEP} --trials 4 --no-report", swept)
    assert table(out)[:3] == before
    assert len(table(out)) == 4


def test_a_sweep_refuses_to_go_on_as_another(swept: Path) -> None:
    out = swept / "bench-runs"
    runs = len(tracked(out))
    changes = {
        "--search learning_rate=1e-3..1e-2": "space",
        "--data-seed 5": "data_seed",
        "--batch-size 32": "batch_size",
        "--learning-rate 1e-3": "space.learning_rate",
    }
    processes = {change: Process(f"{SWEEP} --trials 3 {change}", swept) for change in changes}
    for change, name in changes.items():
        code, _, errors = processes[change].end()
        assert code == 2
        assert re.fullmatch(rf"Error: Sweep 's' must go on as it began, .*{name}.*\n", errors)
    assert len(tracked(out)) == runs


def test_interrupted_and_killed_it_ends_with_the_same_table(swept: Path, tmp_path: Path) -> None:
    line = f"{SWEEP} --trials 3 --final-seeds 0"  # the last of two options counts
    out = tmp_path / "bench-runs"
    stopped = Process(line, tmp_path)
    stopped.wait_for("[1/3]")
    stopped.send(signal.SIGINT)
    code, _, errors = stopped.end()
    assert code == 130
    assert re.fullmatch(r"Interrupted: Stopped by SIGINT\. [^\n]+\n", errors)
    assert not running(out)

    killed = Process(line, tmp_path)
    killed.wait_for("/3] ")  # the second trial, or the third if two had ended at once
    killed.send(signal.SIGKILL)
    assert killed.end()[0] == -signal.SIGKILL

    bench(line, tmp_path)
    assert table(out) == table(swept / "bench-runs")[:3]
    assert not running(out)
    ids = Counter(run.data.tags.get("bench.run_id") for run in tracked(out) if not parent(run))
    assert set(ids.values()) == {1}
    assert len(ids) == 3
    assert orphans(stopped.pid) + orphans(killed.pid) == []


def parent(run: Run) -> bool:
    return "mlflow.parentRunId" not in run.data.tags


def running(out: Path) -> list[str]:
    return [run.info.run_name for run in tracked(out) if run.info.status == "RUNNING"]


def test_a_run_that_is_stopped_says_so_everywhere(tmp_path: Path) -> None:
    line = "run --dataset digits --epochs 500 --out"
    signals = (signal.SIGINT, signal.SIGTERM)
    runs = {each.name: Process(f"{line} {each.name}", tmp_path) for each in signals}
    for each in signals:
        runs[each.name].wait_for("epoch 2/500")
        runs[each.name].send(each)
    for name, process in runs.items():
        code, _, errors = process.end()
        assert code == 130
        assert re.fullmatch(r"Interrupted: Stopped from outside after epoch [^\n]+\n", errors)
        (record,) = Store(tmp_path / name).records()
        assert record.status == "interrupted"
        assert len(record.history) >= 2
        (run,) = tracked(tmp_path / name)
        assert run.info.status == "KILLED"


@pytest.fixture
def tracked_alone(swept: Path) -> Iterator[str]:
    """The tracking store of the sweep, whose runs are nowhere else for a while."""
    hidden = swept.with_name("hidden")
    shutil.move(swept / "bench-runs/runs", hidden)
    yield f"sqlite:///{swept / 'bench-runs/mlflow.db'}"
    shutil.move(hidden, swept / "bench-runs/runs")


def test_the_winner_of_a_sweep_needs_the_tracking_store_alone(
    tracked_alone: str, tmp_path: Path
) -> None:
    where = f"--out elsewhere --tracking-uri {tracked_alone}"
    said = bench(f"export s {where} --register locator", tmp_path)
    assert "registered as locator version 1: models:/locator/1" in said
    (card,) = (tmp_path / "elsewhere/exports").glob("s-t00?-s?/model.json")
    code = f"""
import mlflow, numpy as np
mlflow.set_tracking_uri({tracked_alone!r})
model = mlflow.pyfunc.load_model("models:/locator/1")
found = model.predict(np.zeros((3, 75, 75, 1), np.uint8))
print(np.asarray(found["box"]).shape, np.asarray(found["class_name"])[0].decode().isdigit())
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert loaded.stdout.splitlines()[-1] == "(3, 4) True"
    run_id = json.loads(card.read_text())["run_id"]
    statuses = {run.data.tags["bench.run_id"]: run for run in search(tracked_alone)}
    assert statuses[run_id].info.status == "FINISHED", "registering leaves the run as it was"


def test_a_report_needs_the_tracking_store_alone(tracked_alone: str, tmp_path: Path) -> None:
    bench(f"report --out elsewhere --tracking-uri {tracked_alone}", tmp_path)
    report = tmp_path / "elsewhere/reports/s/report.md"
    text = report.read_text()
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(pictures) >= 5
    for picture in pictures:
        assert not Path(picture).is_absolute()
        assert (report.parent / picture).read_bytes().startswith(b"\x89PNG")
    assert "bench sweep --trials" in text


@pytest.fixture(scope="module")
def mnist_shaped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `good` and `bad` with random digits; the test files of `bad` are garbage."""
    folder, bits = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    for name in ("good", "bad"):
        (folder / name).mkdir()
    for name in IDX_FILES:
        n = 60_000 if name.startswith("train") else 10_000
        shape = (n, 28, 28) if "images" in name else (n,)
        top = 256 if "images" in name else 10
        header = bytes([0, 0, 8, len(shape)]) + b"".join(d.to_bytes(4, "big") for d in shape)
        content = header + bits.integers(0, top, shape, np.uint8).tobytes()
        (folder / "good" / name).write_bytes(content)
        (folder / "bad" / name).write_bytes(
            content if name.startswith("train") else b"not what it should be"
        )
    return folder


def test_a_search_never_reads_the_test_split(mnist_shaped: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BACKBONE)
    line = (
        "sweep --dataset mnist --backbone mine:tiny --name s --trials 2 --trial-epochs 2 "
        "--trial-examples 300 --train-examples 300 --epochs 1 --workers 1 --no-report"
    )
    final = Process(f"{line} --final-seeds 1 --data-dir {mnist_shaped / 'bad'}", tmp_path)
    searches = [
        Process(f"{line} --final-seeds 0 --data-dir {mnist_shaped / data} --out {data}", tmp_path)
        for data in ("good", "bad")
    ]
    for search in searches:
        code, _, errors = search.end()
        assert (code, errors) == (0, "")
    assert table(tmp_path / "bad") == table(tmp_path / "good")
    assert len(table(tmp_path / "bad")) == 2

    code, _, errors = final.end()
    assert code == 1
    assert re.fullmatch(r"Error: 1 of 1 finals did not finish: [^\n]*t10k-images[^\n]+\n", errors)
    assert len(table(tmp_path / "bench-runs")) == 2
