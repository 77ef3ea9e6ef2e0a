"""One leaderboard as Markdown: contenders, verdicts, and the commands that repeat each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.noise_floor import NoiseFloor
from harness.record import METRICS, DataIdentity
from reports.budgets import difference
from reports.compare import DATA_FIELDS, Comparison, Table, data_values
from reports.contenders import Contender
from reports.evidence import IMAGE_MEASURES
from reports.links import row_links, row_places, run_links
from reports.run_speeds import run_speed_lines
from reports.shift_section import shift_lines
from reports.verdict_section import verdict_lines
from reports.wording import Notes, cell, code, scene_words, table, text, what_varied

_UNBROKEN = "\N{NON-BREAKING HYPHEN}"
_OTHER_MACHINES = (
    "The rows were timed on different machines, or with other versions or settings (mark behind "
    "images/s): those speeds are not compared with each other."
)


def leaderboard_lines(
    board: Table, place: int, comparison: Comparison, floors: Sequence[NoiseFloor]
) -> list[str]:
    """Return a leaderboard as Markdown lines: the table, its verdicts, and how to repeat its rows.

    Args:
        board: the table.
        place: of it in the comparison, from 0.
        comparison: that it belongs to.
        floors: noise floors, of any machines; without one no difference of speed is claimed.
    """
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
    best, worst = ranges[row.name]
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
