"""`bench launch` and `bench run --strategy multiworker` as a user meets them: real processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli, cmd_launch
from harness.cluster import Cluster, parse_hosts, read_cluster
from harness.mlflow_client import open_client
from harness.record import RunRecord
from harness.store import Store

BENCH = str(Path(sys.executable).parent / "bench")
PATIENCE_S = 240.0
RUN = "run --dataset digits --strategy multiworker"
LAUNCH = "launch --dataset digits"
SETTINGS = ("TF_CONFIG", "MLFLOW_TRACKING_URI", "BENCH_OUT", "BENCH_DATA_DIR")

BACKBONE = """
import keras

def tiny(image_shape):
    image = keras.Input(image_shape)
    return keras.Model(image, keras.layers.Flatten()(keras.layers.AveragePooling2D(5)(image)))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a tiny backbone in it, and no setting from outside."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(BACKBONE)
    return tmp_path


def tf_config(*workers: str, index: int = 0) -> str:
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


BAD = [
    (LAUNCH, "Either --local-workers or --hosts"),
    (f"{LAUNCH} --local-workers 2 --hosts a:1,b:1", "Either --local-workers or --hosts"),
    (f"{LAUNCH} --local-workers 1", "--local-workers must be 2 to 64, got 1"),
    (f"{LAUNCH} --local-workers 0", "--local-workers must be 2 to 64, got 0"),
    (f"{LAUNCH} --local-workers 65", "--local-workers must be 2 to 64, got 65"),
    (f"{LAUNCH} --hosts 203.0.113.1:1,203.0.113.2:1", "must be this machine, but it is none of"),
    (f"{LAUNCH} --hosts 127.0.0.1", "--hosts must hold addresses such as a:2222"),
    (f"{LAUNCH} --hosts 127.0.0.1:1", "--hosts must name at least 2 workers, got 1"),
    (f"{LAUNCH} --hosts 127.0.0.1:1,127.0.0.1:1", "each address once"),
    (f"{LAUNCH} --local-workers 2 --strategy cpu", "No such option '--strategy'"),
    (f"{LAUNCH} --local-workers 2 --backbone notebok-cnn", "Did you mean 'notebook-cnn'?"),
    (f"{LAUNCH} --local-workers 2 --recipe fasst", "Did you mean 'fast'?"),
    (f"{LAUNCH} --local-workers 2 --global-batch-size 33", "Use 32 or 34."),
    (f"{LAUNCH} --local-workers 2 --wait-for-workers 0", "--wait-for-workers must be greater"),
    (f"{LAUNCH} --local-workers 2 --wait-for-workers nan", "--wait-for-workers must be greater"),
    (f"{LAUNCH} --hosts 127.0.0.1:2222,203.0.113.1:1 --control-port 2222", "no worker's port"),
    (RUN, "bench launch --local-workers 2"),
    (f"{RUN} --repeats 2", "one configuration per command, got 2"),
    (f"{RUN} --backbone readme-cnn --backbone notebook-cnn", "one configuration per command"),
]


@pytest.mark.parametrize(("line", "words"), BAD)
def test_bad_input_is_told_in_one_line_and_starts_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    assert refused(line, capsys, words)
    assert sorted(path.name for path in home.iterdir()) == ["mine.py"]


def refused(line: str, capsys: pytest.CaptureFixture[str], words: str) -> bool:
    code = cli._exit_code(
        lambda: cli.bench.main(line.split(), prog_name="bench", standalone_mode=False)
    )
    error = capsys.readouterr().err
    return code == 2 and words in error and error.count("\n") == 1


