"""Which pictures a report holds: the comparison and its evidence in, plots by part out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.config import RunConfig, knobs
from harness.record import ModelFacts
from reports.class_figures import class_plot, reliability_plot
from reports.compare import Comparison, Table
from reports.diagram import layers_plot
from reports.difficulty_figures import difficulty_plot
from reports.evidence import Evidence
from reports.expected_best import alike, best_plot, size_words
from reports.illustrate import read_examples
from reports.pareto_figures import pareto_plot
from reports.race_figures import race_plot
from reports.run_figures import curves_plot
from reports.scene_figures import boxes_plot, right_wrong_plot, scenes_plot, worst_plot
from reports.searches import Search
from reports.style import PALETTE, Omitted, Plot
from reports.sweep_figures import fields_plot, front_plot, importance_plot, trials_plot
from reports.verdict_figures import class_names_of, confusion_plot, iou_plot, score_plot

AnyPlot = Plot | Omitted

Importances = Callable[[Sequence[str]], Iterator[Mapping[str, float] | str]]
"""Names of sweeps in; for each: field -> share in [0, 1] of the variance of the sweep's first goal
that it explains, or in words why that is not known. May compute while nobody waits yet."""

_MOST_NETWORKS = 12
_MOST_UNTESTED = len(PALETTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Titled:
    """A plot under the heading that it gets in the report."""

    title: str
    plot: AnyPlot


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The plots of a report, by the part that they stand in; see `reports.markdown.Gallery`."""

    tables: tuple[tuple[Titled, ...], ...]
    untested: tuple[Titled, ...]
    together: tuple[Titled, ...]
    searches: tuple[tuple[Titled, ...], ...]
    networks: tuple[Titled, ...]

    def all(self) -> tuple[Titled, ...]:
        """Return every plot, in the order of the report."""
        parts = (*self.tables, self.untested, self.together, *self.searches, self.networks)
        return tuple(item for part in parts for item in part)


def choose_pictures(
    comparison: Comparison,
    evidence: Sequence[Evidence],
    importances: Importances,
    *,
    most: int | None = None,
) -> Pictures:
    """Return every plot of a report.

    Args:
        comparison: of the evidence.
        evidence: the runs.
        importances: asked once, for the sweeps that are drawn.
        most: sweeps of which pictures are drawn, those that stand highest; None for all.
    """
    drawn = _highest(comparison)[:most]
    shares = importances(drawn)
    by_id = {item.record.run_id: item for item in evidence}
    several = len(comparison.tables) > 1
    tables = tuple(
        _table_pictures(board, by_id, prefix=f"data-{place}-" if several else "")
        for place, board in enumerate(comparison.tables, 1)
    )
    explained = dict(zip(drawn, shares, strict=True))
    return Pictures(
        tables=tables,
        untested=() if comparison.tables else _untested_pictures(comparison, by_id),
        together=_together(comparison.searches),
        searches=tuple(
            _search_pictures(search, explained[search.name], prefix=f"sweep-{place}-")
            if search.name in explained
            else _search_left_out(search, len(drawn), prefix=f"sweep-{place}-")
            for place, search in enumerate(comparison.searches, 1)
        ),
        networks=_networks(comparison, by_id, evidence),
    )  # fmt: skip


def none_known(sweeps: Sequence[str]) -> Iterator[Mapping[str, float] | str]:
    """Return no importances of any sweep."""
    return ("nobody computed them" for _ in sweeps)


def _highest(comparison: Comparison) -> list[str]:
    """Return the names of all sweeps, those first whose finals stand highest."""
    ranked = [
        name for board in comparison.tables for row in board.contenders for name in row.sweeps
    ]
    return list(dict.fromkeys([*ranked, *(search.name for search in comparison.searches)]))


