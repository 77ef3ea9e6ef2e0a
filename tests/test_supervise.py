"""Real supervisors and real training processes of a toy: whoever dies, all end and say why."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cluster import Address, Cluster
from harness.rendezvous import Said
from harness.supervise import End, read_end

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("toy_worker.py")
PATIENCE_S = 60.0
"""Nothing here takes so long but on a machine that hangs."""

SILENCE_S = 3.0


class Team:
    """The workers of a cluster, as processes."""

    def __init__(self, folder, workers=2, **wish):
        *ports, self.port = free_ports(workers + 1)
        self.room = folder
        self.cluster = Cluster(
            workers=tuple(Address(host="127.0.0.1", port=port) for port in ports), index=0
        )
        self.wish = {
            "room": str(folder), "port": self.port, "silence_s": SILENCE_S, "wait_s": 20.0,
            "symptom_s": 10.0, **wish,
        }  # fmt: skip
        self.processes = {}

    def start(self, index, **wish):
        path = os.pathsep.join([str(SCRIPT.parent), *(entry for entry in sys.path if entry)])
        self.processes[index] = subprocess.Popen(
            [sys.executable, SCRIPT, json.dumps(self.wish | wish)],
            env=os.environ | {"TF_CONFIG": self.cluster.tf_config(index), "PYTHONPATH": path},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start_all(self):
        for index in range(len(self.cluster.workers)):
            self.start(index)
        return self

    def wait_for(self, pattern):
        """Wait until a file is in the room; return what it holds."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for path in self.room.glob(pattern):
                if path.read_text() or not pattern.startswith(("pid", "supervisor")):
                    return path.read_text()
            assert all(each.poll() is None for each in self.processes.values()), "one has ended"
            time.sleep(0.02)
        raise AssertionError(f"{pattern} never came")

    def kill(self, pattern, number):
        """Send a signal to the process whose id is in a file."""
        os.kill(int(self.wait_for(pattern)), number)

    def end(self, index):
        """Wait for a worker; return its exit code, its last word and those before."""
        said, _ = self.processes[index].communicate(timeout=PATIENCE_S)
        words = [json.loads(line) for line in said.splitlines()]
        return self.processes[index].returncode, words[-1], words[:-1]

    def living(self):
        """Return which of all processes that ever ran still live."""
        pids = [int(path.read_text()) for path in self.room.glob("pid-*")]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists() or alive(pid)]

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
            process.stdout.close()
        for path in self.room.glob("pid-*"):
            if alive(int(path.read_text())):
                os.kill(int(path.read_text()), signal.SIGKILL)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def team(tmp_path):
    teams = []

    def make(**options):
        teams.append(Team(tmp_path, **options))
        return teams[-1]

    yield make
    for each in teams:
        each.close()


def gone(team):
    """Wait until no training process is left."""
    deadline = time.monotonic() + PATIENCE_S
    while team.living() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not team.living()


def test_all_finish_and_the_chief_hears_its_progress(team):
    three = team(workers=3).start_all()
    code, last, before = three.end(0)
    assert (code, last) == (0, {"status": "finished", "reason": None, "worker": 0})
    assert [message["kind"] for message in before] == ["begun", "epoch", "epoch", "epoch"]
    for index in (1, 2):
        assert three.end(index) == (0, {"status": "finished", "reason": None, "worker": 0}, [])
    assert gone(three)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("kill", "lost its training process, which was killed by SIGKILL"),
        ("exit", "ended with exit code 3, with the last words 'a last word' (log: "),
        ("stop", f"lost its training process, which said nothing for {SILENCE_S:g} s"),
        ("raise", "failed: RuntimeError: the toy broke"),
        ("fail", "failed: the loss must be finite."),
        ("nonsense", "ended as 'splendid', which is no status"),
    ],
)
def test_what_goes_wrong_on_a_worker_ends_all_and_names_it(team, fault, words):
    two = team(faulty=1, fault=fault).start_all()
    for index in (0, 1):
        code, last, _ = two.end(index)
        assert code == 1
        assert last["status"] == "failed"
        assert f"worker 1 ({two.cluster.workers[1]})" in last["reason"]
        assert words in last["reason"]
    assert gone(two)


