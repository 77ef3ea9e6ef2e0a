"""`bench describe`: what a network is made of and what it costs, as a table and a picture."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harness.config import RunConfig
from harness.console import console, note, quiet_stderr, waiting
from harness.errors import StoreError, UsageError
from harness.pools import CLASSES
from harness.record import Measure, ModelFacts
from harness.step_memory import StepMemory, measuring, result
from harness.store import Store, write_atomically
from reports.blocks import Block, added, blocks, shape_text, split_parts

MOST_ROWS = 60
"""Rows of layers on a screen; deeper networks are summed up in blocks unless all are asked for."""

TRAINING_FACTOR = 3
"""A training step costs about three forward passes: its backward pass needs two products for each
of the forward one, for the gradients of the weights and of the inputs (Kaplan et al. 2020,
"Scaling Laws for Neural Language Models", section 2.1)."""

_FLOAT32_BYTES = 4

_NATURAL = 1000  # columns, more than any table needs


def describe(config: RunConfig, *, every_layer: bool, to: Path | None, out: Path) -> None:
    """Print the layers and costs of a network, and draw its layers.

    Args:
        config: names backbone, options, head, batch size and devices.
        every_layer: list each layer, however many there are.
        to: PNG to write; by default `describe-NAME.png` in `out`.
        out: folder for all results.

    Raises:
        UsageError: a name is unknown, an option is not the backbone's, the head does not fit, or
            the strategy needs other processes.
        PluginError: backbone or head cannot be imported or built.
        StoreError: the picture cannot be written.
    """
    if config.strategy == "multiworker":
        raise UsageError(
            "`bench describe` measures a step of one process, so --strategy must not be "
            "multiworker. Use mirrored, or leave it out."
        )
    path = to or Store(out).root / f"describe-{file_name(config.backbone)}.png"
    _check_place(path, chosen=to is not None)
    with measuring(config) as process:
        facts, mflops = _facts(config)
        _show(config, facts, mflops, every_layer=every_layer)
        for line in cost_lines(facts, mflops):
            note(line)
        _draw(config, facts, path)
        with waiting("measuring the memory of one training step ..."):
            memory = result(process)
    note(memory_line(memory, config.batch_size))
    note(f"layers drawn in {path}")


def file_name(backbone: str) -> str:
    """Return the name of a backbone as a part of a file name."""
    return re.sub(r"[^\w.-]+", "-", backbone).strip("-._")


def _check_place(path: Path, *, chosen: bool) -> None:
    """Raise `StoreError` if a picture cannot be written there, before anything slow."""
    if path.is_dir():
        raise StoreError(f"--to must name a PNG file, but {path} is a folder.")
    try:
        Store(path.parent).check_writable()
    except StoreError as error:
        if not chosen:
            raise
        raise StoreError(
            f"--to must name a file in a folder that can be written, but {path.parent} cannot. "
            "Choose another."
        ) from error


def _facts(config: RunConfig) -> tuple[ModelFacts, Measure]:
    """Build the network on the CPU: a GPU is left to the process that measures."""
    with waiting("loading TensorFlow ...") as now, quiet_stderr():
        from harness.engines import open_devices
        from harness.model import blueprint, build, facts

        open_devices(dataclasses.replace(config, strategy="cpu", devices=""))
        now(f"building {config.backbone} ...")
        side = config.scene_spec().canvas_px
        plan = blueprint(config, image_shape=(side, side, 1), classes=CLASSES)
        return facts(build(plan, seed=0))


def layer_table(
    config: RunConfig, facts: ModelFacts, mflops: Measure, *, every_layer: bool = False
) -> Table:
    """Return layers or blocks, backbone and head with their sums, and the total."""
    body, head = split_parts(facts.layers)
    total = None if mflops.value is None else round(mflops.value * 1e6 / 2)
    table = Table(title=Text(_title(config)), title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="ellipsis")
    for column in ("output", "parameters", "multiply-adds", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    most = len(facts.layers) if every_layer else max(1, MOST_ROWS - len(head))
    for name, layers in (("backbone", body), ("head", head)):
        for block in blocks(layers, most):
            shape = shape_text(block.output_shape)
            costs = _costs(block.parameters, block.multiply_adds, total)
            table.add_row(Text(_name(block)), Text(block.kind), shape, *costs)
        products = added([layer.multiply_adds for layer in layers])
        costs = _costs(sum(layer.parameters for layer in layers), products, total)
        table.add_row(f"{name} total", "", "", *costs, style="bold")
        table.add_row()
    between = _between(facts, total)
    if between:
        table.add_row("between the layers", "", "", *_costs(0, between, total))
    table.add_row("total", "", "", *_costs(facts.parameters, total, total), style="bold")
    return table


def _show(config: RunConfig, facts: ModelFacts, mflops: Measure, *, every_layer: bool) -> None:
    """Print the table as wide as it needs; on a narrow terminal without the kinds of layers."""
    table = layer_table(config, facts, mflops, every_layer=every_layer)
    width = Measurement.get(console, console.options.update(width=_NATURAL), table).maximum
    if not console.is_terminal:
        Console(file=console.file, width=max(width, console.width)).print(table)
        return
    if width > console.width:
        table.columns.pop(1)
    console.print(table)


def cost_lines(facts: ModelFacts, mflops: Measure) -> Iterator[str]:
    """Yield in words where the backbone ends, and what parameters and an image cost."""
    body, _ = split_parts(facts.layers)
    shape = body[-1].output_shape
    ending = shape_text(shape)
    ending = f"a map of {ending}" if len(shape) > 1 else f"{ending} features"
    yield f"the backbone ends in {ending}"
    mib = facts.parameters * _FLOAT32_BYTES / 2**20
    head = facts.parameters - facts.backbone_parameters
    yield (
        f"{facts.parameters:,} parameters, {_digits(mib)} MiB in float32: "
        f"{facts.backbone_parameters:,} in the backbone, {head:,} in the head"
    )
    if mflops.value is None:
        yield f"FLOP of an image: absent, because {mflops.reason}"
        return
    yield (
        f"{_digits(mflops.value)} MFLOP for one image forward: 2 for each multiply-add of "
        "convolutions and matrix products, nothing else counted"
    )
    yield (
        f"{_digits(TRAINING_FACTOR * mflops.value)} MFLOP to train on one image, estimated as "
        f"{TRAINING_FACTOR} x forward (the backward pass makes two products for each)"
    )


def memory_line(memory: StepMemory, batch_size: int) -> str:
    """Return in words what a training step needs of memory."""
    peak = memory.peak_mib
    images = f"one training step of {batch_size:,} image{'s' if batch_size > 1 else ''}"
    if peak.value is None:
        return f"memory of {images}: absent, because {peak.reason}"
    return (
        f"{peak.value:,.0f} MiB at the peak of {images} ({memory.where}, TensorFlow's own apart)"
    )


def _title(config: RunConfig) -> str:
    options = "".join(f", {name} {value}" for name, value in config.backbone_options().items())
    side = config.scene_spec().canvas_px
    images = f"images of {side} x {side} x 1, {CLASSES} classes"
    return f"{config.backbone}{options}, head {config.head}: {images}"


def _name(block: Block) -> str:
    return block.name if block.layers == 1 else f"{block.name} ({block.layers} layers)"


def _costs(parameters: int, products: int | None, total: int | None) -> tuple[str, str, str]:
    """Return the cells of parameters, multiply-adds and their share; empty for none."""
    share = products / total if products and total else 0.0
    words = f"{share:.1%}" if share >= 0.0005 else "<0.1%"
    return _cell(parameters), _cell(products), words if share else ""


def _digits(value: float) -> str:
    """Return a size with three digits at least, and no more decimals than they need."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


def _cell(number: int | None) -> str:
    if number is None:
        return "absent"
    return f"{number:,}" if number else ""


def _between(facts: ModelFacts, total: int | None) -> int:
    """Return the multiply-adds of operations that belong to no layer."""
    layers = added([layer.multiply_adds for layer in facts.layers])
    return 0 if total is None or layers is None else total - layers


def _draw(config: RunConfig, facts: ModelFacts, path: Path) -> None:
    with waiting("drawing the layers ..."):
        from reports.diagram import layers_plot
        from reports.style import Plot

        plot = layers_plot(facts, backbone=config.backbone, name=path.stem)
        if isinstance(plot, Plot):  # every network has an input layer to draw
            write_atomically(path, plot.png())
