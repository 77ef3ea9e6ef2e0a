"""The report as Markdown: `Comparison` in, text out.

Pure and byte-stable: no clock, no locale, no disk. GitHub is where it is read, so it keeps to
what GitHub renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.certificate import Certificate
from harness.noise_floor import NoiseFloor
from harness.record import METRICS, DataIdentity
from harness.timings import Timings
from reports.appendix import appendix_lines
from reports.budgets import difference
from reports.certificates import certificate_lines
from reports.compare import DATA_FIELDS, Comparison, Table, data_values
from reports.contenders import Contender
from reports.evidence import IMAGE_MEASURES
from reports.goals import Goal
from reports.links import RunLinks, list_link, row_links, row_places, run_link, run_links
from reports.run_speeds import run_speed_lines
from reports.searches import Search
from reports.shift_section import shift_lines
from reports.speed_section import speed_lines
from reports.statistics import Estimate
from reports.summary import summary_lines
from reports.verdict_section import verdict_lines
from reports.wording import (
    Notes,
    cell,
    code,
    count,
    interval,
    number,
    scene_words,
    table,
    text,
    what_varied,
    with_interval,
)

_BEST_TRIALS = 5
_UNBROKEN = "\N{NON-BREAKING HYPHEN}"
_OTHER_MACHINES = (
    "The rows were timed on different machines, or with other versions or settings (mark behind "
    "images/s): those speeds are not compared with each other."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture beside the report, and the CSV file of the numbers in it."""

    title: str
    file: str
    csv: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPicture:
    """A picture that could not be drawn, and why."""

    title: str
    reason: str


AnyPicture = Picture | MissingPicture


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """The pictures of a report, by the part that they stand in.

    Attributes:
        tables: for each table of the comparison, in order.
        untested: of runs without a test result, shown if there is no table at all.
        together: of all sweeps.
        searches: for each sweep of the comparison, in order.
        networks: layer diagrams.
    """

    tables: tuple[tuple[AnyPicture, ...], ...] = ()
    untested: tuple[AnyPicture, ...] = ()
    together: tuple[AnyPicture, ...] = ()
    searches: tuple[tuple[AnyPicture, ...], ...] = ()
    networks: tuple[AnyPicture, ...] = ()


