"""What is compared, as it is typed."""

from __future__ import annotations

import shlex
from typing import Any

import click
import pytest

from harness.cell_plan import Contender
from harness.config import RunConfig
from harness.errors import UsageError
from harness.options import config_options, given
from harness.timed_contenders import UNTIMED, read_contenders


@click.command()
@click.option("--backbone", "backbones", multiple=True, default=["notebook-cnn"])
@click.option("--contender", "contenders", multiple=True)
@config_options(without=("backbone", *UNTIMED))
@click.pass_context
def command(context: click.Context, /, **values: Any) -> tuple[Contender, ...]:
    return read_contenders(values, given="backbones" in given(context))


def parse(line: str) -> tuple[Contender, ...]:
    found: tuple[Contender, ...] = command.main(shlex.split(line), standalone_mode=False)
    return found


def test_backbones_share_the_other_options() -> None:
    assert parse("--backbone patch-s --backbone readme-cnn --batch-size 32") == (
        Contender(name="patch-s", config=RunConfig(backbone="patch-s", batch_size=32)),
        Contender(name="readme-cnn", config=RunConfig(backbone="readme-cnn", batch_size=32)),
    )
    assert parse("") == (Contender(name="notebook-cnn", config=RunConfig()),)


def test_contenders_set_fields_of_their_own_over_the_options() -> None:
    text = "backbone=patch-s,batch_size=128,jit=on"
    assert parse(f"--contender {text} --contender width=0.5,batch-size=8 --batch-size 32") == (
        Contender(name=text, config=RunConfig(backbone="patch-s", batch_size=128, jit="on")),
        Contender(name="width=0.5,batch-size=8", config=RunConfig(width=0.5, batch_size=8)),
    )


def test_one_backbone_serves_contenders_that_name_none() -> None:
    found = parse("--backbone patch-s --contender jit=off --contender 'jit = on'")
    assert [each.config.backbone for each in found] == ["patch-s", "patch-s"]
    assert [each.config.jit for each in found] == ["off", "on"]


def test_lists_of_devices_keep_their_commas() -> None:
    (found,) = parse("--contender devices=cpu:0,cpu:1,batch_size=32")
    assert (found.config.devices, found.config.batch_size) == ("cpu:0,cpu:1", 32)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--contender patch-s", "--contender must read NAME=VALUE,NAME=VALUE, got 'patch-s'."),
        ("--contender jit=", "must read NAME=VALUE"),
        ("--contender =on", "must read NAME=VALUE"),
        ("--contender jit=on,", "`jit` must be one of off, on, auto, got 'on,'."),
        (
            "--contender batch_sise=3",
            "Unknown configuration field 'batch_sise'. Did you mean 'bat",
        ),
        ("--contender batch_size=many", "`batch_size` must be a whole number, got 'many'."),
        ("--contender batch_size=1.5", "`batch_size` must be a whole number, got '1.5'."),
        ("--contender width=wide", "`width` must be a number, got 'wide'."),
        ("--contender width=nan", "`width` must be greater than 0"),
        ("--contender batch_size=0", "`batch_size` must be at least 1"),
        ("--contender jit=on,jit=off", "must name each field once"),
        ("--contender backbone=patch", "Unknown backbone 'patch'."),
        ("--contender epochs=3", "`epochs` changes nothing that is timed here."),
        ("--contender evaluate_test=no", "`evaluate_test` changes nothing that is timed here."),
        ("--backbone patch-s --backbone patch-s", "'patch-s' and 'patch-s' are the same"),
        ("--contender jit=off --contender batch_size=64", "'jit=off' and 'batch_size=64' are the"),
        (
            "--backbone patch-s --backbone residual-s --contender jit=on",
            "but there are 2. Name ea",
        ),
        ("--jit auto", "--contender jit=off --contender jit=on."),
        ("--contender jit=auto", "`bench throughput` needs `jit` on or off, got 'auto'."),
        ("--strategy multiworker", "has no use for `multiworker`"),
        ("--learning-rate-scaling sqrt --warmup-epochs 11", "must be at most the 10 epochs"),
        ("--contender depth=3", "'notebook-cnn' has no `depth` to set"),
        (
            "--contender strategy=mirrored,devices=cpu:0,cpu:1,global_batch_size=33",
            "divisible by the 2 replicas of `mirrored`, but got 33. Use 32 or 34.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(line: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(line)
    assert words in str(error.value)
