"""How soon quality comes: accuracy and mean IoU over the time that training took."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.record import RunRecord
from reports.style import PALETTE, Omitted, Plot, legend_columns, new_figure

_PANELS = (("accuracy", "accuracy"), ("mean_iou", "mean IoU"))
_COLUMNS = ["contender", "run_id", "seed", "epoch", "train_s", "metric", "value"]

_MINUTE_S = 60.0
_LONG_S = 180.0  # from here on an axis in minutes reads better


def race_table(runs: Sequence[tuple[str, RunRecord]]) -> pd.DataFrame:
    """Return one row for each contender, run, epoch and metric of the validation split.

    `train_s` are the seconds of the training loop from the start of the run to the end of the
    epoch.

    Args:
        runs: name of the contender and one of its runs, best contender first.
    """
    rows = []
    for name, record in runs:
        seconds = 0.0
        for point in record.history:
            seconds += point.train_s
            rows += [
                (name, record.run_id, record.config.seed, point.epoch, seconds, metric,
                 point.metrics[f"validation_{metric}"])
                for metric, _ in _PANELS
                if f"validation_{metric}" in point.metrics
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def race_plot(
    runs: Sequence[tuple[str, RunRecord]], *, name: str, machines: int
) -> Plot | Omitted:
    """Return validation accuracy and mean IoU over training time, a line for each run.

    Args:
        runs: name of the contender and one of its runs, best contender first.
        name: of the picture.
        machines: that the runs were timed on.
    """
    if machines > 1:
        reason = f"the runs were timed on {machines} machines, whose seconds cannot be compared"
        return Omitted(name=name, reason=reason)
    table = race_table(runs)
    if table.empty or table.groupby("run_id")["epoch"].nunique().max() == 1:
        return Omitted(name=name, reason="a race needs two epochs, and no run has more")
    contenders = list(dict.fromkeys(table["contender"]))
    return Plot(
        name=name,
        alt="Validation accuracy and mean IoU over training time of " + ", ".join(contenders),
        caption="Validation over the time of the training loop, a dot for each epoch and a line "
        "for each run. Compiling and validating are not in it.",
        table=table,
        draw=draw_race,
    )


def draw_race(table: pd.DataFrame) -> Figure:
    """Draw a panel for each metric that the table of `race_table` holds."""
    known = set(table["metric"])
    panels = [panel for panel in _PANELS if panel[0] in known]
    names = list(dict.fromkeys(table["contender"]))
    long = table["train_s"].max() >= _LONG_S
    unit_s, unit = (_MINUTE_S, "minutes") if long else (1.0, "seconds")
    figure = new_figure(3.3 + 0.2 * len(names))
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (metric, title) in zip(grid.flat, panels, strict=True):
        mine = table[table["metric"] == metric]
        for name, colour in zip(names, PALETTE, strict=False):
            for _, run in mine[mine["contender"] == name].groupby("run_id", sort=False):
                x = run["train_s"] / unit_s
                axes.plot(x, run["value"], color=colour, lw=1.4, marker="o", markersize=3)
        axes.set_title(title)
        axes.set_xlabel(f"{unit} of training")
        axes.set_xlim(left=0)
    handles = [
        Line2D([], [], color=colour, lw=3, label=name)
        for name, colour in zip(names, PALETTE, strict=False)
    ]
    columns = legend_columns([str(handle.get_label()) for handle in handles])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure
