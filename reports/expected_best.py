"""What a search of n trials would have found: expected best score over the number of trials.

A search that was granted more trials finds better configurations for that reason alone. So two
backbones are not compared at one budget only: which is better may depend on how much is tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.searches import Search
from reports.style import PALETTE, Omitted, Plot, legend_columns, new_figure
from reports.wording import code

RESAMPLES = 1000
_MOST_COUNTS = 200
_LEAST = 4  # trials with a score: fewer say nothing of others
_SEED = 0


def expected_best(
    values: NDArray[np.float64], trials: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    r"""Return the expected maximum of so many values drawn from these, each draw from all.

    With the values in ascending order, v_1 to v_n, the maximum of k draws is v_i with probability
    (i/n)^k - ((i-1)/n)^k.

    Source: Dodge, Gururangan, Card, Schwartz and Smith 2019 (Show Your Work: Improved Reporting of
    Experimental Results, section 3).

    Args:
        values: float `[..., n]`, of independent trials.
        trials: int `[k]`, numbers of draws; 1 to n if not given.

    Returns:
        float64 `[..., k]`; the first of 1 to n is the mean.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=-1)
    n = ordered.shape[-1]
    draws = np.arange(1, n + 1) if trials is None else trials
    share = np.arange(n + 1)[:, None] / n
    return np.asarray(ordered @ (share[1:] ** draws - share[:-1] ** draws))


def flips(first: NDArray[np.float64], second: NDArray[np.float64]) -> list[int]:
    """Return the places from which on the other one of two curves is higher.

    Args:
        first: float `[k]`, expected best.
        second: likewise, after as many trials.
    """
    found, last = [], 0.0
    for place, sign in enumerate(np.sign(first - second).tolist()):
        if sign and last and sign != last:
            found.append(place)
        last = sign or last
    return found


def best_table(searches: Sequence[Search]) -> pd.DataFrame:
    """Return one row for each search and number of trials, with a 95 % band over trials.

    The band is a percentile bootstrap of the trials. A pruned trial counts with the score of its
    last epoch.

    Args:
        searches: after the same goal; those with too few trials that scored are left out.
    """
    tables = []
    for search in searches:
        values = _values(search)
        if len(values) < _LEAST:
            continue
        trials = _counts(len(values))
        drawn = np.random.default_rng(_SEED).choice(values, (RESAMPLES, len(values)))
        curves = expected_best(drawn, trials)
        low, high = np.quantile(curves, [0.025, 0.975], axis=0)
        sign = search.goals[0].sign
        ends = (low, high) if sign > 0 else (-high, -low)
        tables.append(
            pd.DataFrame(
                {"search": search.name, "trials": trials,
                 "best": sign * expected_best(values, trials), "low": ends[0], "high": ends[1]}
            )
        )  # fmt: skip
    columns = ["search", "trials", "best", "low", "high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def best_plot(searches: Sequence[Search], *, name: str) -> Plot | Omitted:
    """Return the expected best over the number of trials, a line for each search."""
    shown = [search for search in searches if len(_values(search)) >= _LEAST][: len(PALETTE)]
    if not shown:
        return Omitted(name=name, reason=f"no search has {_LEAST} trials with a score")
    if len({search.goals[0].name for search in shown}) > 1:
        return Omitted(name=name, reason="the searches were after different goals")
    title = shown[0].goals[0].title
    return Plot(
        name=name,
        alt=f"Expected best {title} over the number of trials of "
        + ", ".join(search.name for search in shown),
        caption=f"Expected best {title} of so many trials drawn at random from those that were "
        "made (Dodge et al. 2019), with a 95 % band over trials. A sampler that learns does not "
        f"draw at random: its first trials are worse than this, its last ones better. "
        f"{_flip_words(shown)}",
        table=best_table(shown),
        draw=draw_best,
    )


def draw_best(table: pd.DataFrame) -> Figure:
    """Draw a line with its band for each search."""
    names = list(dict.fromkeys(table["search"]))
    figure = new_figure(3.4 + 0.2 * len(names))
    axes = figure.subplots()
    for place, (_, mine) in enumerate(table.groupby("search", sort=False)):
        colour = PALETTE[place]
        axes.fill_between(
            mine["trials"], mine["low"], mine["high"], color=colour, alpha=0.15, lw=0
        )
        axes.plot(mine["trials"], mine["best"], color=colour, lw=1.8, label=names[place])
    axes.set(xlabel="trials", ylabel="expected best on validation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=legend_columns(names))
    return figure


def _values(search: Search) -> NDArray[np.float64]:
    """Return what the trials reached; more is better, whatever the goal."""
    sign = search.goals[0].sign
    return np.array([sign * t.last_value for t in search.trials if t.last_value is not None])


def _counts(n: int) -> NDArray[np.int64]:
    """Return the numbers of trials that are looked at: all, or as many as a picture can show."""
    return np.unique(np.linspace(1, n, min(n, _MOST_COUNTS)).round().astype(np.int64))


def _flip_words(searches: Sequence[Search]) -> str:
    """Return where the order of two searches changes, for each pair in which it does."""
    found = []
    for one, other in itertools.combinations(searches, 2):
        both = [_values(one), _values(other)]
        trials = _counts(min(map(len, both)))
        places = flips(*(expected_best(values, trials) for values in both))
        if places:
            turns = " and ".join(str(trials[place]) for place in places)
            found.append(
                f"{code(one.name)} and {code(other.name)} change places at {turns} trials"
            )
    if found:
        return f"{'; '.join(found)}."
    return "No two change places." if len(searches) > 1 else ""
