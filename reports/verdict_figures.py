"""What the contenders reached: scores with intervals, IoU distributions, confusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.contenders import RANKED_BY, Contender
from reports.evidence import Evidence, Outcomes
from reports.style import GREY, PALETTE, Omitted, Plot, drawn_name, legend_columns, new_figure
from reports.wording import code

IOU_BINS = 40
"""Bins of 0.025, so that the thresholds 0.5, 0.6 and 0.75 are edges of bins."""

THRESHOLDS = (0.5, 0.6, 0.75)
_MOST_WRITTEN = 16  # classes whose per cent fit into the squares of the matrix
_MOST_NAMED = 40  # classes whose names, or numbers, fit beside it
_LONG_NAME = 46  # characters before a name is broken into lines


def score_table(contenders: Sequence[Contender]) -> pd.DataFrame:
    """Return one row for each contender: test score and its interval."""
    rows = [
        (row.name, e.value, e.low, e.high, e.varied or "", e.n)
        for row in contenders
        for e in [row.quality[RANKED_BY]]
    ]
    return pd.DataFrame(rows, columns=["contender", "score", "low", "high", "varied", "n"])


def score_plot(contenders: Sequence[Contender], *, name: str) -> Plot | Omitted:
    """Return the scores of a leaderboard with their intervals."""
    if len(contenders) < 2:
        return Omitted(name=name, reason="scores are drawn for two or more contenders")
    return Plot(
        name=name,
        alt=f"Test scores of {len(contenders)} contenders with 95 % intervals, best on top",
        caption="Test score with its 95 % interval (over seeds; over images for a contender with "
        "one seed). Overlapping intervals do not decide: see the verdicts.",
        table=score_table(contenders),
        draw=draw_scores,
    )


def draw_scores(table: pd.DataFrame) -> Figure:
    """Draw a point and an interval for each contender, best on top."""
    labels = [_broken(name) for name in table["contender"]]
    lines = max(label.count("\n") + 1 for label in labels)
    figure = new_figure(0.9 + (0.18 + 0.18 * lines) * len(table))
    axes = figure.subplots()
    places = np.arange(len(table))
    score = table["score"].to_numpy(float)
    reach = np.nan_to_num(
        np.stack([score - table["low"].to_numpy(float), table["high"].to_numpy(float) - score])
    )
    axes.errorbar(score, places, xerr=reach, fmt="o", color=PALETTE[0], capsize=4, lw=1.8)
    axes.set_yticks(places, labels)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("test score (mean over images of IoU if the class is right, else 0)")
    return figure


def iou_table(groups: Sequence[tuple[str, Sequence[Outcomes]]]) -> pd.DataFrame:
    """Return for each contender and bin of IoU the share of test boxes in it, and at or above it.

    Args:
        groups: name and outcomes of each contender's runs; seeds are pooled.
    """
    edges = np.linspace(0, 1, IOU_BINS + 1)
    tables = []
    for name, outcomes in groups:
        values = np.concatenate([o.iou for o in outcomes])
        # An IoU that float rounding puts just below an edge belongs to the bin above it.
        counts, _ = np.histogram(np.clip(values + 1e-9, 0, 1), bins=edges)
        share = counts / len(values)
        tables.append(
            pd.DataFrame(
                {
                    "contender": name, "iou_low": edges[:-1], "iou_high": edges[1:],
                    "share": share, "at_least": share[::-1].cumsum()[::-1],
                }
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def iou_plot(groups: Sequence[tuple[str, Sequence[Outcomes]]], *, name: str) -> Plot | Omitted:
    """Return the distribution of IoU over test boxes."""
    known = [(who, outcomes) for who, outcomes in groups if outcomes]
    if not known:
        return Omitted(name=name, reason="no run has usable test predictions")
    return Plot(
        name=name,
        alt="Distribution of IoU over test boxes of " + ", ".join(who for who, _ in known),
        caption="IoU of true and predicted box, over test images (seeds pooled). Right: the share "
        "of boxes at least that good; dotted lines at IoU 0.5, 0.6 and 0.75.",
        table=iou_table(known),
        draw=draw_iou,
    )


def draw_iou(table: pd.DataFrame) -> Figure:
    """Draw the histogram, and beside it the share of boxes at least that good."""
    import seaborn as sns

    names = list(dict.fromkeys(table["contender"]))
    colours = dict(zip(names, PALETTE, strict=False))
    figure = new_figure(3.3 + 0.2 * len(names))
    left, right = figure.subplots(1, 2)
    for who, mine in table.groupby("contender", sort=False):
        edges = [*mine["iou_low"], 1.0]
        left.stairs(mine["share"], edges, color=colours[who], fill=len(names) == 1, lw=1.6)
    left.set(title="share of boxes in each 0.025 of IoU", xlabel="IoU", ylabel="share of boxes")
    sns.lineplot(
        data=table,
        x="iou_low",
        y="at_least",
        hue="contender",
        palette=colours,
        ax=right,
        lw=1.8,
        errorbar=None,
    )
    right.set(title="share of boxes at least that good", xlabel="IoU", ylabel="share of boxes")
    for threshold in THRESHOLDS:
        right.axvline(threshold, color=GREY, ls=":", lw=1.2)
    for axes in (left, right):
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
    handles, labels = right.get_legend_handles_labels()
    right.get_legend().remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def confusion_table(evidence: Sequence[Evidence]) -> pd.DataFrame:
    """Return one row for each pair of classes: how many test images, and their share of the true.

    Args:
        evidence: runs of one contender; seeds are pooled.
    """
    outcomes = [item.outcomes for item in evidence if item.outcomes is not None]
    names = class_names_of(evidence[0])
    seen = max(int(max(o.labels.max(), o.predicted.max())) for o in outcomes) + 1
    classes = max(seen, len(names))
    counts = np.zeros((classes, classes), np.int64)
    for one in outcomes:
        np.add.at(counts, (one.labels, one.predicted), 1)
    true, predicted = np.indices(counts.shape)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    table = pd.DataFrame(
        {"true": true.ravel(), "predicted": predicted.ravel(), "images": counts.ravel(),
         "share": share.ravel()}
    )  # fmt: skip
    if names:
        for column in ("true", "predicted"):
            table[f"{column}_name"] = [names[k] for k in table[column]]
    return table


def class_names_of(item: Evidence) -> tuple[str, ...]:
    """Return the names of the classes that a run saw; empty if they are just numbers."""
    return () if item.record.data is None else item.record.data.class_names


def confusion_plot(evidence: Sequence[Evidence], *, who: str, name: str) -> Plot | Omitted:
    """Return the confusion matrix of one contender."""
    if not any(item.outcomes is not None for item in evidence):
        return Omitted(name=name, reason=f"no run of {who} has usable test predictions")
    table = confusion_table(evidence)
    wrong = table[table["true"] != table["predicted"]]["images"].sum()
    return Plot(
        name=name,
        alt=f"Confusion matrix of {who}: {wrong} of {table['images'].sum()} were confused",
        caption=f"Confusion matrix of {code(who)} on test: percent of each true class (seeds "
        "pooled); colour shows mistakes only, so that the diagonal does not drown them.",
        table=table,
        draw=draw_confusion,
    )


def draw_confusion(table: pd.DataFrame) -> Figure:
    """Draw percent of each true class; the colour is that of the mistakes."""
    import seaborn as sns

    percent = table.pivot_table(index="true", columns="predicted", values="share") * 100
    diagonal = np.eye(len(percent), dtype=bool)
    mistakes = percent.mask(diagonal)
    written = len(percent) <= _MOST_WRITTEN
    labels = percent.map(lambda p: f"{p:.1f}" if p > 0 and written else "")
    figure = new_figure(4.9 if written else 5.9, width_in=6.6)
    axes = figure.subplots()
    top = max(1.0, float(np.nanmax(mistakes.to_numpy(float))))
    sns.heatmap(
        mistakes, annot=labels.to_numpy(), fmt="", cmap="Oranges", vmin=0, vmax=top, square=True,
        linewidths=0.6, linecolor="#E4E4E4", ax=axes, annot_kws={"fontsize": 8.5},
        cbar_kws={"label": "mistakes (% of true class)"}, **_class_ticks(table, len(percent)),
    )  # fmt: skip
    for place in range(len(percent)):  # seaborn writes nothing into masked cells
        axes.text(place + 0.5, place + 0.5, labels.iloc[place, place], ha="center", va="center",
                  fontsize=8.5, fontweight="bold")  # fmt: skip
    axes.grid(visible=False)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.tick_params(axis="y", rotation=0)
    if "true_name" in table:
        axes.tick_params(axis="x", rotation=45 if written else 90)
        axes.tick_params(labelsize="medium" if written else "x-small")
        for text in axes.get_xticklabels() if written else ():
            text.set(ha="right", rotation_mode="anchor")
    return figure


def _class_ticks(table: pd.DataFrame, classes: int) -> dict[str, Any]:
    """Return what seaborn writes beside rows and columns: names, or every few numbers."""
    if "true_name" not in table or classes > _MOST_NAMED:
        step = -(-classes // _MOST_NAMED)
        return {"xticklabels": step, "yticklabels": step}
    names = [drawn_name(str(name)) for name in table.drop_duplicates("true")["true_name"]]
    return {"xticklabels": names, "yticklabels": names}


def _broken(name: str) -> str:
    """Break a long name at spaces, so that it leaves room for the picture."""
    lines = [""]
    for word in name.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= _LONG_NAME:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
