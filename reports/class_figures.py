"""Where contenders are good: class by class, and whether their confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.evidence import Outcomes
from reports.style import (
    GREY,
    MARKERS,
    PALETTE,
    Omitted,
    Plot,
    drawn_name,
    legend_columns,
    new_figure,
)

BINS = 15
"""Of confidence, all as wide: those of Guo et al. 2017 (On Calibration of Modern Networks)."""

_MOST_TICKS = 20  # classes that a panel has room to name

_PANELS = (("accuracy", "accuracy"), ("mean_iou", "mean IoU"))

Groups = Sequence[tuple[str, Sequence[Outcomes]]]
"""Name and outcomes of each contender's runs; seeds are pooled."""


def class_table(groups: Groups, class_names: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row for each contender and true class: images, accuracy and mean IoU.

    Args:
        groups: the contenders.
        class_names: one for each class; with them there is a column of names too.
    """
    rows = []
    for name, runs in groups:
        labels = np.concatenate([run.labels for run in runs])
        values = {
            measure: np.concatenate([run.values(measure) for run in runs])
            for measure, _ in _PANELS
        }
        for label in np.unique(labels):
            mine = labels == label
            means = [float(values[measure][mine].mean()) for measure, _ in _PANELS]
            rows.append((name, int(label), int(mine.sum()), *means))
    columns = ["contender", "class", "images", *(measure for measure, _ in _PANELS)]
    table = pd.DataFrame(rows, columns=columns)
    if class_names:
        table.insert(2, "name", [class_names[k] for k in table["class"]])
    return table


def class_plot(groups: Groups, *, name: str, class_names: Sequence[str] = ()) -> Plot | Omitted:
    """Return accuracy and mean IoU of each class."""
    known = [(who, runs) for who, runs in groups if runs]
    if not known:
        return Omitted(name=name, reason="no run has usable test predictions")
    table = class_table(known, class_names)
    called = "name" if class_names else "class"
    worst = table.loc[table["accuracy"].idxmin()]
    return Plot(
        name=name,
        alt=f"Accuracy and mean IoU of each class; lowest accuracy: class {worst[called]} of "
        f"{worst['contender']}",
        caption="Accuracy and mean IoU on test by true class (seeds pooled).",
        table=table,
        draw=draw_classes,
    )


def draw_classes(table: pd.DataFrame) -> Figure:
    """Draw a panel for each measure: a point for each class and contender, side by side."""
    names = list(dict.fromkeys(table["contender"]))
    words_in = 0.5 if "name" in table else 0.0
    figure = new_figure(3.2 + 0.2 * len(names) + words_in)
    grid = figure.subplots(1, len(_PANELS))
    for axes, (measure, title) in zip(grid, _PANELS, strict=True):
        for place, (who, mine) in enumerate(table.groupby("contender", sort=False)):
            aside = (place - (len(names) - 1) / 2) * 0.6 / max(len(names), 1)
            axes.plot(mine["class"] + aside, mine[measure], ls="", marker=MARKERS[place], ms=5,
                      color=PALETTE[place], label=who)  # fmt: skip
        axes.set(title=title, xlabel="true class")
        classes = sorted(set(table["class"]))
        if len(classes) <= _MOST_TICKS and "name" in table:
            named = table.drop_duplicates("class").set_index("class")["name"]
            words = [drawn_name(str(named[k])) for k in classes]
            axes.set_xticks(classes, words, rotation=45, ha="right", rotation_mode="anchor")
        elif len(classes) <= _MOST_TICKS:
            axes.set_xticks(classes)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def reliability_table(groups: Groups) -> pd.DataFrame:
    """Return for each contender and bin of confidence: images, mean confidence and accuracy.

    Bins without images are left out. `ece` is the expected calibration error of the contender,
    the mean over images of |accuracy - confidence| of their bin.
    """
    tables = []
    for name, runs in groups:
        confidence = np.concatenate([run.confidence for run in runs])
        right = np.concatenate([run.right for run in runs])
        # A confidence of 1 belongs to the last bin.
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        table = (
            pd.DataFrame({"bin": bins, "confidence": confidence, "accuracy": right.astype(float)})
            .groupby("bin")
            .agg(images=("bin", "size"), confidence=("confidence", "mean"),
                 accuracy=("accuracy", "mean"))
            .reset_index()
        )  # fmt: skip
        gaps = (table["accuracy"] - table["confidence"]).abs()
        table["ece"] = float((gaps * table["images"]).sum() / len(confidence))
        table.insert(0, "contender", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def reliability_plot(groups: Groups, *, name: str) -> Plot | Omitted:
    """Return how often contenders are right where they say how sure they are."""
    known = [(who, runs) for who, runs in groups if runs]
    if not known:
        return Omitted(name=name, reason="no run has usable test predictions")
    table = reliability_table(known)
    errors = table.groupby("contender", sort=False)["ece"].first()
    said = ", ".join(f"{who} {error:.4f}" for who, error in errors.items())
    return Plot(
        name=name,
        alt=f"Reliability diagram; expected calibration error: {said}",
        caption="Accuracy over confidence (probability of the class that was named), "
        f"{BINS} bins, seeds pooled; on the dotted line confidence can be believed. A point's "
        "area grows with its images. ECE: expected calibration error, the mean distance from "
        "that line.",
        table=table,
        draw=draw_reliability,
    )


def draw_reliability(table: pd.DataFrame) -> Figure:
    """Draw a line for each contender, and the diagonal."""
    names = list(dict.fromkeys(table["contender"]))
    figure = new_figure(4.4 + 0.2 * len(names), width_in=6.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1.4)
    for place, (who, mine) in enumerate(table.groupby("contender", sort=False)):
        label = f"{who} (ECE {mine['ece'].iloc[0]:.4f})"
        share = mine["images"] / mine["images"].sum()
        axes.plot(mine["confidence"], mine["accuracy"], color=PALETTE[place], lw=1.4)
        axes.scatter(mine["confidence"], mine["accuracy"], color=PALETTE[place], zorder=3,
                     marker=MARKERS[place], s=12 + 160 * share, label=label)  # fmt: skip
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_aspect("equal")
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=1)
    for handle in legend.legend_handles:
        handle.set_sizes([30])  # type: ignore[union-attr]
    return figure
