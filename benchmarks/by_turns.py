"""Processes that stay alive and work by turns, so that a machine's drift favours none of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

DATA_DIR_VARIABLE = "BENCH_DATA_DIR"


def quiet() -> dict[str, str]:
    """Return the environment of a measuring process, whatever folder it runs in."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    absolute = {DATA_DIR_VARIABLE: str(Path(folder).absolute())} if folder else {}
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | absolute


class Process:
    """A contender in a fresh process, which is warm and waits for its turn.

    Args:
        name: of the contender.
        program: a script that, given `--contender=NAME`, trains and ends its turns by `pauser`.
            It runs in a folder of its own, and its process is killed at the end.

    Attributes:
        rates: images per second of each turn, in order.
    """

    def __init__(self, name: str, program: str) -> None:
        self.name, self._program = name, program
        self.rates: list[float] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, self._program, f"--contender={self.name}"], env=quiet(), text=True,
            cwd=self._folder.name, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors,
        )  # fmt: skip
        self._read()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def take_turn(self) -> None:
        """Let it train for a turn and note its speed."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        images, seconds = self._read()
        self.rates.append(images / seconds)

    def _read(self) -> tuple[int, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise SystemExit(f"{self.name} failed:\n{self._errors.read()}")
        images, seconds = json.loads(line)
        return images, seconds


Pause = Callable[[int, float], None]
"""Tells the images and the seconds of a turn, and returns when the next one begins."""


def pauser() -> Pause:
    """Return what ends a turn of this process; what else it prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def pause(images: int, seconds: float) -> None:
        answers.write(json.dumps([images, seconds]) + "\n")
        answers.flush()
        if not sys.stdin.readline():
            sys.exit("whoever measures is gone")

    return pause
