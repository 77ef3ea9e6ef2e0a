"""The layer diagram of a network: one block for each layer, from image to heads."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from harness.record import Layer, ModelFacts
from reports.blocks import HEADS, Block, blocks, shape_text, split_parts
from reports.style import BLUE, GREEN, GREY, ORANGE, PINK, SKY, Omitted, Plot, new_figure
from reports.wording import code

MOST_BLOCKS = 28
"""Blocks drawn; a network with more layers is summed up in so many."""

_KINDS = (("Conv", BLUE), ("Dense", GREEN), ("Attention", GREEN), ("Pool", ORANGE),
          ("Norm", PINK), ("Input", SKY))  # fmt: skip
_ROW_IN, _BLOCK_HEIGHT, _BLOCK_WIDTH = 0.3, 0.7, 0.46  # inches, rows, share of the width
_BLOCK_X, _OUTPUT_X, _PARAMETERS_X, _PRODUCTS_X = 0.23, 0.55, 0.65, 0.83
_BAR_WIDTH = 0.16
_LETTERS = 46
"""Letters that fit into a block."""


def layer_table(model: ModelFacts, most: int = MOST_BLOCKS) -> pd.DataFrame:
    """Return one row for each layer or block of layers.

    Columns: layer, kind, layers (how many), part ("backbone" or "head"), output_shape, parameters,
    multiply_adds (of one image; missing if they were not counted).
    """
    body, head = split_parts(model.layers)
    drawn_head = _head_blocks(head, max(most // 2, most - len(body)))
    rows = [
        (block.name, block.kind, block.layers, part, shape_text(block.output_shape),
         block.parameters, block.multiply_adds)
        for part, found in (("backbone", blocks(body, max(1, most - len(drawn_head)))),
                            ("head", drawn_head))
        for block in found
    ]  # fmt: skip
    columns = [
        "layer", "kind", "layers", "part", "output_shape", "parameters", "multiply_adds",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"multiply_adds": "Int64"})  # else one missing makes them all floats


def _head_blocks(head: Sequence[Layer], most: int) -> tuple[Block, ...]:
    """Return the layers of a head, all but its outputs summed up if there are more than `most`."""
    if len(head) <= most:
        return blocks(head, len(head))
    outputs = [layer for layer in head if layer.name in HEADS]
    inside = [layer for layer in head if layer.name not in HEADS]
    return blocks(inside, max(1, most - len(outputs))) + blocks(outputs, len(outputs))


def short(number: int) -> str:
    """Return a number such as 767376 with three digits and a prefix: "767 k"."""
    value, prefix = float(number), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, prefix = value / 1000, f" {larger}"
    return f"{value:.0f}{prefix}" if not prefix or value >= 99.95 else f"{value:#.3g}{prefix}"


def layers_plot(model: ModelFacts | None, *, backbone: str, name: str) -> Plot | Omitted:
    """Return the layer diagram of a network."""
    if model is None or not model.layers:
        return Omitted(name=name, reason=f"no run of {backbone} says what its layers are")
    table = layer_table(model)
    summed = "" if len(table) == len(model.layers) else (
        f" Its {len(model.layers)} layers are summed up in {len(table)} blocks."
    )  # fmt: skip
    return Plot(
        name=name,
        alt=f"Layers of {backbone} from image to heads",
        caption=f"{code(backbone)}: {model.parameters:,} parameters, "
        f"{model.backbone_parameters:,} of them in the backbone; the rest is in the head.{summed}",
        table=table,
        draw=draw_layers,
    )


def draw_layers(table: pd.DataFrame) -> Figure:
    """Draw blocks from top to bottom, the two outputs side by side at the end."""
    is_output = table["layer"].isin(HEADS)
    column, outputs = table[~is_output], table[is_output]
    rows = len(column) + (1 if len(outputs) else 0)
    figure = new_figure(_ROW_IN * rows + 0.7, width_in=7)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -1.6))
    _draw_titles(axes, table)
    for row, (_, layer) in enumerate(column.iterrows()):
        _draw_block(axes, layer, x=_BLOCK_X, row=row, width=_BLOCK_WIDTH)
        axes.text(_OUTPUT_X, row, layer["output_shape"], ha="center", va="center", fontsize=8.5)
        for name, x in (("parameters", _PARAMETERS_X), ("multiply_adds", _PRODUCTS_X)):
            _draw_size(axes, layer[name], x=x, row=row, largest=column[name].max())
        if row + 1 < len(column):
            _draw_arrow(axes, (_BLOCK_X, row), (_BLOCK_X, row + 1))
    _draw_head_line(axes, column)
    for place, (_, layer) in enumerate(outputs.iterrows()):
        x = (place + 0.5) / len(outputs)
        if len(column):
            _draw_arrow(axes, (_BLOCK_X, rows - 2), (x, rows - 1))
        _draw_block(axes, layer, x=x, row=rows - 1, width=0.96 / len(outputs), more=_costs(layer))
    return figure


def _draw_titles(axes: Axes, table: pd.DataFrame) -> None:
    """Write what the columns hold, with the sums of all layers."""
    products = table["multiply_adds"]
    sums = {
        _PARAMETERS_X: ("parameters", short(int(table["parameters"].sum()))),
        _PRODUCTS_X: ("multiply-adds", "" if products.hasnans else short(int(products.sum()))),
    }
    for text, x in (("layer", _BLOCK_X), ("output", _OUTPUT_X)):
        axes.text(x, -0.95, text, ha="center", va="center", color=GREY, fontsize=8.5)
    for x, (text, total) in sums.items():
        words = f"{text}\n{total} in all" if total else text
        axes.text(x, -0.95, words, ha="left", va="center", color=GREY, fontsize=8.5)


def _draw_head_line(axes: Axes, column: pd.DataFrame) -> None:
    """Separate the layers of the head that stand in the column from the backbone's."""
    inside = int((column["part"] == "head").sum())
    if inside and inside < len(column):
        y = len(column) - inside - 0.5
        axes.plot([0, 1], [y, y], color=GREY, lw=0.6, ls=(0, (4, 3)))
        axes.text(1, y + 0.08, "head", ha="right", va="top", color=GREY, fontsize=7.5)


