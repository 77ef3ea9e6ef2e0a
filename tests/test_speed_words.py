"""Speeds in words: verdicts, what the harness costs, what is absent and why."""

from __future__ import annotations

import dataclasses

import pytest
from timed import cell, contender, failed, timings

from harness.timings import Overhead
from reports.speed import Pair, overhead_share, pairs, speeds
from reports.speed_words import floor_words, overhead_words, remarks, verdict_words
from reports.statistics import Estimate


def pair(value: float, low: float, high: float, outcome: str) -> Pair:
    estimate = Estimate(value=value, low=low, high=high, varied="rounds", n=5, method="t")
    return Pair(
        first="a",
        other="b",
        ratio=estimate,
        floor=None,
        outcome=outcome,
        reason=None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pair(1.12, 1.094, 1.151, "faster"), "b is faster than a by 12 % [9.4, 15]"),
        (pair(0.88, 0.85, 0.91, "slower"), "b is slower than a by 12 % [9.0, 15]"),
        (pair(3.0, 2.5, 3.6, "faster"), "b is faster than a by 200 % [150, 260]"),
    ],
)
def test_differences_are_told_as_positive_per_cent(found: Pair, words: str) -> None:
    assert list(verdict_words([found])) == [words]


def test_what_cannot_be_separated_has_a_reason() -> None:
    same = timings({"notebook-cnn": (100.0, 101.0), "patch-s": (101.0, 100.0)})
    assert list(verdict_words(pairs(same))) == [
        "cannot separate patch-s from notebook-cnn: the interval over 2 rounds includes 1"
    ]
    (words,) = verdict_words(pairs(timings(cells=())))
    assert words.endswith(": there is no round in which both were measured")


def test_what_cannot_be_separated_for_one_reason_is_told_once() -> None:
    rates = {
        "notebook-cnn": (100.0, 101.0), "patch-s": (101.0, 100.0), "readme-cnn": (100.5, 100.4),
    }  # fmt: skip
    alike = pairs(timings(rates))
    reason = "the interval over 2 rounds includes 1"
    assert list(verdict_words(alike)) == [f"cannot separate any two: {reason}"]
    other = dataclasses.replace(alike[2], reason="it is noise")
    assert list(verdict_words([*alike[:2], other])) == [
        f"cannot separate patch-s from notebook-cnn, readme-cnn from notebook-cnn: {reason}",
        "cannot separate readme-cnn from patch-s: it is noise",
    ]


def test_a_floor_is_told_or_how_to_find_it() -> None:
    unknown = pairs(timings())
    assert floor_words(unknown) == "no noise floor is known here: `bench calibrate` measures it"
    known = [dataclasses.replace(each, floor=0.0234) for each in unknown]
    assert floor_words(known) == "the noise floor of this machine is 2.3 % for so many processes"


def test_what_the_harness_costs() -> None:
    cost = Overhead(contender="a", pairs=((1.0, 1.004), (1.0, 1.001), (1.0, 1.008)))
    assert overhead_words(overhead_share(cost)) == (
        "the harness costs 0.4 % [0.1, 0.8] of the training time (3 pairs of pieces with and "
        "without progress and logging)"
    )
    assert overhead_words(overhead_share(Overhead(contender="a", reason="No room."))) == (
        "what the harness costs is unknown: No room."
    )


def test_a_reader_is_told_what_is_absent_disturbed_or_failed() -> None:
    made = timings()
    shaken = cell("patch-s", 4, 130.0, flags=("never became stationary within 60 s",),
                  disturbances=((), ("steal 12 %", "others used 0.8 cores")),
                  phases={"latency": ("steal 3 %",)})  # fmt: skip
    made = timings(
        cells=(*made.cells, shaken, failed(), failed(number=2)),
        contenders=(*made.contenders, contender("readme-cnn")),
    )
    first, second, third, *others = remarks(speeds(made))
    assert first == (
        "in brackets: 95 % intervals over processes (of medians 75 %: 3 processes cannot give "
        "more)"
    )
    assert second == "readme-cnn failed 2 times: No such luck."
    assert third == (
        "patch-s: 17 % of the timed training was disturbed, as by: steal 12 %; latency was "
        "disturbed in 1 of 4 processes"
    )
    assert others == [
        "patch-s: never became stationary within 60 s (1 of 4 processes)",
        "latency, p99 of notebook-cnn, patch-s is absent: too few samples",
    ]


def test_of_six_processes_nothing_is_said_of_levels() -> None:
    first, *_ = remarks(speeds(timings({"patch-s": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)})))
    assert first == "in brackets: 95 % intervals over processes"


def test_where_nothing_was_measured_there_are_no_brackets() -> None:
    assert list(remarks(speeds(timings(cells=())))) == []
