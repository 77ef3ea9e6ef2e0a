"""The fingerprint of a machine, its git state and its peak memory."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness import machine

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def test_fingerprint_says_what_was_used_and_where() -> None:
    found = machine.fingerprint(strategy="cpu", replicas=1, devices=("cpu:0",), threads=2)
    assert (found.strategy, found.replicas, found.devices, found.threads) == (
        "cpu", 1, ("cpu:0",), 2,
    )  # fmt: skip
    assert found.python == platform.python_version()
    assert found.packages["numpy"] == np.__version__
    assert {"tensorflow", "keras", "mlflow", "optuna"} <= set(found.packages)
    assert found.cpu_model
    assert "\n" not in found.cpu_model
    assert 1 <= found.cpu_cores <= (os.cpu_count() or 1)
    assert 0.1 < found.memory_gib < 100_000
    assert machine.fingerprint(strategy="cpu", replicas=1, devices=("cpu:0",), threads=2) == found


def test_the_governor_is_that_of_all_cores(tmp_path: Path) -> None:
    assert machine.governor(tmp_path) is None
    for core, name in enumerate(["performance", "performance", "powersave"]):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{name}\n")
        assert machine.governor(tmp_path) == "performance" + ", powersave" * (core == 2)


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What runs as `nvidia-smi`; it is asked anew in the test and after it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    machine.nvidia_gpus.cache_clear()
    yield tmp_path / "nvidia-smi"
    machine.nvidia_gpus.cache_clear()


def test_gpus_and_driver_are_those_of_nvidia_smi(nvidia: Path) -> None:
    # The second name has a comma, to be sure.
    rows = "NVIDIA H100 80GB HBM3, 550.54.15\nNVIDIA A2, PCIe, 550.54.15"
    nvidia.write_text(f"#!/bin/sh\n[ $# = 2 ] && echo '{rows}'\n")
    nvidia.chmod(0o755)
    assert machine.nvidia_gpus() == (("NVIDIA H100 80GB HBM3", "NVIDIA A2, PCIe"), "550.54.15")
    nvidia.unlink()
    assert machine.nvidia_gpus()[1] == "550.54.15", "asked once in a process"


@pytest.mark.parametrize("script", [None, "echo No devices were found", "echo a, 1; exit 9"])
def test_without_a_driver_that_answers_there_are_no_gpus(script: str | None, nvidia: Path) -> None:
    if script:
        nvidia.write_text(f"#!/bin/sh\n{script}\n")
        nvidia.chmod(0o755)
    assert machine.nvidia_gpus() == ((), None)


def test_thread_settings_are_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in machine.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert machine.thread_settings() == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert machine.thread_settings() == {"OMP_NUM_THREADS": "2"}


def test_thread_settings_tell_the_threads_of_tensorflow_once_it_is_loaded() -> None:
    code = """
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(3)
from harness.machine import thread_settings
print({name: thread_settings()[name] for name in ("intra_op", "inter_op")})
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "{'intra_op': '3', 'inter_op': '0'}\n"


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "there-is-no-such-package"))
    assert machine.package_versions() == {"numpy": np.__version__}


def test_the_host_is_told_apart_but_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine.host_digest()
    assert re.fullmatch("[0-9a-f]{12}", here)
    assert here == machine.host_digest()
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    assert machine.host_digest() != here


@pytest.mark.parametrize(
    ("text", "cores"),
    [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None), (None, None)],
)
def test_cpu_quota(text: str | None, cores: float | None) -> None:
    assert machine._cpu_quota(text) == cores


def test_cores_count_the_affinity_mask() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has an affinity mask")
    one = min(os.sched_getaffinity(0))
    code = "from harness.machine import cpu_cores; print(cpu_cores())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"


def git(folder: Path, *arguments: str) -> str:
    user = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *user, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A work tree with one commit that tracks `room/code.py`; returns the room."""
    room = tmp_path / "room"
    room.mkdir()
    (room / "code.py").write_text("1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "room/code.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return room


@needs_git
def test_git_commit_and_dirty_flag(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert machine.git_state(checkout) == (head, False)
    (checkout / "notes.txt").write_text("untracked files do not count\n")
    assert machine.git_state(checkout) == (head, False)
    (checkout / "code.py").write_text("2\n")
    assert machine.git_state(checkout) == (head, True)


@needs_git
def test_a_folder_that_git_does_not_track_has_no_commit(checkout: Path, tmp_path: Path) -> None:
    # Such as an environment inside somebody's repository.
    installed = tmp_path / ".venv" / "room"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("1\n")
    assert machine.git_state(installed) == (None, None)


@needs_git
def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    assert machine.git_state(tmp_path) == (None, None)


@needs_git
def test_the_git_of_a_surrounding_hook_is_not_asked(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert machine.git_state(checkout) == (head, False)


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.git_state(Path(__file__).parent) == (None, None)


def test_a_command_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMAND_TIMEOUT_S", 0.2)
    assert machine._output(sys.executable, "-c", "import time; time.sleep(60)") is None


def peak_of(code: str) -> float:
    program = f"from harness.machine import peak_rss_mib\n{code}\nprint(peak_rss_mib())"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def test_peak_memory_is_of_this_process_in_mib() -> None:
    # A byte other than 0, as untouched pages of zeros take no memory.
    ballast = bytes([1]) * (300 * 2**20)
    assert machine.peak_rss_mib() > 300
    small = peak_of("pass")
    assert 5 < small < 100  # not charged with what its parent holds
    assert peak_of("bytes([1]) * (200 * 2**20)") - small == pytest.approx(200, abs=10)
    del ballast