def render(
    comparison: Comparison,
    *,
    title: str,
    gallery: Gallery,
    commands: Mapping[str, str] | None = None,
    certificates: Sequence[Certificate] = (),
    timings: Sequence[Timings] = (),
    floors: Sequence[NoiseFloor] = (),
    links: RunLinks | None = None,
    numbers: str | None = None,
    made_at: str | None = None,
) -> str:
    """Return the report as Markdown text.

    Args:
        comparison: what to say.
        title: heading of the report.
        gallery: pictures, at paths relative to the report.
        commands: sweep name -> the command line that repeats the sweep.
        certificates: of strategies, for the networks in the comparison.
        timings: of such networks.
        floors: noise floors, of any machines; without one no difference of speed is claimed.
        links: where more of a run is to be seen.
        numbers: file beside it that holds all numbers; None if there is none.
        made_at: date for the last line; without it the text depends on the runs alone.
    """
    lines = [f"# {text(title)}", "", *summary_lines(comparison)]
    for place, board in enumerate(comparison.tables):
        lines += _leaderboard(board, place, comparison, floors)
        lines += _pictures(_at(gallery.tables, place))
    if not comparison.tables:
        lines += ["## Training", "", *_pictures(gallery.untested)]
    if gallery.together:
        lines += ["## Searches", "", *_pictures(gallery.together)]
    for place, search in enumerate(comparison.searches):
        lines += _search(search, (commands or {}).get(search.name))
        lines += _pictures(_at(gallery.searches, place))
    if gallery.networks:
        lines += ["## Networks", "", *_pictures(gallery.networks)]
    lines += speed_lines(timings, floors)
    lines += certificate_lines(certificates, floors)
    lines += appendix_lines(comparison, links or {})
    if numbers is not None:
        lines += [f"All numbers at full precision: [{numbers}]({numbers}).", ""]
    if made_at is not None:
        lines += [f"Made at {text(made_at)}.", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _at(parts: Sequence[tuple[AnyPicture, ...]], place: int) -> tuple[AnyPicture, ...]:
    return parts[place] if place < len(parts) else ()


def _leaderboard(
    board: Table, place: int, comparison: Comparison, floors: Sequence[NoiseFloor]
) -> list[str]:
    budget = comparison.telling_budget(board)
    searched = "" if budget is None else f", searched with {budget.words()}"
    name = f" on {data_name(board.data)}{searched}" if len(comparison.tables) > 1 else ""
    lines = [f"## Leaderboard{name}", ""]
    if board is not comparison.tables[0]:
        lines += [_why_apart(board, comparison.tables), ""]
    notes = Notes()
    titles = [METRICS[measure].title for measure in IMAGE_MEASURES]
    ranges, links = board.ranges, row_links(board, place)
    rows = [
        [_rank(row, ranges), links[row.name], *_contender_row(row, board, notes)]
        for row in board.contenders
    ]
    head = ["#", "contender", *titles, "images/s", "parameters", "MFLOP", "varied"]
    head += ["search"] if board.budget is not None else []
    lines += table(head, rows, right="rlrrrrrrrll")
    lines += notes.lines()
    lines += [_interval_note(board), ""]
    if len(board.machines) > 1:
        lines += [_OTHER_MACHINES, ""]
    lines += verdict_lines(board.verdicts, links, rows=len(board.contenders))
    lines += shift_lines(board, links)
    lines += run_speed_lines(board, links, dict(comparison.machines), floors)
    return lines + _reproduce(board, place)


def _contender_row(row: Contender, board: Table, notes: Notes) -> list[str]:
    speed = cell(row.images_per_s, notes, METRICS["images_per_s"].digits)
    if len(board.machines) > 1 and row.images_per_s.value is not None:
        speed += f"<br>on {row.machines[0]}" if row.machines else "<br>on an unknown machine"
    unsaid = "the runs do not say, or do not agree"
    size = f"absent{notes.mark(unsaid)}" if row.parameters is None else f"{row.parameters:,}"
    cost = f"absent{notes.mark(unsaid)}" if row.mflops is None else f"{row.mflops:,.1f}"
    varied = what_varied(row.quality["score"])
    if len(row.seeds) == 1:
        varied += " (one seed)"
    return [
        *(cell(row.quality[measure], notes) for measure in IMAGE_MEASURES),
        speed,
        size,
        cost,
        varied,
        *([] if board.budget is None else [_searched(row)]),
    ]


def _rank(row: Contender, ranges: Mapping[str, tuple[int, int]]) -> str:
    """Return the rank, or all that the verdicts leave open."""
    best, worst = ranges.get(row.name, (row.rank, row.rank))
    return str(best) if best == worst else f"{best}{_UNBROKEN}{worst}"


def _searched(row: Contender) -> str:
    """Return what search found a contender, and as which of its trials."""
    if row.budget is None:
        return "none recorded"
    return row.budget.words() if row.place is None else f"no. {row.place} of {row.budget.words()}"


def _interval_note(board: Table) -> str:
    parts = ["Ordered by score on the test split."]
    if board.verdicts:
        parts.append("`#`: the ranks that the verdicts below leave open.")
    parts.append("In brackets: 95 % interval of the mean over what the column `varied` names.")
    if any(len(row.seeds) > 1 for row in board.contenders):
        parts.append("Several seeds: Student's t over seeds, on the same test images.")
    if any(len(row.seeds) == 1 for row in board.contenders):
        parts.append(
            "One seed: over test images (Wilson for shares, t for means); what another seed "
            "would give is not in it."
        )
    parts.append("images/s: training throughput, over seeds, or over epochs of a single run.")
    return " ".join(parts)


def data_name(data: DataIdentity) -> str:
    """Return a short name of a data set that tells two of them apart."""
    return f"{code(data.source)} {data.digest[:8]} (data seed {data.data_seed}{scene_words(data)})"


def _why_apart(board: Table, tables: Sequence[Table]) -> str:
    """Return why a leaderboard is none with the first one on its data, or on other data."""
    alike = next(t for t in tables if data_values(t.data) == data_values(board.data))
    if alike is not board and alike.budget is not None and board.budget is not None:
        return (
            "What searches found here is not ranked with the table above on the same data, as "
            f"their budgets are not equal: {text(difference(board.budget, alike.budget))}."
        )
    data, first = board.data, tables[0].data
    pairs = zip(DATA_FIELDS, data_values(data), data_values(first), strict=True)
    other = [field for field, mine, theirs in pairs if mine != theirs]
    return (
        f"These runs are not ranked with the table on {data_name(first)}: they saw other data. "
        f"Different: {', '.join(other)}."
    )


def _reproduce(board: Table, place: int) -> list[str]:
    lines, places = ["### Where each row comes from", ""], row_places(board, place)
    rows = [
        [str(row.rank), places[row.name], ", ".join(map(str, row.seeds)),
         run_links(row.run_ids), ", ".join(row.machines) or "unknown"]
        for row in board.contenders
    ]  # fmt: skip
    lines += table(["#", "contender", "seeds", "runs", "machine"], rows, right="r")
    lines += ["These commands repeat the rows, one run a line:", "", "```sh"]
    for row in board.contenders:
        lines += [f"# {row.rank}. {row.name}", *row.commands]
    return [*lines, "```", ""]


def _pictures(pictures: Sequence[AnyPicture]) -> list[str]:
    lines = []
    for picture in pictures:
        if isinstance(picture, Picture):
            lines += [f"### {text(picture.title)}", ""]
            lines += [f"![{text(picture.alt)}]({picture.file})", ""]
            lines += [f"{picture.caption} Numbers: [{picture.csv}]({picture.csv}).", ""]
    missing = [p for p in pictures if isinstance(p, MissingPicture)]
    if missing:
        lines += ["Not drawn:", ""]
        lines += [*(f"- {text(p.title)}: {text(p.reason)}." for p in missing), ""]
    return lines


def _search(search: Search, command: str | None) -> list[str]:
    lines = [f"## Sweep {code(search.name)}", ""]
    ends = [f"{search.count(s)} {s}" for s in ("finished", "pruned", "failed", "interrupted")
            if search.count(s)]  # fmt: skip
    best, goal = search.best, search.goals[0]
    digits, tested = goal.digits + 1, goal.title.replace("validation", "test")
    rows = [
        ["backbone", ", ".join(code(name) for name in search.backbones)],
        ["trials", f"{len(search.trials)} ({', '.join(ends) or 'none'})"],
        ["runs of the trials", _trial_runs(search)],
        ["searched", ", ".join(code(name) for name in search.varied) or "nothing varied"],
        [f"best trial, {text(goal.title)}", "none finished" if best is None or best.value is None
         else f"{number(best.value, digits)} (trial {best.number}, run {run_link(best.run_id)})"],
        ["budget, in training examples", _budget(search)],
        [f"trained in full with new seeds, {text(goal.title)}",
         _over(search.validation, search.trained_ids, digits)],
        *([[f"trained in full with new seeds, {text(tested)}",
            _over(search.test, search.final_ids, digits)]] if goal.tested else []),
        *([[f"re-run as in the search with new seeds, {text(tested)}",
            _over(search.rerun, search.rerun_ids, digits)]] if search.rerun_ids else []),
        [f"optimism gap: {_gap_words(goal)}", _over(search.gap, search.gap_ids, digits)],
    ]  # fmt: skip
    lines += table(["what", "value"], rows)
    if command is not None:
        lines += ["```sh", command, "```", ""]
    return lines + _best_trials(search)


def _trial_runs(search: Search) -> str:
    """Return which runs of the list are the trials of a search, without naming hundreds."""
    if not search.trials:
        return "none"
    ends = dict.fromkeys(trial.run_id for trial in (search.trials[0], search.trials[-1]))
    return f"{' to '.join(map(run_link, ends))} in the {list_link()}"


def _budget(search: Search) -> str:
    if search.trial_size is None or search.granted is None:
        return "absent (no trial says how many it had)"
    epochs, examples = search.trial_size
    share = 100 * search.consumed / search.granted if search.granted else 0
    return (
        f"{search.granted:,} granted ({count(search.ended, 'trial')} x {epochs} epochs x "
        f"{examples:,}), {search.consumed:,} consumed ({share:.0f} %)"
    )


def _gap_words(goal: Goal) -> str:
    if goal.name == "score":
        return "best validation score minus re-run test score"
    return f"how much better {text(goal.title)} of the best trial is than that of re-runs on test"


def _over(estimate: Estimate, run_ids: Sequence[str], digits: int) -> str:
    words = with_interval(estimate, digits)
    if interval(estimate):
        words += f" over {what_varied(estimate)}"
    return f"{words} (runs {run_links(run_ids)})" if run_ids else words


def _short(value: object) -> object:
    """Return a value for reading, nothing for a field not drawn; the commands have every digit."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else value


def _best_trials(search: Search) -> list[str]:
    if len(search.goals) > 1:
        by_number = {t.number: t for t in search.trials}
        best = [by_number[number] for number in search.front]
    else:
        best = [t for t in search.trials if t.value is not None]
        best.sort(key=lambda t: (-search.goals[0].sign * (t.value or 0), t.number))
        best = best[:_BEST_TRIALS]
    if not best:
        return []
    rows = [
        [str(t.number),
         *(number(value, goal.digits + 1)
           for goal, value in zip(search.goals, (t.value or 0, *t.more), strict=True)),
         *(text(_short(value)) for _, value in t.values),
         run_link(t.run_id)]
        for t in best
    ]  # fmt: skip
    head = [
        "trial",
        *(text(goal.title) for goal in search.goals),
        *(text(field) for field in search.varied),
        "run",
    ]
    what = (
        f"The best {count(len(rows), 'trial')}" if len(search.goals) == 1
        else f"The Pareto front, {count(len(rows), 'trial')} that no other one dominates"
    )  # fmt: skip
    lines = [f"{what}, each one run with one seed (no interval):", ""]
    return lines + table(head, rows, right="r" * (len(head) - 1))
