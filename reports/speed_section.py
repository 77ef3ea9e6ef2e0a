"""The part of a report that says how fast contenders were in `bench throughput`."""

from __future__ import annotations

from collections.abc import Sequence

from harness.noise_floor import NoiseFloor
from harness.record import METRICS
from harness.timings import Timings
from reports.speed import Speed, overhead_share, pairs, speeds
from reports.speed_floor import floor_of_machine
from reports.speed_words import floor_words, overhead_words, remarks, verdict_words
from reports.statistics import Estimate
from reports.wording import code, count, interval, number, table, text

_READING = (
    "Each contender was measured in processes of its own, in turns with the others, once its pace "
    "was stationary. Values are medians over processes. **Ratio** is training images/s over those "
    "of the first contender in the same round, with its interval over rounds. **MFU** is 3 x the "
    "FLOP of a forward pass x images/s, over the peak that a matrix product of the same data type "
    "reached in the same process."
)

_COLUMNS = (
    "images_per_s", "step_p50_ms", "step_p90_ms", "mfu", "inference_images_per_s",
    "latency_p50_ms", "latency_p90_ms", "latency_p99_ms", "peak_rss_mib",
)  # fmt: skip


def speed_lines(timings: Sequence[Timings], floors: Sequence[NoiseFloor] = ()) -> list[str]:
    """Return tables and verdicts of timings; nothing if there are none.

    Args:
        timings: what to tell of.
        floors: calibrations, of any machines.
    """
    lines: list[str] = []
    for each in timings:
        lines += _one(each, floor_of_machine(floors, each.machine))
    return ["## Speed", "", *lines, _READING, ""] if lines else []


def _one(timings: Timings, floor: NoiseFloor | None) -> list[str]:
    rows = [row for row in speeds(timings) if row.processes]
    if not rows:
        return []
    unfinished = "" if timings.status == "finished" else ", interrupted"
    where = "" if timings.machine is None else f" on {text(timings.machine.cpu_model)}"
    what = f"{count(timings.repeats, 'round')} of {timings.plan.seconds:g} s each{where}"
    lines = [f"{what} (timings {code(timings.name)}{unfinished}):", ""]
    head = ["contender", "images/s", "ratio", *(_title(name) for name in _COLUMNS[1:])]
    lines += table(head, [_row(row) for row in rows], right="-" + "r" * (len(head) - 1))
    compared = pairs(timings, floor)
    words = list(verdict_words(compared))
    if compared:
        words.append(floor_words(compared))
    if timings.overhead is not None:
        words.append(overhead_words(overhead_share(timings.overhead)))
    words += remarks(speeds(timings))
    return [*lines, *(f"- {text(line)}" for line in words), ""]


def _row(row: Speed) -> list[str]:
    first, *others = (row.measures.get(name, Estimate(absent="none")) for name in _COLUMNS)
    cells = [_cell(each, METRICS[name].digits)
             for name, each in zip(_COLUMNS[1:], others, strict=True)]  # fmt: skip
    ratio = "" if row.ratio.value is None else _with_ends(row.ratio, 3)
    return [code(row.name), _with_ends(first, METRICS["images_per_s"].digits), ratio, *cells]


def _title(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title}, {metric.unit}" if metric.unit == "ms" else metric.title


def _cell(estimate: Estimate, digits: int) -> str:
    return "absent" if estimate.value is None else number(estimate.value, digits)


def _with_ends(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return "absent"
    return f"{number(estimate.value, digits)} {interval(estimate, digits)}".rstrip()
