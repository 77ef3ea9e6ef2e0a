"""Wall seconds of `bench --help` and of each command's help, as whole processes.

    python benchmarks/bench_help.py [runs]

Exits 1 if a median exceeds the 0.25 s that a help may take.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import click

from harness.cli import bench

LIMIT_S = 0.25


def commands(group: click.Group = bench, prefix: str = "") -> Iterator[str]:
    """Yield each command as it is typed after `bench`, groups and their own commands too."""
    yield prefix.strip()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}".strip()


def main() -> int:
    """Measure, print a line for each command, and return the exit code."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    slow = 0
    print(f"{'help of':<22}{'min':>8}{'median':>8}{'max':>8}  s, {runs} runs each")
    for command in commands():
        samples = [_seconds(command) for _ in range(runs)]
        median = statistics.median(samples)
        slow += median > LIMIT_S
        print(f"bench {command:<16}{min(samples):>8.3f}{median:>8.3f}{max(samples):>8.3f}")
    return 1 if slow else 0


def _seconds(command: str) -> float:
    script = Path(sys.executable).parent / "bench"
    start = perf_counter()
    subprocess.run([script, *command.split(), "--help"], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
