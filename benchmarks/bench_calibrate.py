"""How often are identical contenders called different, and is a slowdown of 10 % found?

Rounds of three processes each: two of the same contender (A/A), and one whose steps wait 10 %
longer (`slowed_cell`). On the very same samples three rules are tried:

- one pair against the noise floor made of all other pairs, as a single calibration would give it;
- blocks of rounds by the whole rule of `bench throughput`: the interval over the rounds of the
  block, and the floor made of the pairs outside of it;
- Welch's t-test over the graph calls of two processes, which is what is often done.

`nox -s bench_calibrate` runs it; a round takes half a minute or longer. Cells are appended to a
file, and rounds that stand there already are not measured again, so that it can go on in slices
(`--limit-s`). Shares come with exact binomial intervals (Clopper & Pearson 1934).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy import stats
from slowed_cell import SLOWDOWN, SLOWED

from harness.cell import Cell, CellPlan, Contender
from harness.cell_processes import order, run_cells
from harness.config import RunConfig
from reports.noise_limit import log_limit, steps_differ
from reports.speed import decide, ratio

FIRST, SECOND = "first", "second"
NAMES = (FIRST, SECOND, SLOWED)
RATE = "images_per_s"

Rounds = dict[int, dict[str, Cell]]
"""Round -> name of a contender -> its cell."""


def main() -> int:
    """Measure what is missing, print how often each rule was right, and return the exit code."""
    arguments = _parser().parse_args()
    config = RunConfig(backbone=arguments.backbone, dataset=arguments.dataset)
    contenders = [Contender(name=name, config=config) for name in NAMES]
    until = time.monotonic() + arguments.limit_s
    longest_s = 0.0
    for number in range(1, arguments.rounds + 1):
        if number in _read(arguments.out):
            continue
        begun = time.monotonic()
        if begun + longest_s > until:
            break
        _measure(contenders, number, CellPlan(seconds=arguments.seconds), arguments.out)
        longest_s = max(longest_s, time.monotonic() - begun)
    _report(_read(arguments.out), block=arguments.block)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Try the rule for differences of speed.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--block", type=int, default=5, help="rounds of a comparison")
    parser.add_argument("--backbone", default="patch-s")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--limit-s", type=float, default=math.inf)
    parser.add_argument("--out", type=Path, default=Path("bench_calibrate.jsonl"))
    return parser


def _measure(contenders: Sequence[Contender], number: int, plan: CellPlan, out: Path) -> None:
    """Measure a round and append it in one piece: half a round compares nothing."""
    cells = []
    for place, contender in enumerate(order(contenders, number), start=1):
        (cell,) = run_cells([contender], repeats=1, plan=plan, probe="slowed_cell:tell")
        if cell.status == "failed":
            raise SystemExit(f"{contender.name}: {cell.reason}")
        cells.append(dataclasses.replace(cell, round=number, place=place))
    with out.open("a", encoding="utf-8") as file:
        file.write("".join(cell.dumps() + "\n" for cell in cells))
    rates = ", ".join(f"{cell.contender} {cell.value(RATE):,.0f}" for cell in cells)
    print(f"round {number}: {rates} images/s", flush=True)


def _read(out: Path) -> Rounds:
    rounds: Rounds = {}
    if out.exists():
        for line in out.read_text(encoding="utf-8").splitlines():
            cell = Cell.from_json(json.loads(line))
            rounds.setdefault(cell.round, {})[cell.contender] = cell
    return rounds


def _report(rounds: Rounds, *, block: int) -> None:
    """Print false alarms and found slowdowns, in single pairs and in blocks of rounds."""
    numbers = sorted(rounds)
    if len(numbers) < 2 * block:
        print(f"{len(numbers)} rounds are measured; the figures need at least {2 * block}")
        return
    blocks = [numbers[i : i + block] for i in range(0, len(numbers) - block + 1, block)]
    pairs = [[number] for number in numbers]
    apart = [abs(found) for found in _logs(rounds, SECOND, numbers)]
    print(f"{len(numbers)} rounds; A/A pairs are {_percent(max(apart))} apart at most,")
    print(f"noise floor {_percent(log_limit(_logs(rounds, SECOND, numbers)))} for one pair")
    for other, what in ((SECOND, "identical"), (SLOWED, f"{SLOWDOWN:.0%} slower")):
        print(f"{what}, called different:")
        _count("  single pairs against the floor", pairs, lambda n, o=other: _beyond(rounds, o, n))
        _count(f"  {block} rounds, the whole rule", blocks, lambda n, o=other: _told(rounds, o, n))
        _count("  t-test within runs", pairs, lambda n, o=other: _t_test(rounds, o, n[0]))


def _count(what: str, parts: list[list[int]], different: Callable[[list[int]], bool]) -> None:
    hits = sum(map(different, parts))
    ends = stats.binomtest(hits, len(parts)).proportion_ci(0.95, method="exact")
    print(f"{what:<36} {hits:>2} of {len(parts)} [{ends.low:.1%}, {ends.high:.1%}]")


def _beyond(rounds: Rounds, other: str, part: list[int]) -> bool:
    """Return whether one pair is beyond the floor that all other rounds give."""
    return abs(_logs(rounds, other, part)[0]) > _limit(rounds, part)


def _told(rounds: Rounds, other: str, part: list[int]) -> bool:
    """Return whether `bench throughput` would tell the two apart from these rounds."""
    one, two = ({n: _rate(rounds[n][name]) for n in part} for name in (FIRST, other))
    floor = math.expm1(_limit(rounds, part) / math.sqrt(len(part)))
    return decide(ratio(one, two), floor)[0] != "cannot separate"


def _t_test(rounds: Rounds, other: str, number: int) -> bool:
    one, two = (rounds[number][name].measures[RATE].samples for name in (FIRST, other))
    return steps_differ(one, two)


def _limit(rounds: Rounds, without: list[int]) -> float:
    return log_limit(_logs(rounds, SECOND, [n for n in sorted(rounds) if n not in without]))


def _logs(rounds: Rounds, other: str, part: Sequence[int]) -> list[float]:
    return [math.log(_rate(rounds[n][FIRST]) / _rate(rounds[n][other])) for n in part]


def _rate(cell: Cell) -> float:
    rate = cell.value(RATE)
    assert rate is not None, "a cell that finished has a rate"
    return rate


def _percent(log_ratio: float) -> str:
    return f"{100 * math.expm1(log_ratio):.1f} %"


if __name__ == "__main__":
    sys.exit(main())
