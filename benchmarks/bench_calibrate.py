"""How often are identical cells called different, and is a slowdown of 10 % found?

Measures rounds of three contenders, each in processes of its own, in turns: A and B are the same,
S sleeps after each graph call for a tenth of its time. Then it judges them:

- A against B by a t-test on the steps of two processes, as is often done;
- by one process each against the noise floor of the other rounds;
- by five rounds: Student's t over rounds, and the noise floor of the other rounds;
- S against A and B by one process each, by five rounds, and by all.

Each cell is appended to a file, and a later call goes on with it, so that it can be measured in
parts while others use the machine. Run it by `nox -s bench_calibrate`. It ends with exit code 1 if
false alarms are so many that 5 % is out of question, or all rounds together do not find the
slowdown: how many that takes depends on how far apart the machine's processes are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from harness.cell import Cell, CellPlan, Contender
from harness.cell_processes import order, run_cells
from harness.config import RunConfig
from harness.noise_floor import FALSE_ALARMS
from reports.speed import decide, ratio
from reports.speed_floor import log_limit, steps_differ

NAMES = ("A", "B", "S")
ROUNDS = 5
PROBE = "slowed_cell:tell"  # beside this file


def main() -> int:
    """Measure what is missing as far as time allows, print figures and return the exit code."""
    arguments = _parser().parse_args()
    measure(arguments)
    rounds = complete_rounds(arguments.file)
    print(f"{len(rounds)} of {arguments.pairs} rounds in {arguments.file}")
    return report(rounds) if len(rounds) > ROUNDS else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure false alarms of verdicts on speed.")
    parser.add_argument("--file", type=Path, default=Path("bench-calibrate.jsonl"))
    parser.add_argument("--pairs", type=int, default=20, help="rounds in all (default 20)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop before so many")
    parser.add_argument("--backbone", default="notebook-cnn")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--seconds", type=float, default=2.0, help="timed in each process")
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Append rounds to the file until there are enough or time is over."""
    # A sample is a graph call: with many steps in each, seconds hold too few for a t-test.
    config = RunConfig(
        backbone=arguments.backbone, dataset=arguments.dataset, steps_per_call=1
    )  # fmt: skip
    contenders = [Contender(name=name, config=config) for name in NAMES]
    begun, longest_s = time.monotonic(), 0.0
    for number in range(len(complete_rounds(arguments.file)) + 1, arguments.pairs + 1):
        start = time.monotonic()
        if start - begun + longest_s > 60 * arguments.minutes:
            return
        turns, plan = order(contenders, number), CellPlan(seconds=arguments.seconds)
        cells = list(run_cells(turns, repeats=1, plan=plan, probe=PROBE))
        failed = [cell.reason for cell in cells if cell.status == "failed"]
        if failed:
            sys.exit(f"A cell failed: {failed[0]}")
        lines = [dataclasses.replace(cell, round=number).dumps() + "\n" for cell in cells]
        with arguments.file.open("a", encoding="utf-8") as file:
            file.writelines(lines)
        longest_s = max(longest_s, time.monotonic() - start)
        rates = ", ".join(f"{c.contender} {c.value('images_per_s') or 0:.0f}" for c in cells)
        print(f"round {number}: {rates} images/s, {longest_s:.0f} s at most", flush=True)


def complete_rounds(file: Path) -> list[dict[str, Cell]]:
    """Return the rounds in a file in which all were measured: name -> cell."""
    found: dict[int, dict[str, Cell]] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            cell = Cell.from_json(json.loads(line))
            found.setdefault(cell.round, {})[cell.contender] = cell
    return [found[number] for number in sorted(found) if len(found[number]) == len(NAMES)]


def report(rounds: Sequence[dict[str, Cell]]) -> int:
    """Print the figures and return the exit code."""
    logs = {
        name: np.log([each[name].value("images_per_s") or math.nan for each in rounds])
        for name in NAMES
    }
    null, gaps = logs["A"] - logs["B"], (logs["A"] - logs["S"], logs["B"] - logs["S"])
    spread = math.sqrt(np.mean(null**2) / 2)
    disturbed = sum(cell.disturbed > 0 for each in rounds for cell in each.values())
    print(f"spread between processes {spread:.1%}; {disturbed} of {3 * len(rounds)} disturbed")
    print(f"floor of one process each {math.expm1(log_limit(null)):.1%}, "
          f"of {ROUNDS} {math.expm1(log_limit(null, rounds=ROUNDS)):.1%}")  # fmt: skip
    slowdowns = ", ".join(f"{math.expm1(gap.mean()):.1%}" for gap in gaps)
    print(f"slowdown as measured over all rounds: {slowdowns}\n")
    print(f"{'called different':<58}{'of':>4}  share  exact 95 % interval")
    steps = [
        steps_differ(*(each[name].measures["images_per_s"].samples for name in "AB"))
        for each in rounds
    ]
    _line("A, B: t-test on the steps of two processes", steps)
    ones = [abs(null[i]) > log_limit(np.delete(null, i)) for i in range(len(null))]
    ours = [_line("A, B: one process each, beyond the floor", ones)]
    fives = [_claimed(null[each], _outside(null, each)) for each in _windows(len(null))]
    ours.append(_line(f"A, B: {ROUNDS} rounds, interval and floor", fives))
    singles = [gap[i] > log_limit(np.delete(null, i)) for gap in gaps for i in range(len(gap))]
    _line("S: one process each, beyond the floor", singles)
    found = [
        _claimed(gap[each], _outside(null, each)) for gap in gaps for each in _windows(len(null))
    ]
    _line(f"S: {ROUNDS} rounds, interval and floor", found)
    whole = [_claimed(gap, log_limit(null, rounds=len(null))) for gap in gaps]
    _line(f"S: all {len(null)} rounds, interval and floor", whole)
    return int(any(low > FALSE_ALARMS for low in ours) or not all(whole))


def _windows(rounds: int) -> Iterator[slice]:
    """Yield disjoint spans of rounds."""
    return (slice(start, start + ROUNDS) for start in range(0, rounds - ROUNDS + 1, ROUNDS))


def _outside(null: np.ndarray, window: slice) -> float:
    """Return the floor that the rounds outside a window set for those in it."""
    return log_limit(np.delete(null, window), rounds=ROUNDS)


def _claimed(logs: np.ndarray, limit: float) -> bool:
    """Return whether rounds are called different, by their interval and a floor."""
    ratios = {number: math.exp(value) for number, value in enumerate(logs)}
    outcome, _ = decide(ratio(dict.fromkeys(ratios, 1.0), ratios), math.expm1(limit))
    return outcome != "cannot separate"


def _line(what: str, called: Sequence[bool | np.bool_]) -> float:
    """Print a share with its interval (Clopper & Pearson 1934) and return the lower end."""
    hits, n = sum(map(bool, called)), len(called)
    low, high = stats.binomtest(hits, n).proportion_ci(method="exact")
    print(f"{what:<52}{hits:>6}{n:>4}{hits / n:>7.0%}  {low:.0%} to {high:.0%}")
    return float(low)


if __name__ == "__main__":
    sys.exit(main())
