"""The layer diagram of a network: one block for each layer, from image to heads."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from harness.record import ModelFacts
from reports.style import BLUE, GREEN, GREY, ORANGE, PINK, SKY, Omitted, Plot, new_figure
from reports.wording import code

HEADS = ("classification", "bounding_box")
"""Names of the shared heads: both read the features, so they stand side by side."""

MOST_BLOCKS = 24
"""Blocks drawn; the middle of a longer network is summed up in one."""

_KINDS = (("Conv", BLUE), ("Pool", ORANGE), ("Dense", GREEN), ("Norm", PINK), ("Input", SKY))
_BLOCK_HEIGHT, _BLOCK_WIDTH = 0.66, 0.44


def layer_table(model: ModelFacts) -> pd.DataFrame:
    """Return one row for each layer: name, kind, output shape and number of parameters."""
    rows = [
        (layer.name, layer.kind, shape_text(layer.output_shape), layer.parameters)
        for layer in model.layers
    ]
    return pd.DataFrame(rows, columns=["layer", "kind", "output_shape", "parameters"])


def shape_text(shape: Sequence[int | None]) -> str:
    """Return a shape such as "73 x 73 x 16"; an unknown length is "?"."""
    return " x ".join("?" if length is None else str(length) for length in shape)


def layers_plot(model: ModelFacts | None, *, backbone: str, name: str) -> Plot | Omitted:
    """Return the layer diagram of a network."""
    if model is None or not model.layers:
        return Omitted(name=name, reason=f"no run of {backbone} says what its layers are")
    return Plot(
        name=name,
        alt=f"Layers of {backbone} from image to heads",
        caption=f"{code(backbone)}: {model.parameters:,} parameters, "
        f"{model.backbone_parameters:,} of them in the backbone; the rest is in the two heads.",
        table=layer_table(model),
        draw=draw_layers,
    )


def draw_layers(table: pd.DataFrame) -> Figure:
    """Draw blocks from top to bottom, the heads side by side at the end."""
    is_head = table["layer"].isin(HEADS)
    body, heads = _shortened(table[~is_head]), table[is_head]
    rows = len(body) + (1 if len(heads) else 0)
    figure = new_figure(0.34 * rows + 0.7, width_in=7)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(rows + 0.1, -0.9))
    largest = max(int(body["parameters"].max()), 1)
    for text, x in (("layer", 0.22), ("output (height x width x channels)", 0.60)):
        axes.text(x, -0.55, text, ha="center", va="center", color=GREY, fontsize=8.5)
    axes.text(0.80, -0.55, "parameters", ha="left", va="center", color=GREY, fontsize=8.5)
    for row, (_, layer) in enumerate(body.iterrows()):
        _draw_block(axes, layer, x=0.22, row=row, width=_BLOCK_WIDTH)
        axes.text(0.60, row, layer["output_shape"], ha="center", va="center")
        _draw_size(axes, int(layer["parameters"]), row=row, largest=largest)
        if row + 1 < rows and row + 1 != len(body):
            _draw_arrow(axes, (0.22, row), (0.22, row + 1))
    for place, (_, layer) in enumerate(heads.iterrows()):
        x = (place + 0.5) / len(heads)
        start = 0.22 if len(body) else x
        _draw_arrow(axes, (start, rows - 2), (x, rows - 1))
        size = f"{layer['output_shape']} values, {layer['parameters']:,} parameters"
        _draw_block(axes, layer, x=x, row=rows - 1, width=0.96 / len(heads), more=f": {size}")
    return figure


def _shortened(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) <= MOST_BLOCKS:
        return table
    half = MOST_BLOCKS // 2
    middle = table.iloc[half:-half]
    summed = pd.DataFrame(
        [("", f"... {len(middle)} layers ...", "", int(middle["parameters"].sum()))],
        columns=table.columns,
    )
    return pd.concat([table.iloc[:half], summed, table.iloc[-half:]], ignore_index=True)


def _draw_block(
    axes: Axes, layer: pd.Series, *, x: float, row: int, width: float, more: str = ""
) -> None:
    colour = next((c for kind, c in _KINDS if kind in layer["kind"]), GREY)
    corner = (x - width / 2, row - _BLOCK_HEIGHT / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, _BLOCK_HEIGHT, boxstyle="round,pad=0,rounding_size=0.012",
                       facecolor=colour, alpha=0.22, edgecolor="none")
    )  # fmt: skip
    text = f"{layer['kind']}  {layer['layer']}".strip() if not more else f"{layer['layer']}{more}"
    axes.text(x, row, text, ha="center", va="center", fontsize=8.5 if more else 9)


def _draw_size(axes: Axes, parameters: int, *, row: int, largest: int) -> None:
    axes.barh(row, 0.10 * parameters / largest, left=0.80, height=0.5, color=GREY, alpha=0.6)
    axes.text(0.81 + 0.10 * parameters / largest, row, f"{parameters:,}" if parameters else "-",
              va="center", fontsize=8.5)  # fmt: skip


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    half = _BLOCK_HEIGHT / 2
    axes.annotate(
        "", xy=(end[0], end[1] - half), xytext=(start[0], start[1] + half),
        arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 0.9, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
