"""Who holds a sweep's folder, and that no other process is ever asked to stop."""

import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from harness.errors import SweepError
from sweeps import lock
from sweeps.lock import LOCK_FILE, Holder, ask_to_stop, hold_lock, holder

HOLD = """
import sys, time
from pathlib import Path
from sweeps.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """A process that holds the folder."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def held_by(tmp_path):
    """Hold the lock with a text of one's own in its file, as another release or host would."""
    handles = []

    def hold(text):
        (tmp_path / LOCK_FILE).write_text(text)
        handles.append(os.open(tmp_path / LOCK_FILE, os.O_RDWR))
        fcntl.flock(handles[-1], fcntl.LOCK_EX)

    yield hold
    for handle in handles:
        os.close(handle)


def test_the_holder_says_host_process_and_time(tmp_path):
    assert holder(tmp_path) is None
    with hold_lock(tmp_path):
        found = holder(tmp_path)
        assert (found.pid, found.host) == (os.getpid(), platform.node())
        assert not found.is_elsewhere
        assert found.words() == f"process {os.getpid()}"
        assert abs(time.time() - datetime.fromisoformat(found.since).timestamp()) < 30
    assert holder(tmp_path) is None
    assert (tmp_path / LOCK_FILE).read_text() == ""


def test_what_a_killed_process_left_is_not_believed(tmp_path, other):
    assert holder(tmp_path).pid == other.pid
    other.kill()
    other.wait()
    assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == other.pid
    assert holder(tmp_path) is None


def test_a_lock_file_of_an_older_release_is_read(tmp_path, held_by):
    held_by("123\n")
    assert holder(tmp_path) == Holder(pid=123)
    assert holder(tmp_path).words() == "process 123"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 1}'])
def test_an_account_that_cannot_be_read_still_means_held(tmp_path, held_by, text):
    held_by(text)
    assert holder(tmp_path) == Holder()
    assert holder(tmp_path).words() == "process ?"


def test_the_process_that_holds_it_is_asked_to_stop(tmp_path, other):
    assert ask_to_stop(tmp_path, holder(tmp_path))
    assert other.wait(20) == -signal.SIGTERM


def test_nobody_is_asked_once_the_folder_is_free(tmp_path, other):
    asked = holder(tmp_path)
    other.kill()
    other.wait()
    assert not ask_to_stop(tmp_path, asked)


@pytest.mark.parametrize(
    "account",
    [
        {"pid": 7, "host": "elsewhere", "since": None},
        {"pid": None, "host": None, "since": None},
    ],
)
def test_a_process_out_of_reach_is_not_asked(tmp_path, held_by, account):
    held_by(json.dumps(account))
    with pytest.raises(SweepError, match="out of reach from here"):
        ask_to_stop(tmp_path, holder(tmp_path))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="finds open files by /proc")
def test_a_process_that_only_bears_the_number_is_spared(tmp_path, held_by):
    # As in another container: the number in the file is that of somebody else here.
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    held_by(f"{bystander.pid}\n")
    with pytest.raises(SweepError, match="another container"):
        ask_to_stop(tmp_path, holder(tmp_path))
    bystander.communicate(b"\n")
    assert bystander.returncode == 0


def test_being_looked_at_keeps_nobody_from_starting(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "GLANCE_S", 0.01)
    (tmp_path / LOCK_FILE).touch()
    glance = os.open(tmp_path / LOCK_FILE, os.O_RDONLY)
    fcntl.flock(glance, fcntl.LOCK_SH)
    real = lock.time.sleep

    def look_away(pause_s):
        os.close(glance)
        real(pause_s)

    monkeypatch.setattr(lock.time, "sleep", look_away)
    with hold_lock(tmp_path):
        assert holder(tmp_path).pid == os.getpid()
