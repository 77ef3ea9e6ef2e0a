"""What a search of n trials would have found: expected best score over the number of trials.

A search that was granted more trials finds better configurations for that reason alone. So two
backbones are not compared at one budget only: which is better may depend on how much is tried.
Searches stand in one picture only if they were after the same, on the same data, with trials of
the same size.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.compare import data_values
from reports.leaderboard_section import data_name
from reports.searches import Search
from reports.style import PALETTE, Omitted, Plot, legend_columns, new_figure
from reports.wording import code, count

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
    last epoch; one that failed or was interrupted could not win and does not count.

    Args:
        searches: that `alike` calls equal; those with too few trials that scored are left out.
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


def alike(search: Search) -> tuple[object, ...]:
    """Return what searches must share to be compared: goal, data and the size of a trial."""
    data = search.data
    if data is None:
        return search.goals[0].name, None, search.trial_size
    seen = dataclasses.replace(data, n_test=None, test_digest=None)  # no search looks at test
    return search.goals[0].name, (data_values(seen), data.n_validation), search.trial_size


def best_plot(searches: Sequence[Search], *, name: str) -> Plot | Omitted:
    """Return the expected best over the number of trials, a line for each search.

    Args:
        searches: that `alike` calls equal; as many as there are colours are drawn, those whose
            best trial stands highest.
        name: of the file, without ending.
    """
    able = [search for search in searches if len(_values(search)) >= _LEAST]
    if not able:
        return Omitted(name=name, reason=f"no search has {_LEAST} trials with a score")
    shown = sorted(able, key=lambda search: (-_values(search).max(), search.name))[: len(PALETTE)]
    title = shown[0].goals[0].title
    return Plot(
        name=name,
        alt=f"Expected best {title} over the number of trials of "
        + ", ".join(search.name for search in shown),
        caption=f"Expected best {title} of so many trials drawn at random from those that were "
        f"made (Dodge et al. 2019), with a 95 % band over trials{_where(shown[0])}. A sampler "
        "that learns does not draw at random: its first trials are worse than this, its last ones "
        f"better. {_flip_words(shown)}{_left_out_words(len(searches), len(able), len(shown))}",
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
    return np.array(
        [
            sign * trial.last_value
            for trial in search.trials
            if trial.status in ("finished", "pruned") and trial.last_value is not None
        ]
    )


def _counts(n: int) -> NDArray[np.int64]:
    """Return the numbers of trials that are looked at: all, or as many as a picture can show."""
    return np.unique(np.linspace(1, n, min(n, _MOST_COUNTS)).round().astype(np.int64))


def size_words(search: Search) -> str:
    """Return the size of a trial, such as "5 epochs x 55,000 examples"."""
    if search.trial_size is None:
        return "unknown size"
    epochs, examples = search.trial_size
    return f"{count(epochs, 'epoch')} x {examples:,} examples"


def _where(search: Search) -> str:
    """Return on which data the searches were made, and with which trials."""
    if search.data is None:
        return ""
    return f", on {data_name(search.data)} with trials of {size_words(search)}"


def _left_out_words(given: int, able: int, shown: int) -> str:
    """Return how many searches are not drawn, and why."""
    lower, few = able - shown, given - able
    words = [
        *([f"{count(lower, 'sweep')} whose best trial stands lower"] if lower else []),
        *([f"{count(few, 'sweep')} with fewer than {_LEAST} trials that scored"]
          if few else []),
    ]  # fmt: skip
    return f" Left out: {' and '.join(words)}." if words else ""


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
