"""Child processes of Python: what they import, and in words how they ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.child_python import LAST_WORDS, environment, exit_text, last_words, python
from harness.cmd_workers import _try

CODE = "import os, random, sys; from harness.errors import BenchError; from mine import here"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with modules named as others, last on the path as `bench` puts it."""
    (tmp_path / "harness").mkdir()
    for name in ("random.py", "harness/__init__.py"):
        (tmp_path / name).write_text("raise RuntimeError('another one')")
    (tmp_path / "mine.py").write_text("here = True")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def test_a_child_finds_modules_where_this_process_does(home: Path) -> None:
    tell = f"{CODE}; print(os.environ['ADDED'], *sys.argv[1:])"
    said = subprocess.run(
        python("-c", tell, "a", "b"), env=environment({"ADDED": "1"}), capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    assert said == "1 a b\n"


def test_what_is_tried_before_a_sweep_is_not_misled_by_the_current_folder(home: Path) -> None:
    assert _try(CODE, "") == (0, "exit code 0")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
    ],
)
def test_how_it_ended(code: int, words: str) -> None:
    assert exit_text(code) == words


def test_last_words_are_the_last_line_that_is_not_blank(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == "", "no file"
    log.write_bytes(b"of another process\n")
    start = log.stat().st_size
    assert last_words(log, start) == ""
    log.write_bytes(log.read_bytes() + b"Traceback\nValueError: \xff no\n \n")
    assert last_words(log, start) == "ValueError: \ufffd no"
    log.write_text("first\n" + "x" * 5000)
    assert last_words(log) == "x" * LAST_WORDS