def test_what_goes_wrong_on_the_chief_is_told_in_its_own_words(team):
    two = team(faulty=0, fault="fail").start_all()
    for index in (0, 1):
        code, last, _ = two.end(index)
        assert (code, last["reason"]) == (1, "the loss must be finite.")
    assert gone(two)


@pytest.mark.parametrize("killed", [0, 1])
def test_the_death_of_a_supervisor_ends_all(team, killed):
    two = team(faulty=1, fault="wait").start_all()
    two.wait_for("epoch-1-1")
    two.kill(f"supervisor-{killed}", signal.SIGKILL)
    code, last, _ = two.end(1 - killed)
    assert (code, last["status"]) == (1, "failed")
    name = two.cluster.name(killed)
    assert f"but {name} closed its connection" in last["reason"]
    assert gone(two)  # the training process of the dead one as well


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_supervisor_that_hangs_ends_all(team, stopped):
    two = team(faulty=1, fault="wait").start_all()
    two.wait_for("epoch-1-1")
    two.kill(f"supervisor-{stopped}", signal.SIGSTOP)
    code, last, _ = two.end(1 - stopped)
    assert (code, last["status"]) == (1, "failed")
    assert f"{two.cluster.name(stopped)} said nothing for {SILENCE_S:g} s" in last["reason"]
    two.kill(f"supervisor-{stopped}", signal.SIGCONT)
    assert two.end(stopped)[0] == 1
    assert gone(two)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stopped", [0, 1])
def test_whoever_is_interrupted_all_are(team, stopped, number):
    two = team(faulty=1, fault="wait").start_all()
    two.wait_for("epoch-1-1")
    two.kill(f"supervisor-{stopped}", number)
    for index in (0, 1):
        code, last, _ = two.end(index)
        assert (code, last["status"]) == (130, "interrupted")
        name = two.cluster.name(stopped)
        assert last["reason"] == f"Stopped from outside: {name} got Ctrl-C or SIGTERM."
    assert gone(two)


def test_a_symptom_waits_for_its_cause(team):
    two = team(faulty=1, fault="wait", symptom=True).start_all()
    two.wait_for("epoch-1-1")
    (two.room / "gone").touch()  # TensorFlow's connection broke ...
    two.wait_for("epoch-1-0")
    time.sleep(0.5)
    two.kill("supervisor-1", signal.SIGKILL)  # ... and this is why, known a little later
    code, last, _ = two.end(0)
    assert code == 1
    assert f"{two.cluster.name(1)} closed its connection" in last["reason"]


def test_a_symptom_without_a_cause_is_believed_in_the_end(team):
    two = team(faulty=1, fault="wait", symptom=True, symptom_s=0.5).start_all()
    two.wait_for("epoch-1-1")
    (two.room / "gone").touch()
    for index in (0, 1):
        code, last, _ = two.end(index)
        assert (code, last["reason"]) == (1, "UnavailableError: Connection reset by peer")


def test_a_worker_that_never_comes_ends_the_chief(team):
    two = team(wait_s=0.5)
    two.start(0)
    code, last, _ = two.end(0)
    assert code == 1
    assert f"within 0.5 s, but {two.cluster.name(1)} did not" in last["reason"]


def test_a_worker_that_runs_something_else_ends_all(team):
    two = team()
    two.start(0)
    two.start(1, epochs=4)
    for index in (0, 1):
        code, last, _ = two.end(index)
        assert code == 1
        assert "worker 1" in last["reason"]
        assert "`epochs` is 3 at the chief and 4 there" in last["reason"]


def test_an_end_is_read_from_whatever_was_said():
    finished = {"kind": "ended", "status": "finished", "reason": "ignored"}
    assert read_end(Said(index=2, message=finished)) == End(
        status="finished", reason=None, worker=2
    )
    for nonsense in (None, 7, ["finished"], "done"):
        end = read_end(Said(index=1, message={"kind": "ended", "status": nonsense}))
        assert end.status == "failed"
        assert "which is no status" in end.reason
    assert (
        len(read_end(Said(index=1, message={"status": "failed", "reason": "x" * 99_999})).reason)
        < 5000
    )
