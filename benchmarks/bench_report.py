"""How long a report of many runs takes, and how that grows with their number.

    python benchmarks/bench_report.py [sweeps] [tested] [--runs 250,500,1000] [--times N]

- `sweeps`: sweeps of 50 trials with 3 finals each; one run in 18 was tested, on 10,000 images.
- `tested`: runs that were all tested, three seeds of each configuration. The harder case.

The runs are made in an MLflow store on SQLite, as `bench` makes them, but not trained. Then
`bench report --all` is timed as a whole process, and so is importing what it imports; CPU seconds
stand beside those of the clock, as they suffer less from what else a machine does; the processes
that draw are not in them. Making 1,000
runs takes minutes and, if all were tested, gigabytes.

Exits 1 if 1,000 runs take more than 10 s. `nox -s bench_report` runs `sweeps`.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

from fabricated_runs import sweeps, tested

from harness.config import RunConfig
from harness.record import RunRecord
from harness.store import Store
from harness.track import Tracker
from sweeps.plan import SweepPlan

TARGET_S, OF_RUNS = 10.0, 1000
PARTS: dict[str, Callable[[Store, int, int], Iterator[RunRecord]]] = {
    "sweeps": sweeps, "tested": tested
}  # fmt: skip
_IMPORTS = """
import harness.cli, harness.cmd_report, harness.fetch, harness.track, reports.publish
harness.cmd_report.collect_seldom()
"""
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}


def main() -> int:
    """Measure what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(description="Measure reports of many runs.")
    parser.add_argument(
        "parts", nargs="*", type=_part, help=f"{', '.join(PARTS)} (default: sweeps)"
    )
    parser.add_argument("--runs", default="250,500,1000", help="how many runs, ascending")
    parser.add_argument("--times", type=int, default=3, help="reports of each; the fastest counts")
    parser.add_argument("--out", type=Path, help="folder that is kept and used again")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.runs.split(",")]
    met = [_measured(part, counts, arguments) for part in arguments.parts or ["sweeps"]]
    return 0 if all(met) else 1


def _part(text: str) -> str:
    # `choices` would refuse to get none.
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"a part is one of {', '.join(PARTS)}, got {text!r}")
    return text


def _measured(part: str, counts: list[int], arguments: argparse.Namespace) -> bool:
    """Print a line for each number of runs; return whether the target is met."""
    bare = min(_seconds([sys.executable, "-c", _IMPORTS]) for _ in range(arguments.times))
    print(f"{part}: imports alone {bare[0]:.1f} s, CPU {bare[1]:.1f} s", flush=True)
    took: dict[int, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        out = (arguments.out or Path(temporary)) / part
        for count in counts:
            _fill(out, part, count)
            took[count] = wall_s, cpu_s = min(_report(out) for _ in range(arguments.times))
            alone = f"{wall_s - bare[0]:6.1f} s, CPU {cpu_s - bare[1]:6.1f} s"
            print(f"{part}: {count:>5} runs {wall_s:6.1f} s, CPU {cpu_s:6.1f} s; "
                  f"without imports {alone}", flush=True)  # fmt: skip
    first, last = counts[0], counts[-1]
    if first != last:
        ratio = (took[last][1] - bare[1]) / (took[first][1] - bare[1])
        power = math.log(ratio) / math.log(last / first)
        print(f"{part}: {last / first:g} times the runs take {ratio:.1f} times the CPU time "
              f"without imports: growth to the power {power:.2f}")  # fmt: skip
    if OF_RUNS not in took:
        return True
    met = took[OF_RUNS][0] <= TARGET_S
    print(f"{part}: target {TARGET_S:g} s for {OF_RUNS:,} runs {'met' if met else 'missed'}")
    return met


def _fill(out: Path, part: str, count: int) -> None:
    """Add runs to the folder and its MLflow store until there are as many."""
    store, begun, opened = Store(out), perf_counter(), set[str]()
    there = sum(1 for _ in (out / "runs").glob("*/sent.json"))
    with Tracker(None, store, notify=print) as tracker:
        for record in PARTS[part](store, there, count):
            if record.sweep is not None and record.sweep not in opened:
                opened.add(record.sweep)
                tracker.open_sweep(_plan(record.sweep).to_json())
            tracker.finish(record)
        tracker.flush(patience_s=7200)
        for name in opened:
            tracker.close_sweep(name, {"status": "finished", "trials_granted": 50})
        tracker.flush(patience_s=7200)
    print(f"  {part}: {count} runs made in {perf_counter() - begun:.0f} s", flush=True)


def _plan(name: str) -> SweepPlan:
    return SweepPlan(
        name=name, base=RunConfig(dataset="mnist"), data_source="mnist", data_digest="0",
        trial_overrides={"epochs": 8}, final_overrides={"epochs": 8},
    )  # fmt: skip


def _report(out: Path) -> tuple[float, float]:
    shutil.rmtree(out / "reports", ignore_errors=True)
    script = str(Path(sys.executable).parent / "bench")
    return _seconds([script, "report", "--all", "--out", str(out)])


def _seconds(command: list[str]) -> tuple[float, float]:
    """Return the seconds of the clock and of all CPUs that a process took."""
    start, before = perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=_ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return perf_counter() - start, cpu_s


if __name__ == "__main__":
    sys.exit(main())
