"""`bench stop` ends the right process in good order, and says so when there is nothing to end."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from running_toy import running_toy
from toy_sweep import sweep, toy_plan

from harness.store import Store
from sweeps.group import SweepGroup, settle_group
from sweeps.lock import LOCK_FILE, holder

pytestmark = pytest.mark.slow

BENCH = "from harness.cli import main; main()"


@pytest.mark.parametrize("line", ["stop", "stop toy"])
def test_a_running_sweep_ends_in_good_order(store, bench, line):
    with running_toy(store) as process:
        code, said, errors = bench(line)
        assert (code, errors) == (0, "")
        assert holder(store.sweep_dir("toy")) is None
        assert process.wait(10) == 130
    lines = said.splitlines()
    assert lines[0].startswith(f"asked process {process.pid} to stop toy; a second `bench stop`")
    assert re.fullmatch(
        r"stopped after \d+ s\. toy: interrupted: Stopped by SIGTERM; \d+ of 12 done: .+\. "
        r"The same command goes on\.",
        lines[1],
    )
    calm = sweep(Store(store.root / "calm"), toy_plan(), total=12).trials
    assert sweep(store, toy_plan(), total=12).trials == calm


def test_nothing_runs_is_no_error(store, bench):
    assert bench("stop") == (0, f"no sweep runs in {store.root}\n", "")
    sweep(store, toy_plan(finals=0), total=2)
    assert bench("stop")[:2] == (0, f"no sweep runs in {store.root}\n")
    code, said, _ = bench("stop toy")
    assert code == 0
    assert said == (
        "not running, so there is nothing to stop. toy: finished; 2 of 2 done: 2 finished.\n"
    )


def test_a_sweep_that_does_not_exist_is_refused(store, bench):
    code, _, said = bench("stop toi")
    assert (code, said) == (2, f"Error: There is no sweep 'toi' in {store.root}, nor any other.\n")
    sweep(store, toy_plan(finals=0), total=1)
    code, _, said = bench("stop toi")
    assert (code, said) == (
        2, "Error: Unknown sweep 'toi'. Did you mean 'toy'? Known: toy.\n",
    )  # fmt: skip


def test_several_that_run_are_named(store, bench):
    with running_toy(store) as first, running_toy(store, name="other") as second:
        code, _, said = bench("stop")
        assert code == 2
        assert "2 run in" in said
        assert "other, toy. Name one of them." in said
        assert (first.poll(), second.poll()) == (None, None)
        assert bench("stop other")[0] == 0
        assert first.poll() is None
        assert bench("stop")[0] == 0, "now it is the only one"


def test_one_that_does_not_end_is_told_how_to_end(store, bench):
    with running_toy(store) as process:
        process.send_signal(signal.SIGSTOP)
        code, _, said = bench("stop --timeout 1s")
        assert code == 1
        assert "'toy' must end within 1 s, but process" in said
        assert "`bench stop toy` again interrupts it at once" in said
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 130


def test_two_that_stop_the_same_sweep_both_see_its_end(store):
    with running_toy(store, delay_s=0.3) as process:
        process.send_signal(signal.SIGSTOP)
        stops = [
            subprocess.Popen(
                [sys.executable, "-c", BENCH, "stop"], stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for stop in stops:
            assert stop.stdout.readline().startswith("asked process ")
        process.send_signal(signal.SIGCONT)
        for stop in stops:
            assert "stopped after" in stop.communicate(timeout=30)[0]
            assert stop.returncode == 0


def test_one_on_another_host_is_left_alone(store, bench):
    folder = store.sweep_dir("toy")
    sweep(store, toy_plan(finals=0), total=1)
    account = {"host": "elsewhere", "pid": os.getpid(), "since": "2026-01-01T00:00:00+00:00"}
    (folder / LOCK_FILE).write_text(json.dumps(account))
    handle = os.open(folder / LOCK_FILE, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    code, _, said = bench("stop")
    os.close(handle)
    assert code == 2
    assert f"process {os.getpid()} on elsewhere" in said
    assert f"`bench stop toy --out {store.root}` there" in said


def test_a_group_is_stopped_by_its_name(store, bench):
    folder = store.sweep_dir("group")
    folder.mkdir(parents=True)
    settle_group(SweepGroup(name="group", members={"group.a": "a"}), folder)
    code = (
        "import sys, time; from pathlib import Path; from sweeps.lock import hold_lock\n"
        "with hold_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with running_toy(store, name="group.a") as member:
        assert bench("stop group")[0] == 0
        assert process.wait(10) == -signal.SIGTERM
        process.communicate()
        assert member.poll() is None


@pytest.mark.parametrize("value", ["0", "soon", "-1m"])
def test_a_timeout_that_is_none_is_refused(store, bench, value):
    code, _, said = bench(f"stop --timeout {value}")
    assert code == 2
    assert "--timeout must be a time above 0" in said
