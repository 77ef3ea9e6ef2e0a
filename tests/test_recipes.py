"""Recipes as defaults that every other option overrides."""

from __future__ import annotations

import shlex
from typing import Any

import click
import pytest

from harness import options
from harness.config import RunConfig, knobs
from harness.errors import UsageError
from harness.options import check_config, config_options, read_config, read_configs, recipe_option
from harness.recipes import RECIPES, recipe


@click.command()
@click.option("--backbone", "backbones", multiple=True, default=["notebook-cnn"])
@recipe_option
@config_options(without=("backbone",))
@click.pass_context
def command(context: click.Context, **values: Any) -> tuple[list[RunConfig], set[str]]:
    return read_configs(values), options.given(context)


@click.command()
@recipe_option
@config_options()
@click.pass_context
def passing_on(context: click.Context, **values: Any) -> tuple[RunConfig, list[str]]:
    return read_config(values), options.typed(context, without=("strategy",))


def parse(line: str) -> tuple[list[RunConfig], set[str]]:
    result: tuple[list[RunConfig], set[str]] = command.main(
        shlex.split(line), standalone_mode=False
    )
    return result


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_a_configuration_that_can_be_trained(name: str) -> None:
    fields = RECIPES[name].fields
    assert set(fields) <= set(knobs())
    assert "backbone" in fields
    (config,), chosen = parse(f"--recipe {name}")
    assert config == RunConfig(**fields)
    check_config(config)
    assert chosen == {"backbones", *fields} - {"backbone"}, "so that no data set changes them"


def test_without_a_recipe_nothing_changes() -> None:
    configs, chosen = parse("")
    assert configs == [RunConfig()]
    assert chosen == set()


@pytest.mark.parametrize("line", ["--recipe fast --epochs 3 --head dense",
                                  "--epochs 3 --head dense --recipe fast"])  # fmt: skip
def test_other_options_override_it_wherever_they_stand(line: str) -> None:
    (config,), _ = parse(line)
    assert (config.epochs, config.head) == (3, "dense")
    assert config.box_loss == RECIPES["fast"].fields["box_loss"]


def test_backbones_of_ones_own_take_the_rest_of_it() -> None:
    configs, _ = parse("--recipe fast --backbone residual-s --backbone readme-cnn")
    assert [config.backbone for config in configs] == ["residual-s", "readme-cnn"]
    assert {config.learning_rate for config in configs} == {
        RECIPES["fast"].fields["learning_rate"]
    }


def test_its_words_are_the_options_that_do_the_same() -> None:
    assert parse(RECIPES["fast"].words())[0] == parse("--recipe fast")[0]


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"--recipe must be one of .*got 'fasst'.*mean 'fast'"):
        parse("--recipe fasst")
    with pytest.raises(UsageError):
        recipe("")


@pytest.mark.parametrize("name", RECIPES)
def test_a_command_for_one_backbone_takes_it_and_passes_it_on(name: str) -> None:
    line = ["--epochs", "3", "--recipe", name, "--no-test", "--strategy", "cpu"]
    config, words = passing_on.main(line, standalone_mode=False)
    fields = {**RECIPES[name].fields, "epochs": 3, "evaluate_test": False}
    assert config == RunConfig(**fields, strategy="cpu")
    assert parse(shlex.join(words))[0] == [RunConfig(**fields)]
    assert "--recipe" not in words
    assert parse(shlex.join(words))[1] == {"backbones", *fields} - {"backbone"}
