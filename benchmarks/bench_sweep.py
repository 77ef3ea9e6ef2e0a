"""What the machinery of sweeps costs: overhead, scaling, growth, traces.

    python benchmarks/bench_sweep.py [overhead] [scaling] [growth] [traces]

- `overhead`: trials of known length (20 s in 8 epochs) with the real tracker on SQLite: the share
  of the wall clock in which workers idle, and the CPU time of the coordinator. At most 3 %.
- `scaling`: trials per hour of two workers against one, in real training without pruning, on the
  same two cores; rounds alternate, ratio with a 95 % interval. At least 1.6.
- `growth`: 1,000 trials of 0.3 s: memory of the coordinator and time per trial along the way.
- `traces`: three trials of one backbone in one process: functions traced and seconds, one by one.

Exits 1 if a target is missed. `nox -s bench_sweep` runs all four, on an idle machine in some 30
minutes; options make each smaller.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

from scipy import stats

from harness.cmd_sweep_tracker import SweepTracker
from harness.config import RunConfig
from harness.draft import Identity
from harness.store import Store
from harness.track import Tracker
from sweeps.coordinator import run_sweep
from sweeps.listeners import Event, RunEnded, RunStarted
from sweeps.plan import SweepPlan
from sweeps.pool import LocalPool

OVERHEAD, SPEED_UP, GROWTH = 0.03, 1.6, 1.2
"""Targets: share of the wall clock; ratio; memory at the end over that after a tenth."""

PARTS = ("overhead", "scaling", "growth", "traces")


def main() -> int:
    """Measure what is asked for and return the exit code."""
    arguments = _parser().parse_args()
    measures = {
        "overhead": _overhead, "scaling": _scaling, "growth": _growth, "traces": _traces,
    }  # fmt: skip
    missed = [part for part in arguments.parts or PARTS if not measures[part](arguments)]
    print(f"missed: {', '.join(missed)}" if missed else "every target is met")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the machinery of sweeps.")
    parser.add_argument("parts", nargs="*", type=_part, help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--trial-s", type=float, default=20.0, help="length of a trial (overhead)")
    parser.add_argument("--trials", type=_at_least(2), default=24, help="trials (overhead)")
    parser.add_argument("--rounds", type=int, default=4, help="pairs of sweeps (scaling)")
    parser.add_argument("--sweep", default="--dataset digits --trials 8 --trial-epochs 6",
                        help="options of `bench sweep` (scaling)")  # fmt: skip
    parser.add_argument("--many", type=_at_least(20), default=1000, help="trials (growth)")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"it must be at least {least}, got {value}")
        return value

    return number


def _part(text: str) -> str:
    # `choices` would refuse to get none.
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"a part is one of {', '.join(PARTS)}, got {text!r}")
    return text


class Clock:
    """An observer: when runs started and ended, and what the coordinator had used by then."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.ended: list[float] = []
        self.cpu_s: list[float] = []
        self.rss_mib: list[float] = []

    def __call__(self, event: Event) -> None:
        """Note the time."""
        if isinstance(event, RunStarted):
            self.started.append(perf_counter())
        if isinstance(event, RunEnded):
            self.ended.append(perf_counter())
            self.cpu_s.append(process_time())
            self.rss_mib.append(_rss_mib())


def _known_sweep(folder: str, *, trials: int, workers: int, trial_s: float, epochs: int) -> Clock:
    """Run trials of known length as `bench sweep` would, tracker and all."""
    store, clock = Store(Path(folder)), Clock()
    plan = SweepPlan(
        name="known", base=RunConfig(epochs=epochs), data_source="none", data_digest="0",
        finals=0, pruner="median",
    )  # fmt: skip
    pool = partial(LocalPool, execute="known_work:execute", log_dir=store.sweep_dir(plan.name))
    with Tracker(None, store, notify=print) as tracker:
        tracker.check()
        run_sweep(
            plan, total=trials, workers=workers, store=store, start_pool=pool,
            tracker=SweepTracker(tracker), observer=clock, job_extra={"trial_s": trial_s},
        )  # fmt: skip
        begun = perf_counter()
        tracker.flush(patience_s=3600)
        print(f"  MLflow was {perf_counter() - begun:.1f} s behind at the end")
    return clock


def _overhead(arguments: argparse.Namespace) -> bool:
    workers, trials = 2, arguments.trials
    with tempfile.TemporaryDirectory() as folder:
        clock = _known_sweep(
            folder, trials=trials, workers=workers, trial_s=arguments.trial_s, epochs=8
        )
    wall_s = clock.ended[-1] - clock.started[0]
    idle = 1 - trials * arguments.trial_s / (workers * wall_s)
    cpu_s = (clock.cpu_s[-1] - clock.cpu_s[0]) / (trials - 1)
    share = cpu_s * trials / (workers * wall_s)
    print(
        f"overhead: {trials} trials of {arguments.trial_s:g} s, {workers} workers: idle "
        f"{idle:.2%} of {wall_s:.0f} s; coordinator {cpu_s:.3f} s of CPU per trial, {share:.2%} "
        f"of the workers' time; together {idle + share:.2%}, target {OVERHEAD:.0%}"
    )
    return bool(idle + share <= OVERHEAD)