def _search_left_out(search: Search, drawn: int, *, prefix: str) -> tuple[Titled, ...]:
    reason = (
        f"of so many sweeps, only the {drawn} that stand highest are drawn; bench report --sweep "
        f"{search.name} draws this one"
    )
    return (Titled(title="Pictures of this sweep", plot=Omitted(name=prefix, reason=reason)),)


def _together(searches: Sequence[Search]) -> tuple[Titled, ...]:
    """Return what fewer trials would have found: one picture for all searches that are alike."""
    groups: dict[object, list[Search]] = {}
    for search in searches:
        groups.setdefault(alike(search), []).append(search)
    if len(groups) == 1:
        return (Titled(title="Expected best", plot=best_plot(searches, name="expected-best")),)
    return tuple(
        Titled(title=_alike_title(group[0]), plot=best_plot(group, name=f"expected-best-{place}"))
        for place, group in enumerate(groups.values(), 1)
    )


def _alike_title(search: Search) -> str:
    """Return a heading of searches that are alike, beside others that are not."""
    where = "unknown data" if search.data is None else search.data.source
    return f"Expected best {search.goals[0].title} on {where}, trials of {size_words(search)}"


def _search_pictures(
    search: Search, importances: Mapping[str, float] | str, *, prefix: str
) -> tuple[Titled, ...]:
    what = search.goals[0].title.removeprefix("validation ").capitalize()
    front = Titled(title="Pareto front", plot=front_plot(search, name=f"{prefix}front"))
    return (
        *([front] if len(search.goals) > 1 else []),
        Titled(title=f"{what} over trials", plot=trials_plot(search, name=f"{prefix}trials")),
        Titled(title=f"{what} over the searched fields",
               plot=fields_plot(search, name=f"{prefix}fields")),
        Titled(title="Importances",
               plot=importance_plot(importances, sweep=search.name, name=f"{prefix}importances")),
    )  # fmt: skip


def _table_pictures(
    board: Table, by_id: Mapping[str, Evidence], *, prefix: str
) -> tuple[Titled, ...]:
    """Return the pictures of a leaderboard; lines of as many contenders as there are colours."""
    rows = board.contenders[: len(PALETTE)]
    groups = [(row.name, [by_id[run_id] for run_id in row.run_ids]) for row in rows]
    leader, runs = groups[0]
    outcomes = [
        (name, [item.outcomes for item in items if item.outcomes is not None])
        for name, items in groups
    ]
    curves = [(name, item.record) for name, items in groups for item in items]
    costs = [(row, items) for row, (_, items) in zip(rows, groups, strict=True)]
    machines = len(board.machines)
    return (
        Titled(title="Scores", plot=score_plot(board.contenders, name=f"{prefix}scores")),
        Titled(title="Score against speed and size", plot=_best_of(board, pareto_plot(
            costs, name=f"{prefix}pareto", machines=machines))),
        Titled(title="Training curves",
               plot=_best_of(board, curves_plot(curves, name=f"{prefix}curves"))),
        Titled(title="Race", plot=_best_of(board, race_plot(
            curves, name=f"{prefix}race", machines=machines))),
        *_scene_pictures(runs, who=leader, prefix=prefix),
        Titled(title="Confusion matrix",
               plot=confusion_plot(runs, who=leader, name=f"{prefix}confusion")),
        Titled(title="IoU distribution",
               plot=_best_of(board, iou_plot(outcomes, name=f"{prefix}iou"))),
        Titled(title="Class by class",
               plot=_best_of(board, class_plot(
                   outcomes, name=f"{prefix}classes", class_names=board.data.class_names))),
        Titled(title="Difficulty atlas",
               plot=_best_of(board, difficulty_plot(outcomes, name=f"{prefix}difficulty"))),
        Titled(title="Reliability",
               plot=_best_of(board, reliability_plot(outcomes, name=f"{prefix}reliability"))),
    )  # fmt: skip


