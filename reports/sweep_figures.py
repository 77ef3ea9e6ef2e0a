"""How a search went: score over trials, over each searched field, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from reports.searches import Search
from reports.style import BLUE, GREY, ORANGE, VERMILION, WIDTH_IN, Omitted, Plot, new_figure
from reports.wording import code

STATUSES = ("finished", "pruned", "failed", "interrupted")
_COLOURS = dict(zip(STATUSES, (BLUE, ORANGE, VERMILION, GREY), strict=True))
_MARKERS = dict(zip(STATUSES, ("o", "v", "X", "s"), strict=True))
_WEIGHT_RATIO = "box_weight / class_weight"

_FEW = 8
"""A panel has room for so many strips, one for each value of a field."""

_PANEL_CHARACTERS = 32
"""Letters below a third of a figure as wide as `WIDTH_IN`."""


def trial_table(search: Search) -> pd.DataFrame:
    """Return one row for each trial: status, score, best so far, and each searched field.

    The score is the first goal of the search, whatever that is; of a pruned trial that of its last
    epoch; without one it is missing.
    """
    rows = [
        {"trial": t.number, "run_id": t.run_id, "status": t.status, "score": t.last_value}
        | dict(t.values)
        for t in search.trials
    ]
    table = pd.DataFrame(rows, columns=["trial", "run_id", "status", "score", *search.varied])
    table["score"] = table["score"].astype(float)
    finished = table["score"].where(table["status"] == "finished")
    best = finished.cummax() if search.goals[0].sign > 0 else finished.cummin()
    table.insert(4, "best_so_far", best.ffill())
    return table


def trials_plot(search: Search, *, name: str) -> Plot | Omitted:
    """Return score over trials, with what was pruned or failed, and the best so far."""
    if not search.trials:
        return Omitted(name=name, reason=f"sweep {search.name} has no trials among these runs")
    return Plot(
        name=name,
        alt=f"{_title(search)} of {len(search.trials)} trials of sweep {search.name}",
        caption=f"{_title(search)} over the trials of {code(search.name)}. A pruned trial stands "
        "where it was after its last epoch; one that never got that far is marked "
        "on the lower edge.",
        table=trial_table(search),
        draw=partial(draw_trials, label=search.goals[0].title),
    )


def _title(search: Search) -> str:
    title = search.goals[0].title
    return title[0].upper() + title[1:]


def draw_trials(table: pd.DataFrame, *, label: str = "validation score") -> Figure:
    """Draw each trial by its status, and the best score so far as a stair."""
    figure = new_figure(3.4)
    axes = figure.subplots()
    if table["best_so_far"].notna().any():
        axes.plot(table["trial"], table["best_so_far"], drawstyle="steps-post", color=GREY,
                  lw=1.4, label="best so far", zorder=1)  # fmt: skip
    scored = table[table["score"].notna()]
    _scatter(axes, scored, x="trial")
    for status in STATUSES:
        lost = table[table["score"].isna() & (table["status"] == status)]
        if len(lost):
            axes.plot(lost["trial"], np.zeros(len(lost)), ls="", marker=_MARKERS[status],
                      color=_COLOURS[status], transform=axes.get_xaxis_transform(),
                      clip_on=False, label=f"{status}, no score", zorder=3)  # fmt: skip
    axes.set(xlabel="trial", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return figure


def fields_plot(search: Search, *, name: str) -> Plot | Omitted:
    """Return the score over each searched field."""
    table = trial_table(search)
    if not search.varied or table["score"].notna().sum() == 0:
        return Omitted(name=name, reason=f"no field varied, or no trial of {search.name} scored")
    fields = ", ".join(search.varied)
    return Plot(
        name=name,
        alt=f"{_title(search)} of sweep {search.name} over {fields}",
        caption=f"{_title(search)} over {', '.join(map(code, search.varied))} "
        "(finished and pruned trials; logarithmic axes and colours where values span "
        "more than a factor of ten). Where a field takes a few values, each has a strip: n trials "
        "scored, the bar is the median of those that finished.",
        table=table,
        draw=partial(draw_fields, label=search.goals[0].title),
    )


def draw_fields(table: pd.DataFrame, *, label: str = "validation score") -> Figure:
    """Draw a panel for each searched field, coloured by another one."""
    fields = list(table.columns[5:])
    scored = table[table["score"].notna()]
    if {"box_weight", "class_weight"} <= set(fields):
        weights = scored["box_weight"] / scored["class_weight"].replace(0, np.nan)
        scored = scored.assign(**{_WEIGHT_RATIO: weights})
    columns = min(3, len(fields))
    rows = -(-len(fields) // columns)
    figure = new_figure(3.3 * rows, width_in=WIDTH_IN if columns > 1 else 5.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(fields) :]:
        axes.set_axis_off()
    for axes, field in zip(grid.flat, fields, strict=False):
        # A field that only some backbones have is absent from the trials of the others.
        tried, known = table[field].dropna(), scored[scored[field].notna()]
        if _few_values(tried):
            _draw_choice(axes, known, field, tried=tried)
        else:
            _draw_field(figure, axes, known, field)
        axes.set(xlabel=field, ylabel=label)
    for axes in grid[:, 1:].flat:
        axes.set_ylabel("")
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        handles, labels = axes.get_legend_handles_labels()
        entries = dict(zip(labels, handles, strict=True)) | entries
    figure.legend(entries.values(), entries, loc="outside upper center", ncols=len(entries))
    return figure


def _draw_field(figure: Figure, axes: Axes, table: pd.DataFrame, field: str) -> None:
    if _spans_decades(table[field]):
        axes.set_xscale("log")
        _few_ticks(axes.xaxis)
    colour_by = _colour_field(table, field)
    if colour_by is None:
        _scatter(axes, table, x=field)
        return
    norm = LogNorm(table[colour_by].min(), table[colour_by].max())
    for status in STATUSES:
        part = table[table["status"] == status]
        if len(part):
            points = axes.scatter(
                part[field], part["score"], c=part[colour_by], norm=norm, cmap="viridis",
                marker=_MARKERS[status], s=34, edgecolor="black", lw=0.5, label=status,
            )  # fmt: skip
    bar = figure.colorbar(points, ax=axes, orientation="horizontal", label=colour_by, pad=0.02)
    _few_ticks(bar.ax.xaxis)


def _few_ticks(axis: Axis) -> None:
    """Give a logarithmic axis ticks at 1 and 3 of a decade, and none between them.

    The default labels minor ticks over each other where there are less than two decades, and its
    hundreds of ticks took a quarter of the picture's time.
    """
    axis.set_major_locator(LogLocator(subs=(1, 3), numticks=9))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _few_values(values: pd.Series) -> bool:
    """Tell whether a field took a few separate values rather than any in a range."""
    if not pd.api.types.is_numeric_dtype(values):
        return True
    few = values.nunique() <= _FEW
    whole = (values % 1 == 0).all()  # pandas makes floats of whole numbers with gaps
    # Fractions that were drawn from a range never come again.
    return bool(few and (whole or 2 * values.nunique() <= len(values)))


def _draw_choice(axes: Axes, table: pd.DataFrame, field: str, *, tried: pd.Series) -> None:
    """Draw a strip of scores over each value, with the median of what finished there.

    Points are moved apart by trial number, never by chance. A value that was `tried` and never
    brought a score keeps an empty strip.
    """
    choices = sorted(set(tried), key=lambda v: (isinstance(v, str), v))
    places = table[field].map(choices.index) + (table["trial"] % 7 - 3) * 0.06
    _scatter(axes, table.assign(place=places), x="place")
    finished = table[table["status"] == "finished"]
    medians = finished.groupby(field)["score"].median()
    at = np.array([choices.index(value) for value in medians.index])
    axes.hlines(medians, at - 0.3, at + 0.3, color="black", lw=2, zorder=4,
                label="median of finished")  # fmt: skip
    counts = table[field].value_counts().reindex(choices, fill_value=0)
    names = [f"{value:g}" if isinstance(value, float) else str(value) for value in choices]
    labels = [f"{n}\nn = {counts[value]}" for n, value in zip(names, choices, strict=True)]
    crowded = sum(max(6, len(name)) for name in names) > _PANEL_CHARACTERS
    axes.set_xticks(range(len(choices)), labels, rotation=30 if crowded else 0,
                    ha="right" if crowded else "center")  # fmt: skip
    axes.set_xlim(-0.5, len(choices) - 0.5)
    axes.grid(visible=False, axis="x")


def _colour_field(table: pd.DataFrame, field: str) -> str | None:
    """Return the field that colours a panel: the loss weights' ratio, or the learning rate."""
    other = _WEIGHT_RATIO if field == "learning_rate" else "learning_rate"
    if other in table and _spans_decades(table[other]):
        return other
    return None