def _scaling(arguments: argparse.Namespace) -> bool:
    ratios: list[float] = []
    lengths: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(arguments.rounds):
        order = (1, 2) if turn % 2 == 0 else (2, 1)
        per_hour = {}
        for workers in order:
            per_hour[workers], length_s = _real_sweep(arguments.sweep, workers)
            lengths[workers].append(length_s)
        ratios.append(per_hour[2] / per_hour[1])
        rates = ", ".join(f"{per_hour[n]:,.0f} trials/h by {n}" for n in (1, 2))
        print(f"  round {turn + 1}: {rates}: ratio {ratios[-1]:.2f}", flush=True)
    ratio, low, high = interval(ratios)
    alone, beside = (statistics.fmean(lengths[n]) for n in (1, 2))
    print(
        f"scaling: 2 workers do {ratio:.2f} [{low:.2f}, {high:.2f}] times the trials of 1, target "
        f"{SPEED_UP}; a trial takes {alone:.2f} s alone and {beside:.2f} s beside another, so the "
        f"cores give {2 * alone / beside:.2f}; starting, compiling and idling do the rest"
    )
    return ratio >= SPEED_UP


def _real_sweep(options: str, workers: int) -> tuple[float, float]:
    """Return trials per hour from the first start to the last end, and the mean length in s.

    The first trial of each worker compiles; it is left out of the mean length, not of the rate.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                Path(sys.executable).parent / "bench", "sweep", *options.split(), "--pruner",
                "none", "--final-seeds", "0", "--no-report", "--workers", str(workers), "--out",
                folder,
            ],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        records = sorted(Store(Path(folder)).records(), key=lambda record: record.started_at)
    starts = [datetime.fromisoformat(record.started_at).timestamp() for record in records]
    ends = [start + record.duration_s for start, record in zip(starts, records, strict=True)]
    length_s = statistics.fmean(record.duration_s for record in records[workers:])
    return 3600 * len(records) / (max(ends) - min(starts)), length_s


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean and its 95 % interval (Student's t on the logarithms)."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), math.nan, math.nan
    half = stats.t.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _growth(arguments: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        clock = _known_sweep(folder, trials=arguments.many, workers=2, trial_s=0.3, epochs=8)
    step = max(1, arguments.many // 10)
    marks = range(step, arguments.many + 1, step)
    for mark in marks:
        before, now = max(0, mark - step - 1), mark - 1
        wall_ms, cpu_ms = (
            1e3 * (times[now] - times[before]) / (now - before)
            for times in (clock.ended, clock.cpu_s)
        )
        print(
            f"  trial {mark:>5}: {clock.rss_mib[now]:6.0f} MiB, {wall_ms:5.0f} ms and "
            f"{cpu_ms:5.0f} ms of the coordinator's CPU per trial"
        )
    first, last = clock.rss_mib[marks[0] - 1], clock.rss_mib[marks[-1] - 1]
    print(f"growth: memory {first:.0f} to {last:.0f} MiB, target at most {GROWTH} times")
    return last <= GROWTH * first


def _traces(_arguments: argparse.Namespace) -> bool:
    from harness.engine import Engine
    from harness.run import execute

    config = RunConfig(dataset="digits", epochs=2, evaluate_test=False)
    counts = []
    with tempfile.TemporaryDirectory() as folder:
        for trial in range(3):
            begun = perf_counter()
            tried = dataclasses.replace(config, learning_rate=1e-3 / (trial + 1), seed=trial)
            tried = dataclasses.replace(tried, box_weight=1.0 + trial)
            execute(
                tried, identity=Identity(run_id=f"t{trial}"), store=Store(Path(folder)),
                data_dir=None,
            )  # fmt: skip
            engines = [found for found in gc.get_objects() if isinstance(found, Engine)]
            counts.append(sum(traced(engine) for engine in engines))
            print(f"  trial {trial}: {perf_counter() - begun:.1f} s, {counts[-1]} traces so far")
    print(f"traces: {counts[-1] - counts[0]} after the first trial, target 0")
    return counts[0] > 0 and counts[-1] == counts[0]


def traced(engine: object) -> int:
    """Return how many traces the functions of an engine hold."""
    name = "experimental_get_tracing_count"
    counts = (getattr(part, name, None) for part in vars(engine).values())
    return sum(int(count()) for count in counts if count is not None)


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    sys.exit(main())
