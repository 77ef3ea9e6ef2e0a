"""The command lines that bench prints do what they say: read back, they give the same plan."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

import click
import pytest

from harness import cli
from harness.cmd_group import member_searches, named_members
from harness.cmd_lines import best_command, sweep_command
from harness.cmd_sweep_request import Request, searched_space, searched_spaces, sweep_plan
from harness.code_version import code_version
from harness.config import RunConfig
from harness.errors import UsageError
from harness.options import given, places, read_configs
from sweeps.axes import Axis, Choice, Range, Value
from sweeps.backoff import Backoff
from sweeps.plan import SweepPlan
from sweeps.sampler import TrialRow
from sweeps.search_file import read_search
from sweeps.space import DEFAULT_SPACE, SearchSpace

PLAIN = SweepPlan(
    name="s", base=RunConfig(dataset="digits", epochs=60, threads=1), seed=0,
    data_source="digits", data_digest="00", code=code_version([RunConfig()]),
    trial_overrides={"epochs": 20, "train_examples": None},
)  # fmt: skip
ODD = dataclasses.replace(
    PLAIN,
    name="odd.one",
    base=dataclasses.replace(
        PLAIN.base, backbone="readme-cnn", batch_size=32, precision="mixed_bfloat16",
        learning_rate_scaling="linear", reference_batch_size=32, warmup_epochs=0.5,
        learning_rate=0.005, jit="on", seed=7,
        global_batch_size=48, devices="cpu:0,cpu:1", strategy="mirrored", patience=3,
    ),
    seed=7,
    space=SearchSpace(
        axes=(
            Range(name="class_weight", low=0.5, high=2.0),
            Range(name="box_weight", low=1e-05, high=100.0, log=True),
            Range(name="steps_per_call", low=10, high=40, step=10),
        )
    ),
    trial_overrides={"epochs": 4, "train_examples": 500},
    finals=0,
    sampler="random",
    pruner="none",
    oom_backoff=True,
)  # fmt: skip
FIXED = dataclasses.replace(
    PLAIN,
    base=dataclasses.replace(PLAIN.base, learning_rate=0.001),
    space=SearchSpace(axes=DEFAULT_SPACE.axes[1:]),
)
MIXED = dataclasses.replace(
    PLAIN,
    space=SearchSpace(
        axes=(
            Choice(name="head", values=("soft-argmax", "dense")),
            Range(name="width", low=0.25, high=1.0),
            Choice(name="depth", values=(3, 1, 2)),
            *DEFAULT_SPACE.axes[:2],
            Choice(name="box_weight", values=(1.0, 0.1234567890123456)),
            Choice(name="batch_size", values=(16, 32, 64)),
            Choice(name="jit", values=("off", "on")),
        )
    ),
)
CONDITIONAL = dataclasses.replace(
    PLAIN,
    space=SearchSpace(
        axes=(
            Choice(name="backbone", values=("notebook-cnn", "residual-s", "mine.nets:deep")),
            Choice(name="width", values=(0.5, 1.0)),
            Choice(name="depth", values=(1, 2), only_for=("residual-s", "mine.nets:deep")),
            *DEFAULT_SPACE.axes,
        )
    ),
)


def axes_of(*texts: str) -> tuple[Axis, ...]:
    return tuple(axis for text in texts for axis in read_search(text))


def space_of(texts: Sequence[str], chosen: Collection[str]) -> SearchSpace:
    return searched_space(axes_of(*texts), chosen)


def typed(line: str) -> tuple[click.Context, RunConfig]:
    """Return the context and configuration of a `bench sweep` or `bench run` line."""
    _, name, *words = shlex.split(line)
    context = cli.bench.commands[name].make_context(name, words)
    (config,) = read_configs(context.params)
    return context, config


@pytest.mark.parametrize(
    "plan",
    [PLAIN, ODD, FIXED, MIXED, CONDITIONAL],
    ids=["plain", "odd", "fixed", "mixed", "conditional"],
)
def test_the_line_of_a_sweep_gives_its_plan_back(plan: SweepPlan) -> None:
    context, config = typed(sweep_command(plan, 12))
    values, chosen = context.params, given(context)
    request = Request.of(values)
    (space,) = searched_spaces([config], request.search, chosen)
    config = dataclasses.replace(config, threads=1)
    again = sweep_plan(config, request, space, "digits", "00", examples=1197)
    assert again == plan
    assert request.trials == 12


def test_the_line_of_a_group_gives_its_plans_back() -> None:
    deep = SearchSpace(axes=(Choice(name="depth", values=(1, 2)), *DEFAULT_SPACE.axes))
    bases = [dataclasses.replace(PLAIN.base, backbone=b) for b in ("residual-s", "notebook-cnn")]
    plans = named_members(
        [dataclasses.replace(PLAIN, base=base, space=space, finals=2)
         for base, space in zip(bases, (deep, DEFAULT_SPACE), strict=True)], "g",
    )  # fmt: skip
    line = sweep_command(plans[1], 12, members=plans, top=2)
    _, name, *words = shlex.split(line)
    context = cli.bench.commands[name].make_context(name, words)
    values, configs = context.params, read_configs(context.params)
    request = Request.of(values)
    spaces = searched_spaces(configs, request.search, given(context))
    again = [
        sweep_plan(
            dataclasses.replace(config, threads=1), request, space, "digits", "00", examples=1197
        )
        for config, space in zip(configs, spaces, strict=True)
    ]
    assert named_members(again, request.name) == plans
    assert (request.trials, request.top) == (12, 2)


def test_the_line_of_the_best_is_that_of_its_first_final() -> None:
    params = {"class_weight": 1.2345678901234567, "box_weight": 3e-05, "steps_per_call": 30}
    best = TrialRow(number=3, status="finished", params=params, value=0.5)
    _, config = typed(best_command(ODD, best))
    assert config == ODD.final_task(3, params, 1).config
    backoff = Backoff(field="global_batch_size", too_large=(48,), size=24)
    _, config = typed(best_command(ODD, dataclasses.replace(best, backoff=backoff)))
    assert config.global_batch_size == 24


def test_the_line_of_the_best_names_what_was_chosen() -> None:
    params: dict[str, Value] = {
        "head": "soft-argmax", "width": 0.3, "depth": 2, "learning_rate": 0.001,
        "class_weight": 1.0, "box_weight": 1.0, "batch_size": 16, "jit": "on",
    }  # fmt: skip
    best = TrialRow(number=3, status="finished", params=params, value=0.5)
    words = shlex.split(best_command(MIXED, best))
    for option, value in (
        ("head", "soft-argmax"),
        ("width", "0.3"),
        ("depth", "2"),
        ("jit", "on"),
    ):
        assert words[words.index(f"--{option}") + 1] == value


def test_places_are_named_only_where_they_are_unusual() -> None:
    assert places(Path("bench-runs"), None, "bench") == ""
    assert places(Path("a b"), None, "x") == " --out 'a b' --experiment x"
    secret = places(Path("bench-runs"), "http://me:password@host:5000", "bench")
    assert secret == " --tracking-uri http://host:5000"


def test_axes_are_added_to_the_default_space_in_the_order_of_the_fields() -> None:
    width, depth = "width=0.25..1", "depth=1,2"
    space = space_of((depth, width), ())
    assert space.names() == ("width", "depth", "learning_rate", "class_weight", "box_weight")
    assert space_of((width, depth), ()) == space
    assert space.axes[2:] == DEFAULT_SPACE.axes


def test_an_axis_replaces_that_of_its_field() -> None:
    space = space_of(("class_weight=1,2",), ())
    assert space.names() == DEFAULT_SPACE.names()
    assert space.axes[1] == Choice(name="class_weight", values=(1.0, 2.0))


def test_what_is_fixed_is_not_searched() -> None:
    fixed = {"learning_rate", "class_weight", "box_weight", "trials"}
    assert space_of(("depth=1,2",), fixed).names() == ("depth",)
    with pytest.raises(UsageError, match="every field of the default space is fixed"):
        space_of((), fixed)
    with pytest.raises(UsageError, match=r"`depth` is either searched or fixed.*--depth"):
        space_of(("depth=1,2",), {"depth"})


def test_a_field_is_searched_in_one_way() -> None:
    with pytest.raises(UsageError, match="`depth` must be searched in one way"):
        space_of(("depth=1,2", "depth=1..4"), ())


def test_a_sweep_over_backbones_is_not_named_after_one() -> None:
    request = Request(
        trials=1, name=None, search=(), trial_epochs=None, trial_examples=None, final_seeds=0,
        sampler="tpe", pruner="none", lookahead=4, workers=None, report=False,
    )  # fmt: skip
    space = space_of(("backbone=readme-cnn,notebook-cnn",), ())
    plan = sweep_plan(PLAIN.base, request, space, "digits", "00", examples=1197)
    assert plan.name.startswith("backbones-digits-")


def test_options_of_a_network_are_searched_where_there_are_any() -> None:
    axes = axes_of("depth=1,2", "width=0.5..1", "box_loss=mse,giou")
    plain, deep = member_searches(axes, ("notebook-cnn", "residual-s"))
    assert (plain, deep) == (axes[1:], axes)
    # None has it: it stays with all, to be refused like that of a single one.
    assert member_searches(axes, ("notebook-cnn", "readme-cnn")) == [axes, axes]
    with pytest.raises(UsageError, match=r"either compared, by several --backbone.*Leave one out"):
        member_searches(axes_of("backbone=a,b"), ("notebook-cnn", "residual-s"))


def test_a_group_is_named_after_its_backbones_in_any_order() -> None:
    plans = [
        dataclasses.replace(PLAIN, base=dataclasses.replace(PLAIN.base, backbone=backbone))
        for backbone in ("residual-s", "keras/MobileNetV2")
    ]
    there, back = named_members(plans, None), named_members(plans[::-1], None)
    assert there == back[::-1]
    group = str(there[0].group)
    assert group.startswith("keras-MobileNetV2-residual-s-digits-")
    assert [plan.name for plan in there] == [f"{group}.residual-s", f"{group}.keras-MobileNetV2"]
    many = [dataclasses.replace(plan, base=dataclasses.replace(plan.base, backbone=f"m:{n}" * 9))
            for n, plan in enumerate(plans)]  # fmt: skip
    assert str(named_members(many, None)[0].group).startswith("2-backbones-digits-")
