"""The verdicts of a leaderboard as a table: what is better, by how much, and what would tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.statistics import LEVEL
from reports.verdicts import MOST_CONTENDERS, Tested, Verdict
from reports.wording import Notes, cell, count, number, table, text

_OPEN = 10
"""Pairs that are shown at once; the rest of more than that is folded away."""

_HEAD = [
    "verdict", "score", "p", "accuracy", "mean IoU", "detectable", "to tell them apart",
]  # fmt: skip
_LEAST_P = 0.0001

_MEANING = (
    "Differences are first minus second, with their own 95 % intervals, on the same test images. "
    "p is for the score, corrected for all pairs of this table (Holm): at most 0.05 makes a "
    "verdict, bold in the columns of accuracy and mean IoU. Detectable: the smallest difference "
    "in score that another such test finds with 80 %."
)


def verdict_lines(
    verdicts: Sequence[Verdict], links: Mapping[str, str], *, rows: int
) -> list[str]:
    """Return the verdicts as Markdown lines; nothing if there are none.

    Args:
        verdicts: of each pair, the leader's first.
        links: name of a contender -> it as a link to its runs.
        rows: contenders in the table.
    """
    if not verdicts:
        return []
    leader = sum(verdict.first == verdicts[0].first for verdict in verdicts)
    shown = leader if len(verdicts) > _OPEN else len(verdicts)
    notes = Notes()
    first, rest = (
        table(_HEAD, [_row(verdict, links, notes) for verdict in some], right="lrrrrrl")
        for some in (verdicts[:shown], verdicts[shown:])
    )
    lines = ["### Verdicts", "", *first]
    if shown < len(verdicts):
        more = count(len(verdicts) - shown, "further pair")
        lines += ["<details>", f"<summary>{more}</summary>", "", *rest, "</details>", ""]
    lines += [*notes.lines(), _MEANING, ""]
    if rows > MOST_CONTENDERS:
        tested = f"Only the first {MOST_CONTENDERS} rows are tested against each other"
        lines += [f"{tested}: the others may have any rank.", ""]
    return lines


def words(verdict: Verdict, links: Mapping[str, str]) -> str:
    """Return the verdict alone: `a` > `b`, or cannot separate."""
    if verdict.better is not None and verdict.worse is not None:
        return f"**{links[verdict.better]} > {links[verdict.worse]}**"
    both = f"{links[verdict.first]} and {links[verdict.second]}"
    return f"**no verdict** on {both}" if verdict.absent else f"**cannot separate** {both}"


def p_words(p_value: float) -> str:
    """Return a p-value for reading."""
    return f"< {_LEAST_P}" if p_value < _LEAST_P else number(p_value)


def _row(verdict: Verdict, links: Mapping[str, str], notes: Notes) -> list[str]:
    said = words(verdict, links)
    if verdict.one_searched:
        said += notes.mark("one of the two was searched, the other not")
    score = verdict.score
    if score is None:
        return [f"{said}: {text(verdict.absent)}", *[""] * (len(_HEAD) - 1)]
    detectable = score.test.noise.detectable(alarms=verdict.alarms)
    return [
        said,
        cell(score.test.difference, notes),
        p_words(score.p_holm) + notes.mark(score.test.method),
        *(_difference(verdict.measures[name], notes) for name in ("accuracy", "mean_iou")),
        number(detectable),
        "" if score.separated and score.test.noise.seeds else _wanted(verdict, score),
    ]


def _difference(tested: Tested, notes: Notes) -> str:
    shown = cell(tested.test.difference, notes)
    return f"**{shown}**" if tested.separated else shown


def _wanted(verdict: Verdict, score: Tested) -> str:
    """Return what more would make a verdict, or one on more than these trained networks."""
    if not score.test.noise.seeds:
        return "two seeds or more of each: the luck of training is not seen yet"
    more = score.test.noise.more_seeds(
        score.test.difference.value or 0.0, alarms=min(verdict.alarms, 1 - LEVEL)
    )
    if more is None:
        return "more test images, or they are alike: more seeds do not help"
    return f"about {count(max(more, 1), 'more seed')} of each"
