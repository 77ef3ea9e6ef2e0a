"""Speeds in words, the same on a terminal and in a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.record import METRICS
from reports.speed import Pair, Speed
from reports.statistics import LEVEL, Estimate

_TOLD = (
    "images_per_s", "step_p50_ms", "mfu", "inference_images_per_s", "latency_p50_ms",
    "latency_p99_ms", "mflops", "compile_s",
)  # fmt: skip
"""Measures whose absence is told; the other percentiles are absent for the same reason."""


def verdict_words(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield the verdicts, a sentence each; one for all that cannot be separated for one reason."""
    told = set()
    for pair in pairs:
        reason = _why_not(pair)
        if reason is None:
            yield f"{pair.other} is {pair.outcome} than {pair.first} by {_percent(pair.ratio)}"
        elif reason not in told:
            told.add(reason)
            alike = [each for each in pairs if _why_not(each) == reason]
            which = [f"{each.other} from {each.first}" for each in alike]
            everyone = len(which) == len(pairs) > 1
            yield f"cannot separate {'any two' if everyone else ', '.join(which)}: {reason}"


def _why_not(pair: Pair) -> str | None:
    """Return why two contenders cannot be separated; None if they are."""
    return pair.ratio.absent if pair.ratio.value is None else pair.reason


def floor_words(pairs: Sequence[Pair]) -> str:
    """Return what is known of the least difference that this machine can tell."""
    floors = [pair.floor for pair in pairs if pair.floor is not None]
    if not floors:
        return "no noise floor is known here: `bench calibrate` measures it"
    return f"the noise floor of this machine is {100 * min(floors):.1f} % for so many processes"


def overhead_words(overhead: Estimate) -> str:
    """Return in a sentence what the harness costs."""
    if overhead.value is None:
        return f"what the harness costs is unknown: {overhead.absent}"
    return (
        f"the harness costs {_number(100 * overhead.value)} %{_ends(overhead, 100)} of the "
        f"training time ({overhead.n} pairs of pieces with and without progress and logging)"
    )


def remarks(speeds: Sequence[Speed]) -> Iterator[str]:
    """Yield what a reader of speeds has to know."""
    yield from _level_words(speeds)
    for row in speeds:
        for reason in dict.fromkeys(row.failures):
            times = row.failures.count(reason)
            yield f"{row.name} failed {'once' if times == 1 else f'{times} times'}: {reason}"
    for row in speeds:
        if row.disturbed or row.disturbed_phases:
            yield f"{row.name}: {'; '.join(_disturbance_words(row))}"
        for flag, times in row.flags.items():
            yield f"{row.name}: {flag} ({times} of {row.processes} processes)"
    for (title, reason), names in _absent(speeds).items():
        whose = "" if len(names) == len(speeds) else f" of {', '.join(names)}"
        yield f"{title}{whose} is absent: {reason}"


def _disturbance_words(row: Speed) -> Iterator[str]:
    if row.disturbed:
        yield (
            f"{100 * row.disturbed:.0f} % of the timed training was disturbed, as by: "
            f"{row.disturbed_by}"
        )
    for times in sorted(set(row.disturbed_phases.values()), reverse=True):
        names = sorted(name for name, count in row.disturbed_phases.items() if count == times)
        were = "was" if len(names) == 1 else "were"
        yield f"{' and '.join(names)} {were} disturbed in {times} of {row.processes} processes"


def _level_words(speeds: Sequence[Speed]) -> Iterator[str]:
    found = [e for row in speeds for e in row.measures.values() if e.low is not None]
    if not found:
        return
    level = min(estimate.level for estimate in found)
    words = f"in brackets: {100 * LEVEL:.0f} % intervals over processes"
    if level < LEVEL:
        fewest = min(estimate.n for estimate in found)
        words += f" (of medians {100 * level:.3g} %: {fewest} processes cannot give more)"
    yield words


def _absent(speeds: Sequence[Speed]) -> Mapping[tuple[str, str], list[str]]:
    """Return (title, reason) of what is absent -> of which contenders."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in speeds:
        for name in _TOLD:
            estimate = row.measures.get(name)
            if estimate is not None and estimate.value is None:
                key = METRICS[name].title, estimate.absent or ""
                found.setdefault(key, []).append(row.name)
    return found


def _percent(ratio: Estimate) -> str:
    """Return how far a ratio is from 1, such as "12 % [9, 15]", always as positive numbers."""
    assert ratio.value is not None
    ends = [ratio.low, ratio.high]
    sign = 1 if ratio.value >= 1 else -1
    away = sorted(100 * sign * (end - 1) for end in ends if end is not None)
    text = f"{_number(100 * sign * (ratio.value - 1))} %"
    return f"{text} [{', '.join(map(_number, away))}]" if away else text


def _ends(estimate: Estimate, factor: float) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" [{_number(factor * estimate.low)}, {_number(factor * estimate.high)}]"


def _number(value: float) -> str:
    """Return a number of per cent with the digits that matter; never "-0.0"."""
    text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"
    return text.lstrip("-") if float(text) == 0 else text