def _draw_block(
    axes: Axes, layer: pd.Series, *, x: float, row: int, width: float, more: str = ""
) -> None:
    colour = next((c for kind, c in _KINDS if kind in layer["kind"]), GREY)
    corner = (x - width / 2, row - _BLOCK_HEIGHT / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, _BLOCK_HEIGHT, boxstyle="round,pad=0,rounding_size=0.012",
                       facecolor=colour, alpha=0.22, edgecolor="none")
    )  # fmt: skip
    text = f"{layer['layer']}{more}" if more else _label(layer["kind"], layer["layer"])
    axes.text(x, row, text, ha="center", va="center", fontsize=7.5 if more else 8)


def _label(kind: str, name: str) -> str:
    """Return kind and name, the middle of the name left out if they are too long for a block."""
    room = max(12, _LETTERS - len(kind) - 2)
    if len(name) > room:
        end = (room - 3) // 2
        name = f"{name[: room - 3 - end]}...{name[-end:]}"
    return f"{kind}  {name}"


def _costs(layer: pd.Series) -> str:
    products = layer["multiply_adds"]
    more = "" if pd.isna(products) else f", {short(int(products))} multiply-adds"
    return f" ({layer['output_shape']}): {short(layer['parameters'])} parameters{more}"


def _draw_size(axes: Axes, size: object, *, x: float, row: int, largest: object) -> None:
    """Write a number over a bar of its share of the largest; nothing where there is none."""
    if pd.isna(size) or not size:
        return
    share = int(size) / int(largest)  # type: ignore[call-overload]  # integers, as all are here
    axes.barh(row, _BAR_WIDTH * share, left=x, height=_BLOCK_HEIGHT, color=GREY, alpha=0.3)
    axes.text(x + 0.006, row, short(int(size)), va="center", fontsize=8.5)  # type: ignore[call-overload]


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    half = _BLOCK_HEIGHT / 2
    axes.annotate(
        "", xy=(end[0], end[1] - half), xytext=(start[0], start[1] + half),
        arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 0.9, "shrinkA": 0, "shrinkB": 0,
                    "mutation_scale": 6},
    )  # fmt: skip
