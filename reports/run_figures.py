"""How training went: one line for each contender, a band over its seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.record import RunRecord
from reports.style import GREY, PALETTE, Omitted, Plot, legend_columns, new_figure

_PANELS = (
    ("loss", "loss"),
    ("score", "score"),
    ("accuracy", "accuracy"),
    ("mean_iou", "mean IoU"),
)
_SPLITS = (("train", "--"), ("validation", "-"))
_COLUMNS = ["contender", "run_id", "seed", "epoch", "split", "metric", "value"]


def curve_table(runs: Sequence[tuple[str, RunRecord]]) -> pd.DataFrame:
    """Return one row for each contender, run, epoch and metric.

    Args:
        runs: name of the contender and one of its runs, best contender first.
    """
    rows = [
        (name, record.run_id, record.config.seed, point.epoch, split, metric,
         point.metrics[f"{split}_{metric}"])
        for name, record in runs
        for metric, _ in _PANELS
        for split, _ in _SPLITS
        for point in record.history
        if f"{split}_{metric}" in point.metrics
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def curves_plot(runs: Sequence[tuple[str, RunRecord]], *, name: str) -> Plot | Omitted:
    """Return training and validation curves over epochs, with seed bands."""
    table = curve_table(runs)
    if table.empty:
        return Omitted(name=name, reason="no run has a training history")
    if table.groupby("run_id")["epoch"].nunique().max() == 1:
        return Omitted(name=name, reason="a curve needs two epochs, and no run has more than one")
    seeds = table.groupby("contender")["run_id"].nunique()
    band = " The band reaches from the lowest to the highest seed." if seeds.max() > 1 else ""
    apart = (
        " Losses of contenders with different loss weights cannot be compared."
        if len(seeds) > 1
        else ""
    )
    return Plot(
        name=name,
        alt="Loss, score, accuracy and mean IoU over epochs of "
        + ", ".join(map(str, seeds.index)),
        caption=f"Training (dashed) and validation (solid) over epochs.{band}{apart}",
        table=table,
        draw=draw_curves,
    )


def draw_curves(table: pd.DataFrame) -> Figure:
    """Draw a panel for each metric that the table of `curve_table` holds."""
    known = set(table["metric"])
    panels = [panel for panel in _PANELS if panel[0] in known]
    rows = -(-len(panels) // 2)
    names = list(dict.fromkeys(table["contender"]))
    figure = new_figure(2.6 * rows + 0.3 + 0.25 * len(names))
    grid = figure.subplots(rows, min(2, len(panels)), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (metric, title) in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, table[table["metric"] == metric], names)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    splits = [(s, line) for s, line in _SPLITS if s in set(table["split"])]
    handles = [Line2D([], [], color=GREY, ls=line, label=split) for split, line in splits]
    handles += [
        Line2D([], [], color=c, lw=3, label=n) for n, c in zip(names, PALETTE, strict=False)
    ]
    columns = legend_columns([str(handle.get_label()) for handle in handles])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _draw_panel(axes: Axes, table: pd.DataFrame, names: Sequence[str]) -> None:
    for name, colour in zip(names, PALETTE, strict=False):
        for split, line in _SPLITS:
            mine = table[(table["contender"] == name) & (table["split"] == split)]
            seeds = mine.groupby("epoch")["value"].agg(["mean", "min", "max"])
            if seeds.empty:
                continue
            marker = "o" if len(seeds) == 1 else ""  # a line of one point cannot be seen
            axes.plot(seeds.index, seeds["mean"], color=colour, ls=line, marker=marker, lw=1.6)
            axes.fill_between(
                seeds.index, seeds["min"], seeds["max"], color=colour, alpha=0.18, lw=0
            )
