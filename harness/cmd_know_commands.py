"""`bench doctor`, `describe`, `check` and `certify`: what they accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.config import knobs
from harness.contender_specs import MOST_STEPS, check_shares, parse_specs
from harness.devices import visible_gpus
from harness.errors import UsageError
from harness.options import (
    Sectioned,
    config_options,
    data_dir_option,
    out_option,
    place_options,
    place_values,
    read_config,
)

DESCRIBED = {
    "head", "width", "depth", "pretrained", "batch_size", "canvas_px", "strategy", "precision",
    "jit",
}  # fmt: skip
"""Fields of a configuration that decide what a network is and costs."""

CERTIFIED_WITHOUT = {
    "batch_size", "global_batch_size", "epochs", "patience", "evaluate_test", "strategy",
    "devices",
}  # fmt: skip
"""Fields that a certificate sets itself, or that its few steps have no use for."""


@click.command()
@click.option(
    "--peaks/--no-peaks", "peaks", default=True, show_default=True,
    help="Measure matrix products and memory traffic, which takes some seconds.",
)  # fmt: skip
@data_dir_option
@place_options
def doctor(**values: Any) -> None:
    """Show what this machine has, what can be used here and why not the rest.

    Devices and versions, which strategies can be used, the speed of matrix products and memory as
    measured, where the data is, and whether output folder, tracking store and sweeps are in
    order. Exit code 1 if something must be mended first.
    """
    from harness import cmd_doctor

    cmd_doctor.doctor(peaks=values["peaks"], **place_values(values))


@click.command(cls=Sectioned)
@click.argument("backbone", metavar="BACKBONE")
@config_options(without=set(knobs()) - DESCRIBED)
@click.option("--layers", "every_layer", is_flag=True, help="List every layer of a deep network.")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FILE",
    help="Diagram to write (PNG).  [default: describe-BACKBONE.png in --out]",
)  # fmt: skip
@out_option
def describe(**values: Any) -> None:
    """Show the layers of a network and what they cost, as a table and a diagram.

    Parameters and multiply-adds of each layer, FLOP of an image, and the memory that one training
    step takes, measured in a process of its own. More than 60 layers are summed up in blocks.
    """
    config = read_config(values)
    if config.jit == "auto":
        raise UsageError(
            "`bench describe` measures one step: it needs `jit` on or off, got 'auto'."
        )
    from harness import cmd_describe

    cmd_describe.describe(
        config, every_layer=values["every_layer"], to=values["to"], out=values["out"]
    )


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="BACKBONE...")
def check(names: tuple[str, ...]) -> None:
    """Check that backbones keep the contract, and say how to mend those that do not.

    Builds each on scenes of 75x75 and other sizes, and checks shapes, seeds, saving, gradients,
    mixed precision, XLA and two replicas. Exit code 1 if a check fails.
    """
    from architectures import registry

    for name in names:
        registry.check_name(name)
    from harness import cmd_check

    cmd_check.check(names)


@click.command(cls=Sectioned)
@click.option(
    "--strategies", default="cpu,mirrored,multiworker", show_default=True, metavar="A,B[:N]",
    help="What to compare, the reference first: cpu, gpu, mirrored, multiworker.",
)  # fmt: skip
@click.option(
    "--global-batch-size", type=int, default=64, show_default=True, metavar="N",
    help="Images per step over all replicas, the same for every strategy.",
)  # fmt: skip
@click.option(
    "--steps", type=int, default=20, show_default=True, metavar="N", help="Steps of the loss path."
)
@config_options(without=CERTIFIED_WITHOUT)
@data_dir_option
@place_options
def certify(**values: Any) -> None:
    """Prove that strategies train the same network, or name the first quantity that differs.

    The same weights and batches go through each strategy: first loss and gradient, averages of
    batch normalisation, outputs after an update, the loss path, and evaluations that do not divide
    into batches. Limits come from control runs of the reference. mirrored:4 and multiworker:3 say
    how many replicas; multiworker is processes on this machine. Exit code 1 if something differs.
    """
    if not 2 <= values["steps"] <= MOST_STEPS:
        raise UsageError(f"--steps must be 2 to {MOST_STEPS}, got {values['steps']}.")
    config = read_config(values)
    gpus = visible_gpus()
    specs = parse_specs(values["strategies"], gpus=len(gpus))
    check_shares(specs, values["global_batch_size"])
    from harness import cmd_certify

    cmd_certify.certify(config, specs, steps=values["steps"], gpus=gpus, **place_values(values))