def test_ports_that_are_taken_are_told_before_anything_starts(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as free:
        port = server.getsockname()[1]
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
        free.close()
        monkeypatch.setenv("TF_CONFIG", tf_config(f"127.0.0.1:{port}", "203.0.113.1:1"))
        assert refused(RUN, capsys, f"must be free, but another process has 127.0.0.1:{port}")
        monkeypatch.setenv("TF_CONFIG", tf_config(f"127.0.0.1:{other}", "203.0.113.1:1"))
        line = f"{RUN} --control-port {port}"
        assert refused(line, capsys, f"listen at its control address 127.0.0.1:{port}")


def test_one_that_outlives_a_failed_one_for_long_is_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hosts = Cluster(workers=parse_hosts("a:1,b:1"), index=0)
    codes = ("import signal; signal.pause()", "import sys; sys.exit(1)")
    workers = [
        cmd_launch._Worker(
            index=index, process=subprocess.Popen([sys.executable, "-c", code], text=True),
            reader=None,
        )
        for index, code in enumerate(codes)
    ]  # fmt: skip
    cmd_launch._wait(hosts, workers, linger_s=0.5)
    assert [worker.process.returncode for worker in workers] == [-signal.SIGKILL, 1]
    assert "worker 0 (a:1) outlived the others by 0.5 s" in capsys.readouterr().out


class Launched:
    """A `bench launch` in the current folder, and all that it started."""

    def __init__(self, line: str) -> None:
        self.said = Path(f"said-{os.urandom(4).hex()}.txt")
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [BENCH, *line.split()], stdout=said, stderr=said, text=True
            )
        self.pids: set[int] = set()

    def wait_for(self, found: str) -> None:
        """Wait until files match a pattern."""
        deadline = time.monotonic() + PATIENCE_S
        while not list(Path().glob(found)):
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.1)

    def family(self) -> dict[int, tuple[int, int]]:
        """Return supervisor and training process of each worker, and remember them."""
        found = {}
        for supervisor in children(self.process.pid):
            environment = Path(f"/proc/{supervisor}/environ").read_bytes().decode().split("\0")
            values = dict(line.partition("=")[::2] for line in environment)
            (child,) = children(supervisor)
            found[read_cluster(values).index] = (supervisor, child)
            self.pids |= {supervisor, child}
        return found

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all that was said."""
        code = self.process.wait(PATIENCE_S)
        return code, self.said.read_text()

    def left(self) -> list[int]:
        """Return which processes live on, after some seconds of grace for the kernel."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and any(alive(pid) for pid in self.pids):
            time.sleep(0.1)
        return [pid for pid in self.pids if alive(pid)]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """Return the processes that another one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(path.parent.name))
    return sorted(found)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def launched(home: Path) -> Iterator[list[Launched]]:
    running: list[Launched] = []
    yield running
    for each in running:
        each.close()


def start(running: list[Launched], line: str) -> Launched:
    running.append(Launched(line))
    return running[-1]


def only_record() -> RunRecord:
    (record,) = Store(Path("bench-runs")).records()
    return record


def mlflow_statuses() -> list[str]:
    client = open_client(f"sqlite:///{Path('bench-runs/mlflow.db').absolute()}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return [run.info.status for run in client.search_runs(experiments)]


@pytest.mark.slow
def test_others_are_told_what_to_type_and_one_that_never_comes_is_named(
    launched: list[Launched],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    hosts = f"127.0.0.1:{port},203.0.113.1:2222"
    line = f"launch --hosts {hosts} --dataset digits --epochs 2 --no-test --wait-for-workers 0.5"
    line += " --experiment mine"  # the chief's affair
    line += " --recipe notebook --target score>=0.9 --target loss<=0.2"
    code, said = start(launched, line).end()
    assert code == 1
    typed = next(text for text in said.splitlines() if text.startswith("  TF_CONFIG="))
    setting, *words = shlex.split(typed)
    cluster = read_cluster({"TF_CONFIG": setting.partition("=")[2]})
    assert (cluster.index, str(cluster.workers[1])) == (1, "203.0.113.1:2222")
    options = "--target score>=0.9 --target loss<=0.2 --backbone notebook-cnn "
    options += "--learning-rate 0.001 --epochs 2 --dataset digits --no-test "
    options += "--wait-for-workers 0.5"
    assert words == f"bench run --strategy multiworker {options}".split()
    reason = (
        "All 2 workers must come within 0.5 s, but worker 1 (203.0.113.1:2222) did not. Start "
        "every one with the same command, or wait longer with --wait-for-workers."
    )
    assert said.endswith(f"Error: The run failed: {reason}\n")
    record = only_record()
    assert (record.status, record.reason) == ("failed", reason)
    assert record.config.strategy == "multiworker"
    assert record.targets == ("score>=0.9", "loss<=0.2")
    assert mlflow_statuses() == ["FAILED"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whoever_ends_the_launcher_ends_the_workers(
    launched: list[Launched], number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    waiting = start(launched, f"{LAUNCH} --hosts 127.0.0.1:{port},203.0.113.1:1")
    waiting.wait_for("bench-runs")
    waiting.pids |= set(children(waiting.process.pid))
    assert len(waiting.pids) == 1
    waiting.process.send_signal(number)
    code, said = waiting.end()
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert number == signal.SIGKILL or "Interrupted" in said
    assert waiting.left() == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_a_worker_killed_in_training_ends_all_and_the_same_command_goes_on(
    launched: list[Launched],
) -> None:
    line = f"{LAUNCH} --local-workers 2 --backbone mine:tiny --epochs 150 --threads 1"
    first = start(launched, line)
    first.wait_for("bench-runs/runs/*/checkpoint/epoch-*.npz")
    family = first.family()
    assert sorted(family) == [0, 1]
    os.kill(family[1][1], signal.SIGKILL)
    code, said = first.end()
    assert code == 1
    assert first.left() == []
    dead = re.search(
        r"^Error: The run failed: (All workers must stay until the run ends, but worker 1 "
        r"\(127\.0\.0\.1:\d+\) lost its training process, which was killed by SIGKILL\.) "
        r"The same command goes on after epoch (\d+)\.$",
        said, re.M,
    )  # fmt: skip
    assert dead, said
    assert f"[worker 1] Error: The run failed: {dead[1]}" in said
    record = only_record()
    assert (record.status, record.reason) == ("failed", dead[1])
    assert len(record.history) >= int(dead[2])
    assert mlflow_statuses() == ["FAILED"]

    second = start(launched, line)
    second.wait_for("bench-runs/logs/worker-1.log")
    code, said = second.end()
    assert code == 0, said
    assert f"Run {record.run_id} goes on after epoch {dead[2]} of 150." in said
    done = only_record()
    assert (done.status, done.resumed_after) == ("finished", (int(dead[2]),))
    assert [point.epoch for point in done.history] == list(range(1, 151))
    assert done.history[: int(dead[2])] == record.history[: int(dead[2])]
    assert done.machine is not None
    assert (done.machine.strategy, done.machine.replicas) == ("multiworker", 2)
    assert mlflow_statuses() == ["FINISHED"]