def _spans_decades(values: pd.Series) -> bool:
    known = values.dropna().astype(float)
    return bool(
        len(known) == len(values) > 0 and known.min() > 0 and known.max() > 10 * known.min()
    )


def _scatter(axes: Axes, table: pd.DataFrame, *, x: str) -> None:
    for status in STATUSES:
        part = table[table["status"] == status]
        if len(part):
            axes.plot(part[x], part["score"], ls="", marker=_MARKERS[status], ms=6,
                      color=_COLOURS[status], mec="black", mew=0.4, label=status)  # fmt: skip


def front_table(search: Search) -> pd.DataFrame:
    """Return one row for each finished trial: its value of the first two goals, and the front."""
    rows = [
        {"trial": t.number, "run_id": t.run_id, "first": t.value, "second": t.more[0],
         "on_front": t.number in search.front}
        for t in search.trials if t.value is not None and t.more
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["trial", "run_id", "first", "second", "on_front"])


def front_plot(search: Search, *, name: str) -> Plot | Omitted:
    """Return the first goal over the second, with the trials that no other one dominates."""
    table = front_table(search)
    if table.empty:
        return Omitted(name=name, reason=f"no trial of {search.name} finished with several goals")
    first, second = search.goals[:2]
    more = "" if len(search.goals) == 2 else " The front counts the further objectives too."
    return Plot(
        name=name,
        alt=f"{_title(search)} over {second.title} of {len(table)} trials of sweep {search.name}",
        caption=f"{_title(search)} over {second.title} of the finished trials of "
        f"{code(search.name)}, one seed each. No trial dominates one on the front, marked with "
        f"its number.{more}",
        table=table,
        draw=partial(
            draw_front, labels=(first.title, second.title), more_is_better=second.sign > 0
        ),
    )


