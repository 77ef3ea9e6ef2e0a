"""What score costs: Pareto fronts of score against speed and size, and who is surely on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from reports.contenders import RANKED_BY, Contender
from reports.evidence import Evidence
from reports.style import (
    GREY,
    MARKERS,
    PALETTE,
    Omitted,
    Plot,
    legend_columns,
    new_figure,
)

RESAMPLES = 2000
_SEED = 0
_CHUNK = 100  # resamples at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """A quantity that a better score may cost."""

    name: str
    title: str
    sign: int  # 1 if more is better


COSTS = (
    _Cost(name="images_per_s", title="training images/s", sign=1),
    _Cost(name="parameters", title="parameters", sign=-1),
)

Groups = Sequence[tuple[Contender, Sequence[Evidence]]]


def on_front(score: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return who is on the Pareto front: nobody is as good in both and better in one.

    Args:
        score: float `[..., k]` of k contenders, more is better.
        gain: float `[..., k]`, likewise.
    """
    one, other = score[..., :, None], score[..., None, :]
    cheap, dear = gain[..., :, None], gain[..., None, :]
    beaten = (other >= one) & (dear >= cheap) & ((other > one) | (dear > cheap))
    return np.asarray(~beaten.any(axis=-1))


def pareto_table(
    groups: Groups, *, speeds: bool = True, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Return one row for each contender: score, costs, and the probability of being on each front.

    In each resample test images are drawn with replacement, the same for all, and of each
    contender its seeds, with the score and the speed of the seed together.

    Args:
        groups: contenders with their runs; those without outcomes have no probability.
        speeds: whether they may be compared.
        resamples: to draw.
    """
    able = _able(groups)
    table = pd.DataFrame(
        [
            (
                row.name,
                row.quality[RANKED_BY].value,
                row.images_per_s.value if speeds else None,
                row.parameters,
            )
            for row, _ in groups
        ],
        columns=["contender", "score", *(cost.name for cost in COSTS)],
    )
    chances = _chances([groups[place] for place in able], resamples)
    for cost in COSTS:
        known = table[cost.name].notna().to_numpy()
        value = table[cost.name].to_numpy(float)
        front = np.zeros(len(table), bool)
        front[known] = on_front(table["score"].to_numpy(float)[known], cost.sign * value[known])
        table[f"on_front_{cost.name}"] = front
        chance = np.full(len(table), np.nan)
        chance[able] = chances[cost.name]
        table[f"probability_{cost.name}"] = np.where(known, chance, np.nan)
    return table


def _able(groups: Groups) -> list[int]:
    """Return the places of contenders whose runs all predicted the images of the first such."""
    able: list[int] = []
    reference = None
    for place, (_, runs) in enumerate(groups):
        outcomes = [run.outcomes for run in runs if run.outcomes is not None]
        if len(outcomes) == len(runs):
            reference = reference or outcomes[0]
            if all(reference.same_images(each) for each in outcomes):
                able.append(place)
    return able


def _chances(groups: Groups, resamples: int) -> dict[str, NDArray[np.float64]]:
    """Return cost -> probability of being on its front, for contenders with outcomes."""
    count = len(groups)
    hits = {cost.name: np.zeros(count) for cost in COSTS}
    if not count:
        return hits
    rng = np.random.default_rng(_SEED)
    scores = [
        np.stack([r.outcomes.values(RANKED_BY) for r in runs if r.outcomes]) for _, runs in groups
    ]
    speeds = [np.array([_speed(run, row) for run in runs]) for row, runs in groups]
    sizes = np.array([np.nan if row.parameters is None else row.parameters for row, _ in groups])
    n = scores[0].shape[1]
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        counts = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(size)]
        drawn = np.array(counts, float)  # once, not in each product
        score, speed = np.empty((size, count)), np.empty((size, count))
        for place, (mine, rates) in enumerate(zip(scores, speeds, strict=True)):
            seeds = rng.integers(0, len(mine), (size, len(mine)))
            means = drawn @ mine.T / n  # of each seed over the images drawn
            score[:, place] = np.take_along_axis(means, seeds, axis=1).mean(axis=1)
            speed[:, place] = rates[seeds].mean(axis=1)
        for cost, value in zip(COSTS, (speed, np.broadcast_to(sizes, score.shape)), strict=True):
            known = ~np.isnan(value).any(axis=0)
            front = on_front(score[:, known], cost.sign * value[:, known])
            hits[cost.name][known] += front.sum(axis=0)
    return {name: hit / resamples for name, hit in hits.items()}


def _speed(run: Evidence, row: Contender) -> float:
    """Return the images/s of a run; NaN where those of the contender are not to be compared."""
    value = run.record.value("images_per_s")
    return np.nan if row.images_per_s.value is None or value is None else value


def pareto_plot(groups: Groups, *, name: str, machines: int) -> Plot | Omitted:
    """Return score against speed and against size.

    Args:
        groups: contenders with their runs, best first.
        name: of the picture.
        machines: that the runs were timed on; speeds of several are left out.
    """
    if len(groups) < 2:
        return Omitted(name=name, reason="a front needs two contenders")
    table = pareto_table(groups, speeds=machines <= 1)
    fronts = {
        cost.name: table.loc[table[f"on_front_{cost.name}"], "contender"].tolist()
        for cost in COSTS
    }
    said = "; ".join(
        f"{cost.title}: {', '.join(fronts[cost.name])}" for cost in COSTS if fronts[cost.name]
    )
    if not said:
        return Omitted(name=name, reason="neither speeds nor sizes can be compared")
    return Plot(
        name=name,
        alt=f"Test score against cost; on the Pareto front by {said}",
        caption="Test score against training speed and size. Filled: on the Pareto front, as "
        "nobody is as good in both and better in one. The figure beside a point is the "
        "probability of being on it, over resampled test images and seeds; that speeds of single "
        "processes differ by chance is in it only as far as the seeds show it.",
        table=table,
        draw=draw_pareto,
    )


def draw_pareto(table: pd.DataFrame) -> Figure:
    """Draw a panel for each cost that is known."""
    shown = [cost for cost in COSTS if table[cost.name].notna().any()]
    figure = new_figure(3.2 + 0.2 * len(table))
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)
    for axes, cost in zip(panels.flat, shown, strict=True):
        known = table[table[cost.name].notna()]
        front = known[known[f"on_front_{cost.name}"]].sort_values(cost.name)
        axes.plot(front[cost.name], front["score"], color=GREY, lw=1.2, ls="--", zorder=1)
        for place, row in known.iterrows():
            colour = PALETTE[int(str(place))]
            filled = bool(row[f"on_front_{cost.name}"])
            axes.scatter(row[cost.name], row["score"], s=60, zorder=3, edgecolor=colour,
                         marker=MARKERS[int(str(place))],
                         facecolor=colour if filled else "white", lw=1.6)  # fmt: skip
            chance = row[f"probability_{cost.name}"]
            if not np.isnan(chance):
                axes.annotate(f"{chance:.2f}", (row[cost.name], row["score"]), xytext=(6, 5),
                              textcoords="offset points", fontsize=8.5, color=colour)  # fmt: skip
        if known[cost.name].max() > 10 * known[cost.name].min():
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set(xlabel=cost.title)
        axes.margins(x=0.15, y=0.15)
    panels.flat[0].set(ylabel="test score")
    names = table["contender"].tolist()
    handles = [
        panels.flat[0].scatter([], [], s=60, color=PALETTE[place], marker=MARKERS[place])
        for place in range(len(names))
    ]
    figure.legend(handles, names, loc="outside lower center", ncols=legend_columns(names))
    return figure
