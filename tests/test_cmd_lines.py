"""The command lines that bench prints do what they say: read back, they give the same plan."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import click
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from harness import cli, cmd_sweep
from harness.cmd_lines import best_command, sweep_command
from harness.config import RunConfig
from harness.options import given, places, read_config
from sweeps.plan import SweepPlan
from sweeps.sampler import TrialRow
from sweeps.space import DEFAULT_SPACE, Range, SearchSpace, parse_range

PLAIN = SweepPlan(
    name="s", base=RunConfig(dataset="digits", epochs=60, threads=1), seed=0,
    data_source="digits", data_digest="00", code=cmd_sweep.__version__,
    trial_overrides={"epochs": 20, "train_examples": None},
)  # fmt: skip
ODD = dataclasses.replace(
    PLAIN,
    name="odd.one",
    base=dataclasses.replace(
        PLAIN.base, backbone="readme-cnn", batch_size=32, learning_rate=0.005, jit="on", seed=7,
        global_batch_size=48, devices="cpu:0,cpu:1", strategy="mirrored", patience=3,
    ),
    seed=7,
    space=SearchSpace(
        ranges=(
            Range(name="class_weight", low=0.5, high=2.0),
            Range(name="box_weight", low=1e-05, high=100.0, log=True),
            Range(name="steps_per_call", low=10, high=40, step=10),
        )
    ),
    trial_overrides={"epochs": 4, "train_examples": 500},
    finals=0,
    sampler="random",
    pruner="none",
)  # fmt: skip
FIXED = dataclasses.replace(
    PLAIN,
    base=dataclasses.replace(PLAIN.base, learning_rate=0.001),
    space=SearchSpace(ranges=DEFAULT_SPACE.ranges[1:]),
)


def typed(line: str) -> tuple[click.Context, RunConfig]:
    """Return the context and configuration of a `bench sweep` or `bench run` line."""
    _, name, *words = shlex.split(line)
    context = cli.bench.commands[name].make_context(name, words)
    return context, read_config(context.params)


@pytest.mark.parametrize("plan", [PLAIN, ODD, FIXED], ids=["plain", "odd", "fixed"])
def test_the_line_of_a_sweep_gives_its_plan_back(plan: SweepPlan) -> None:
    context, config = typed(sweep_command(plan, 12))
    values, chosen = context.params, given(context)
    request = cmd_sweep.Request(
        **{field.name: values[field.name] for field in dataclasses.fields(cmd_sweep.Request)}
    )
    space = cmd_sweep._space(request.search, chosen)
    config = dataclasses.replace(config, threads=1)
    again = cmd_sweep._plan(config, request, space, "digits", "00")
    assert set(again.space.ranges) == set(plan.space.ranges)
    assert dataclasses.replace(again, space=plan.space) == plan
    assert request.trials == 12


def test_the_line_of_the_best_is_that_of_its_first_final() -> None:
    params = {"class_weight": 1.2345678901234567, "box_weight": 3e-05, "steps_per_call": 30}
    best = TrialRow(number=3, status="finished", params=params, value=0.5)
    _, config = typed(best_command(ODD, best))
    assert config == ODD.final_task(3, params, 1).config


def test_places_are_named_only_where_they_are_unusual() -> None:
    assert places(Path("bench-runs"), None, "bench") == ""
    assert places(Path("a b"), None, "x") == " --out 'a b' --experiment x"
    secret = places(Path("bench-runs"), "http://me:password@host:5000", "bench")
    assert secret == " --tracking-uri http://host:5000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-4..1e-2:log", DEFAULT_SPACE.ranges[0]),
        (" learning-rate=1e-4..0.01:log ", DEFAULT_SPACE.ranges[0]),
        ("batch_size=16..64:16", Range(name="batch_size", low=16, high=64, step=16)),
        ("box_weight=0.5..2", Range(name="box_weight", low=0.5, high=2)),
        ("box_weight=.5..2.", Range(name="box_weight", low=0.5, high=2.0)),
        ("box_weight=0...5", Range(name="box_weight", low=0, high=0.5)),
    ],
)
def test_ranges_are_read_as_they_are_typed(text: str, expected: Range) -> None:
    assert parse_range(text) == expected


@drawn(low=st.floats(1e-6, 1.0), high=st.floats(1.5, 9.0), log=st.booleans())
def test_printed_ranges_are_read_back_to_the_last_digit(
    low: float, high: float, log: bool
) -> None:
    space = SearchSpace(ranges=(Range(name="learning_rate", low=low, high=high, log=log),))
    line = sweep_command(dataclasses.replace(PLAIN, space=space), 1)
    context, _ = typed(line)
    assert tuple(map(parse_range, context.params["search"])) == space.ranges