def draw_front(table: pd.DataFrame, *, labels: tuple[str, str], more_is_better: bool) -> Figure:
    """Draw each trial as a point, and the front, numbered, as the stair that it bounds.

    Args:
        table: of `front_table`.
        labels: of the first and the second goal.
        more_is_better: of the second goal; says on which side of a trial the stair falls.
    """
    figure = new_figure(3.8, width_in=7)
    axes = figure.subplots()
    others, front = table[~table["on_front"]], table[table["on_front"]].sort_values("second")
    axes.plot(others["second"], others["first"], ls="", marker="o", ms=5, color=GREY,
              label="dominated")  # fmt: skip
    # Nothing was tried between two trials, so no line leads straight from one to the other.
    stair = "steps-pre" if more_is_better else "steps-post"
    axes.plot(front["second"], front["first"], marker="o", ms=7, color=BLUE, lw=1.2,
              mec="black", mew=0.4, drawstyle=stair, label="Pareto front")  # fmt: skip
    for row in front.itertuples():
        axes.annotate(str(row.trial), (row.second, row.first), xytext=(5, 4),
                      textcoords="offset points")  # fmt: skip
    if _spans_decades(table["second"]):
        axes.set_xscale("log")
    axes.set(xlabel=labels[1], ylabel=labels[0])
    axes.legend()
    return figure


def importance_table(importances: Mapping[str, float]) -> pd.DataFrame:
    """Return field and importance, the most important first."""
    rows = sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    return pd.DataFrame(rows, columns=["field", "importance"])


def importance_plot(
    importances: Mapping[str, float] | str, *, sweep: str, name: str
) -> Plot | Omitted:
    """Return how much of the variance of what was searched for each field explains.

    Args:
        importances: field -> share, of one field at least; or why they are not known.
        sweep: name of the sweep.
        name: of the file, without ending.
    """
    if isinstance(importances, str):
        return Omitted(name=name, reason=f"unknown in sweep {sweep}: {importances}")
    table = importance_table(importances)
    return Plot(
        name=name,
        alt="Importance of " + ", ".join(table["field"]),
        caption=f"Share of the variance of what {code(sweep)} searched for that each "
        "searched field explains (fANOVA: Hutter et al. 2014); a point estimate "
        "without an interval.",
        table=table,
        draw=draw_importances,
    )


def draw_importances(table: pd.DataFrame) -> Figure:
    """Draw a bar for each field, the most important on top."""
    figure = new_figure(0.9 + 0.4 * len(table), width_in=7)
    axes = figure.subplots()
    bar_end = float(table["importance"].max()) or 1.0  # all may be 0
    bars = axes.barh(table["field"], table["importance"], color=BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="importance (share of variance)", xlim=(0, 1.1 * bar_end))
    return figure
