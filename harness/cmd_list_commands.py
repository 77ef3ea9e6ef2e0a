"""`bench list` and its commands: what can be chosen, by name."""

from __future__ import annotations

import click


@click.group(name="list")
def list_group() -> None:
    """List what can be chosen: backbones, heads, recipes, strategies, datasets, scenes."""


@list_group.command(name="backbones")
def list_backbones() -> None:
    """List the backbones, also those of plug-ins."""
    from architectures import registry

    _table([(entry.name, entry.summary or f"from {entry.owner}") for entry in registry.entries()])


@list_group.command(name="heads")
def list_heads() -> None:
    """List the heads, which turn features into class and box."""
    from architectures.builtin import HEADS

    _table(list(HEADS.items()))


@list_group.command(name="recipes")
def list_recipes() -> None:
    """List the recipes: options that work well together."""
    from harness.recipes import RECIPES

    _table([(name, f"{each.meaning} {each.words()}") for name, each in RECIPES.items()])


@list_group.command(name="strategies")
def list_strategies() -> None:
    """List the ways to spread work over devices."""
    from harness.devices import STRATEGIES

    _table(list(STRATEGIES.items()))


@list_group.command(name="datasets")
def list_datasets() -> None:
    """List the sources of images."""
    from harness.datasets import DATASETS

    _table(list(DATASETS.items()))


@list_group.command(name="scenes")
def list_scenes() -> None:
    """List the presets of scenes: the options that each stands for."""
    from harness.scene_spec import PRESETS

    _table([(name, spec.option_words()) for name, spec in PRESETS.items()])


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")
