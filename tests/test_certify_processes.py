"""Processes of a certificate: what they are told, how failures are said, and that none is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.certify_processes import observe
from harness.contender_specs import parse_specs
from harness.errors import BenchError, UsageError

ONE, THREE = parse_specs("cpu,multiworker:3", gpus=0)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(path: Path, count: int) -> list[int]:
    """Wait until so many processes have said who they are."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = path.read_text().split() if path.exists() else []
        if len(found) == count:
            return [int(pid) for pid in found]
        time.sleep(0.05)
    raise AssertionError("they did not start")


@pytest.mark.parametrize(
    ("gpus", "devices"), [(["0", "1"], ["-1"] * 3), (["5", "GPU-a", "2"], ["5", "GPU-a", "2"])]
)
def test_workers_know_their_place_and_come_back_in_order(
    gpus: list[str], devices: list[str]
) -> None:
    seen = observe(THREE, {"steps": 2}, gpus=gpus, probe="probes:tell_place")
    told = [each.silenced for each in seen]
    assert told == [('{"steps": 2}', str(k), device) for k, device in enumerate(devices)]


def test_the_worker_that_knows_why_is_heard() -> None:
    with pytest.raises(UsageError, match=re.escape("`multiworker:3`: The sky must be blue.")):
        observe(THREE, {}, gpus=[], probe="probes:break_one")


def test_a_crash_is_told_with_its_last_words() -> None:
    with pytest.raises(BenchError) as error:
        observe(ONE, {"what": "love"}, gpus=[], probe="probes:shout")
    assert str(error.value) == (
        "`cpu`: worker 0 ended with exit code 1, with the last words "
        "'ValueError: no idea what love is'."
    )
    assert error.value.exit_code == 1


def test_time_is_bounded_and_nobody_is_left(tmp_path: Path) -> None:
    request = {"pids": str(tmp_path / "pids")}
    with pytest.raises(BenchError, match="must measure within 2 s, but worker 0, 1, 2 did not"):
        observe(THREE, request, gpus=[], probe="probes:wait", time_limit_s=2)
    told = tmp_path / "pids"
    # On a busy machine none of them may have come that far.
    assert not any(alive(int(pid)) for pid in (told.read_text().split() if told.exists() else []))


def test_interrupted_it_leaves_nobody(tmp_path: Path) -> None:
    request = {"pids": str(tmp_path / "pids")}
    code = f"""
from harness import certify_processes, contender_specs
_, spec = contender_specs.parse_specs("cpu,multiworker:2", gpus=0)
certify_processes.observe(spec, {request}, gpus=[], probe="probes:wait")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=-3) as process:
        try:
            waiting = pids(tmp_path / "pids", 2)
            process.send_signal(2)
            assert process.wait(30) != 0
        finally:
            process.kill()
    assert not any(alive(pid) for pid in waiting)


def test_whoever_is_orphaned_ends(tmp_path: Path) -> None:
    # The real probe watches its standard input; here nothing is there to be measured.
    code = "from harness.certify_probe import tell; tell('{}', 'nowhere')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=-1, stderr=-3, cwd=tmp_path
    ) as process:
        process.communicate(timeout=120)
    assert process.returncode in (0, 1)
    assert json.dumps(list(tmp_path.iterdir())) == "[]"