def _best_of(board: Table, plot: AnyPlot) -> AnyPlot:
    """Return the plot, whose caption says so if it leaves contenders out."""
    if isinstance(plot, Omitted) or len(board.contenders) <= len(PALETTE):
        return plot
    which = f"The best {len(PALETTE)} of {len(board.contenders)} contenders. "
    return dataclasses.replace(plot, caption=which + plot.caption)


def _scene_pictures(runs: Sequence[Evidence], *, who: str, prefix: str) -> tuple[Titled, ...]:
    """Return pictures of the scenes of the first run that kept some."""
    titles = (
        "Example scenes", "True against predicted boxes", "Right against wrong", "Worst errors",
    )  # fmt: skip
    names = tuple(f"{prefix}{name}" for name in ("scenes", "boxes", "right-wrong", "worst"))
    for item in runs:
        examples = read_examples(item.folder)
        if not isinstance(examples, str):
            what = f"{who}, run {item.record.run_id}"
            known = class_names_of(item)
            makers = (scenes_plot, boxes_plot, right_wrong_plot, worst_plot)
            return tuple(
                Titled(title=title, plot=make(examples, name=name, what=what, class_names=known))
                for title, name, make in zip(titles, names, makers, strict=True)
            )
    why = read_examples(runs[0].folder) if runs else "there is no run"
    return tuple(
        Titled(title=title, plot=Omitted(name=name, reason=f"{who}: {why}"))
        for title, name in zip(titles, names, strict=True)
    )


def _untested_pictures(
    comparison: Comparison, by_id: Mapping[str, Evidence]
) -> tuple[Titled, ...]:
    """Return what can be shown without a test result: best trials, then other finished runs."""
    best = [search.best.run_id for search in comparison.searches if search.best is not None]
    rest = [r.run_id for r in comparison.runs if r.status == "finished" and r.role != "trial"]
    shown = [by_id[run_id] for run_id in dict.fromkeys(best + rest)][:_MOST_UNTESTED]
    if not shown:
        reason = "no run finished"
        return (Titled(title="Training curves", plot=Omitted(name="curves", reason=reason)),)
    curves = [(f"{i.record.config.backbone} {i.record.run_id}", i.record) for i in shown]
    who = shown[0].record.config.backbone
    return (
        Titled(title="Training curves", plot=curves_plot(curves, name="curves")),
        *_scene_pictures(shown, who=who, prefix=""),
    )


def _networks(
    comparison: Comparison, by_id: Mapping[str, Evidence], evidence: Sequence[Evidence]
) -> tuple[Titled, ...]:
    """Return the layer diagram of each network that was tested, and one of each other backbone.

    Trials that searched width or depth may have as many networks as there are trials: only the
    best of them is drawn.
    """
    ranked = [run_id for board in comparison.tables for row in board.contenders
              for run_id in row.run_ids]  # fmt: skip
    best = [search.best.run_id for search in comparison.searches if search.best is not None]
    rest = sorted(evidence, key=lambda e: (e.record.config.backbone, e.record.run_id))
    models: dict[str, ModelFacts] = {}
    drawn: set[str] = set()
    for item in [*(by_id[run_id] for run_id in ranked), *(by_id[r] for r in best), *rest]:
        config, model = item.record.config, item.record.model
        tested = item.record.run_id in ranked
        if model is not None and (tested or config.backbone not in drawn):
            models.setdefault(_network_name(config), model)
            drawn.add(config.backbone)
    return tuple(
        Titled(title=network, plot=layers_plot(model, backbone=network, name=f"layers-{place}"))
        for place, (network, model) in enumerate(list(models.items())[:_MOST_NETWORKS], 1)
    )


def _network_name(config: RunConfig) -> str:
    """Return the backbone with what was set of the network beside it."""
    default = RunConfig()
    names = [name for name, knob in knobs().items() if knob.group == "Model"]
    values = {name: getattr(config, name) for name in names if name != "backbone"}
    apart = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
        if value != getattr(default, name)
    ]
    return " ".join([config.backbone, *apart])
