"""The difficulty atlas: how good contenders are over each factor that makes scenes hard."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.evidence import Outcomes
from reports.statistics import Estimate, share_interval, t_interval
from reports.style import MARKERS, PALETTE, Omitted, Plot, legend_columns, new_figure

MOST_BINS = 8
"""Points of a curve: of 10,000 images each then speaks for more than 1,000."""

_FEW = 2  # images in a bin that have no interval to speak of

_PANELS = (("accuracy", "accuracy"), ("mean_iou", "mean IoU"))

TITLES = {
    "digit_px": "side of the digit (px)",
    "rotation_deg": "rotation (degrees)",
    "contrast": "contrast",
    "clutter": "fragments of clutter",
    "occlusion": "hidden share of the ink",
    "background": "background",
    "box_area": "area of the box (share of the image)",
    "x": "centre of the box, x",
    "y": "centre of the box, y",
}
"""How the axes of known factors read, in the order in which they are shown."""

BACKGROUNDS = ("black", "noise", "gradient", "texture")
"""What the numbers of the factor `background` stand for, as `harness.scene_spec` says."""

Groups = Sequence[tuple[str, Sequence[Outcomes]]]
"""Name and outcomes of each contender's runs, on the same images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """Images sorted by one factor.

    Attributes:
        member: int64 `[n]`, the bin of each image.
        low, high, centre: float64 `[bins]`, least, greatest and mean value in each.
    """

    member: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centre: NDArray[np.float64]


def bins_of(values: NDArray[np.floating]) -> Bins | None:
    """Return images in at most `MOST_BINS` bins; None if the factor does not vary.

    A few distinct values are a bin each; more are cut at their quantiles, so that each bin holds
    about as many images.

    Args:
        values: float `[n]`, finite.
    """
    data = values.astype(np.float64)
    distinct, member = np.unique(data, return_inverse=True)
    if len(distinct) < 2:
        return None
    if len(distinct) > MOST_BINS:
        edges = np.unique(np.quantile(data, np.linspace(0, 1, MOST_BINS + 1)))
        # The last edge belongs to the last bin.
        member = np.clip(np.searchsorted(edges, data, side="right") - 1, 0, len(edges) - 2)
        _, member = np.unique(member, return_inverse=True)  # none is empty
    groups = [data[member == k] for k in range(int(member.max()) + 1)]
    return Bins(
        member=member.astype(np.int64),
        low=np.array([group.min() for group in groups]),
        high=np.array([group.max() for group in groups]),
        centre=np.array([group.mean() for group in groups]),
    )


def factors_of(outcomes: Outcomes) -> dict[str, NDArray[np.float64]]:
    """Return what is known of each image: its factors, and place and size of its box."""
    boxes = outcomes.boxes.astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    derived = {
        "box_area": sides[:, 0] * sides[:, 1],
        "x": (boxes[:, 0] + boxes[:, 2]) / 2,
        "y": (boxes[:, 1] + boxes[:, 3]) / 2,
    }
    known = {name: values.astype(np.float64) for name, values in outcomes.factors.items()}
    if "digit_px" in known:
        del derived["box_area"]  # says the same, but for the shape of the digit
    found = derived | known
    order = [*(name for name in TITLES if name in found), *sorted(set(found) - set(TITLES))]
    return {name: found[name] for name in order}


def difficulty_table(groups: Groups) -> pd.DataFrame:
    """Return one row for each factor that varies, contender and bin.

    Accuracy and IoU of an image are means over the contender's seeds, and intervals are over
    images: what another seed would give is not in them.
    """
    rows = []
    for factor, bins in _binned(groups[0][1][0]).items():
        for name, runs in groups:
            for k in range(len(bins.centre)):
                mine = bins.member == k
                ends = bins.low[k], bins.high[k], bins.centre[k], int(mine.sum())
                measured = [_estimate(runs, measure, mine) for measure, _ in _PANELS]
                values = [(found.value, found.low, found.high) for found in measured]
                rows.append((factor, name, *ends, *itertools.chain(*values)))
    columns = ["factor", "contender", "low", "high", "centre", "images"]
    columns += [f"{m}{end}" for m, _ in _PANELS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns)


def difficulty_plot(groups: Groups, *, name: str) -> Plot | Omitted:
    """Return accuracy and mean IoU over each factor that varies."""
    known = [(who, runs) for who, runs in groups if runs]
    if not known:
        return Omitted(name=name, reason="no run has usable test predictions")
    table = difficulty_table(known)
    if table.empty:
        return Omitted(name=name, reason="nothing that makes scenes hard varies")
    factors = list(dict.fromkeys(table["factor"]))
    hardest = _hardest(table)
    return Plot(
        name=name,
        alt=f"Accuracy and mean IoU over {', '.join(map(title, factors))}. {hardest}",
        caption="Accuracy and mean IoU on test over each factor that makes scenes hard, the "
        f"others mixed as they come; at most {MOST_BINS} bins of about as many images. Bands: "
        f"95 % over images; seeds are averaged image by image. {hardest}",
        table=table,
        draw=draw_difficulty,
    )


def title(factor: str) -> str:
    """Return how the axis of a factor reads."""
    return TITLES.get(factor, factor.replace("_", " "))


def draw_difficulty(table: pd.DataFrame) -> Figure:
    """Draw a row of panels for each factor: a line with its band for each contender."""
    factors = list(dict.fromkeys(table["factor"]))
    figure = new_figure(2.3 * len(factors) + 0.6)
    grid = figure.subplots(len(factors), len(_PANELS), squeeze=False, sharey="col")
    for row, factor in zip(grid, factors, strict=True):
        mine = table[table["factor"] == factor]
        for axes, (measure, label) in zip(row, _PANELS, strict=True):
            _draw_panel(axes, mine, measure)
            axes.set(ylabel=label, xlabel=title(factor))
            if factor == "background":
                places = range(len(BACKGROUNDS))
                axes.set_xticks(list(places), BACKGROUNDS)
                axes.set_xlim(-0.4, len(BACKGROUNDS) - 0.6)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
    return figure


def _draw_panel(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    for place, (who, mine) in enumerate(table.groupby("contender", sort=False)):
        colour, at = PALETTE[place], mine["centre"]
        axes.plot(at, mine[measure], color=colour, marker=MARKERS[place], ms=4, lw=1.4, label=who)
        low, high = (mine[f"{measure}_{end}"].astype(float) for end in ("low", "high"))
        axes.fill_between(at, low, high, color=colour, alpha=0.18, lw=0)


def _binned(outcomes: Outcomes) -> dict[str, Bins]:
    """Return the bins of each factor that varies."""
    found = {name: bins_of(values) for name, values in factors_of(outcomes).items()}
    return {name: bins for name, bins in found.items() if bins is not None}


def _estimate(runs: Sequence[Outcomes], measure: str, mine: NDArray[np.bool_]) -> Estimate:
    each = np.mean([run.values(measure)[mine] for run in runs], axis=0)
    if measure == "accuracy" and len(runs) == 1:
        return share_interval(each > 0)
    if len(each) <= _FEW:
        return Estimate(value=float(each.mean()), absent="too few images")
    return t_interval(each, varied="images", bounds=(0.0, 1.0))


def _hardest(table: pd.DataFrame) -> str:
    """Say in a sentence which factor costs the leader most mean IoU, between two of its bins."""
    leader = table["contender"].iloc[0]
    mine = table[table["contender"] == leader]
    spread = mine.groupby("factor", sort=False)["mean_iou"].agg(lambda v: v.max() - v.min())
    factor = str(spread.idxmax())
    bins = mine[mine["factor"] == factor]
    worst, best = bins.loc[bins["mean_iou"].idxmin()], bins.loc[bins["mean_iou"].idxmax()]

    def where(row: pd.Series) -> str:
        if factor == "background":
            return BACKGROUNDS[int(row["centre"])]
        low, high = f"{row['low']:.3g}", f"{row['high']:.3g}"
        return low if low == high else f"{low} to {high}"

    return (
        f"Largest for {leader}: {title(factor)}, mean IoU {worst['mean_iou']:.3f} at "
        f"{where(worst)} against {best['mean_iou']:.3f} at {where(best)}."
    )
