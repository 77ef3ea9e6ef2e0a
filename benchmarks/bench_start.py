"""How long `bench` takes to start: each help, the lists, and the first training step of a run.

    python benchmarks/bench_start.py [help] [list] [step] [--runs N]

- `help`: wall seconds of `bench --help` and of each command's help, as whole processes. Median of
  each at most 0.25 s.
- `list`: the same of `bench list` and what it lists. At most 0.5 s.
- `step`: from the start of `bench run` on the digits to the end of its first graph call, minus
  what a bare `import tensorflow` takes; all in turns. At most 1.5 s, building and compiling
  included, in a folder with results; in a new one MLflow's database has to be made first.

Exits 1 if a target is missed. `nox -s bench_start` runs all three.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, time

import click

from harness.cli import bench

HELP_S, LIST_S, STEP_S = 0.25, 0.5, 1.5
PARTS = ("help", "list", "step")

URI_VARIABLE = "MLFLOW_TRACKING_URI"
"""Left out, so that each folder has a store of its own."""

_FIRST_CALL = """
import os, sys, time
from harness import cli, cmd_run
def images(self, epoch, done):
    sys.stdout.write(f"\\nfirst call {time.time()}\\n")
    sys.stdout.flush()
    os._exit(0)
cmd_run.RunProgress.images = images
cli.main()
"""
"""`bench` that ends when its first graph call has."""


def main() -> int:
    """Measure what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(description="Measure how long bench takes to start.")
    parser.add_argument("parts", nargs="*", type=_part, help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    parts, runs = arguments.parts or PARTS, arguments.runs
    print(f"{'':<30}{'min':>8}{'median':>8}{'max':>8}  s, {runs} runs each")
    missed = []
    for part in parts:
        match part:
            case "help":
                held = [_whole([*words.split(), "--help"], runs, HELP_S) for words in commands()]
            case "list":
                held = [_whole(words.split(), runs, LIST_S) for words in lists()]
            case _:
                held = [_first_step(runs)]
        missed += [part] if not all(held) else []
    print(f"missed: {', '.join(missed)}" if missed else "every target is met")
    return 1 if missed else 0


def _part(text: str) -> str:
    # `choices` would refuse to get none.
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"a part is one of {', '.join(PARTS)}, got {text!r}")
    return text


def commands(group: click.Group = bench, prefix: str = "") -> Iterator[str]:
    """Yield each command as it is typed after `bench`, groups and their own commands too."""
    yield prefix.strip()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}".strip()


def lists() -> Iterator[str]:
    """Yield each list command as it is typed after `bench`."""
    return (words for words in commands() if words.startswith("list "))


def _whole(words: Sequence[str], runs: int, limit_s: float) -> bool:
    """Print how long a command takes; return whether the median keeps to the limit."""
    script = str(Path(sys.executable).parent / "bench")
    return _row(
        f"bench {' '.join(words)}", [_seconds([script, *words]) for _ in range(runs)], limit_s
    )


def _first_step(runs: int) -> bool:
    bare, new, known = [], [], []
    for _ in range(runs):
        bare.append(_seconds([sys.executable, "-c", "import tensorflow"]))
        with tempfile.TemporaryDirectory() as out:
            new.append(_until_first_call(out))
            known.append(_until_first_call(out))
    _row("import tensorflow", bare, float("inf"))
    _row("first call, new folder", new, float("inf"))
    _row("first call, known folder", known, float("inf"))
    added = [mine - theirs for mine, theirs in zip(known, bare, strict=True)]
    return _row("what bench adds to TensorFlow", added, STEP_S)


def _until_first_call(out: str) -> float:
    options = ["run", "--dataset", "digits", "--epochs", "1", "--no-test", "--out", out]
    environment = {name: value for name, value in os.environ.items() if name != URI_VARIABLE}
    start = time()  # a clock that both processes share
    said = subprocess.run(
        [sys.executable, "-c", _FIRST_CALL, *options], check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    ).stdout  # fmt: skip
    ended = next(line for line in said.splitlines() if line.startswith("first call "))
    return float(ended.rpartition(" ")[2]) - start


def _seconds(command: Sequence[str]) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - start


def _row(name: str, samples: Sequence[float], limit_s: float) -> bool:
    median = statistics.median(samples)
    print(f"{name:<30}{min(samples):>8.3f}{median:>8.3f}{max(samples):>8.3f}", flush=True)
    return median <= limit_s


if __name__ == "__main__":
    sys.exit(main())
