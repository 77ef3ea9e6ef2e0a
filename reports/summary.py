"""The opening of a report: what won, by how much, can I believe it, on which data and machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from reports.compare import Comparison, Table, data_values
from reports.links import row_links, run_link
from reports.verdict_section import p_words
from reports.wording import code, count, number, scene_words, text, what_varied, with_interval

_UNEQUAL = (
    "A search stands behind one of the two only: this says which is better as it is, not which "
    "would be if both were searched."
)
_CHOSEN_BY_TEST = (
    "Its search ranked other trials before it on validation: singled out by its test score, "
    "it is flattered."
)
_MOST_MACHINES = 3  # the table of machines has them all


def summary_lines(comparison: Comparison) -> list[str]:
    """Return the summary as Markdown lines; the first table leads, further ones follow briefly."""
    lines = []
    if not comparison.tables:
        lines += _without_table(comparison)
    for place, board in enumerate(comparison.tables):
        if len(comparison.tables) > 1:
            above = comparison.tables[:place]
            lines += [f"**{_heading(board, comparison)}**{_apart(board, above)}:", ""]
        links = row_links(board, place)
        lines += [
            f"- **What won:** {_winner(board, links)}",
            f"- **By how much:** {_lead(board, links)}",
            f"- **Can I believe it?** {_belief(board, links)}",
            f"- **On which data:** {_data(board)}",
            "",
        ]
    if len(comparison.tables) > 1:
        lines += ["**Overall:**", ""]
    elif lines and not lines[-1]:
        lines.pop()  # one list, not two
    lines += [f"- **On which machine:** {_machines(comparison)}"]
    lines += [f"- **What was looked at:** {_runs(comparison)}", ""]
    return lines


def _heading(board: Table, comparison: Comparison) -> str:
    """Return what tells a leaderboard from others: its data, else the budget of its searches."""
    budget = comparison.telling_budget(board)
    searched = "" if budget is None else f", searched with {budget.words()}"
    data = board.data
    return f"On {code(data.source)} {data.digest[:8]}{scene_words(data)}{searched}"


def _apart(board: Table, above: Sequence[Table]) -> str:
    """Return why a leaderboard is none with those above it; nothing for the first."""
    if any(data_values(other.data) == data_values(board.data) for other in above):
        return "; another budget, so not ranked with the above"
    return "; other data, so not compared with the above" if above else ""


def _winner(board: Table, links: Mapping[str, str]) -> str:
    first = board.contenders[0]
    score = first.quality["score"]
    over = f", mean over {count(len(first.seeds), 'seed')}" if len(first.seeds) > 1 else ""
    what = f"; 95 % interval over {what_varied(score)}" if score.varied else ""
    return f"{links[first.name]} with test score {with_interval(score)}{over}{what}."


def _lead(board: Table, links: Mapping[str, str]) -> str:
    if not board.lead:
        return "it stands alone, so there is nothing to be ahead of."
    runner_up = board.lead[0]
    if runner_up.score is None:
        return f"not known: {text(runner_up.absent)}."
    difference = runner_up.score.test.difference
    return (
        f"{with_interval(difference)} in score ahead of {links[runner_up.second]} "
        f"({what_varied(difference)} varied)."
    )


def _belief(board: Table, links: Mapping[str, str]) -> str:
    if not board.lead:
        return "The numbers of one contender say how good it is, not whether it is better."
    runner_up = board.lead[0]
    if runner_up.score is None:
        return f"There is no verdict: {text(runner_up.absent)}."
    equal = [links[v.second] for v in board.lead if v.score is not None and v.better is None]
    if runner_up.better is None:
        return f"No: these runs cannot separate it from {', '.join(equal)}."
    unfair = f" {_UNEQUAL}" if runner_up.one_searched else ""
    unfair += f" {_CHOSEN_BY_TEST}" if (board.contenders[0].place or 1) > 1 else ""
    p_value = f"p {p_words(runner_up.score.p_holm)}, all pairs of the table considered"
    if runner_up.score.test.difference.varied == "images":
        return (
            f"In part: on other images of this kind it would stay ahead of the runner-up "
            f"({p_value}), but at least one of the two was trained with one seed only, so luck of "
            f"training is not ruled out. Run more seeds.{unfair}"
        )
    rest = f" It cannot be separated from {', '.join(equal)}." if equal else ""
    return (
        f"Yes, as far as a difference in score goes: {p_value}, with both seeds and test images "
        f"counted as chance.{rest}{unfair}"
    )


def _data(board: Table) -> str:
    data = board.data
    return (
        f"{code(data.source)} (content {code(data.digest)}, data seed {data.data_seed}"
        f"{scene_words(data)}), "
        f"{data.n_test or 0:,} test images, sealed until the final evaluation."
    )


def _machines(comparison: Comparison) -> str:
    if not comparison.machines:
        return "no run says."
    names = [
        f"{label}: {text(m.cpu_model)}, {count(m.cpu_cores, 'core')}, {text(', '.join(m.devices))}"
        for label, m in comparison.machines
    ]
    more = f"; and {len(names) - _MOST_MACHINES} more" if len(names) > _MOST_MACHINES else ""
    return "; ".join(names[:_MOST_MACHINES]) + f"{more}."


def _runs(comparison: Comparison) -> str:
    ends = Counter(run.status for run in comparison.runs)
    words = ", ".join(f"{ends[status]} {status}" for status in sorted(ends))
    rows = len({row.run_ids for board in comparison.tables for row in board.contenders})
    return (
        f"{count(len(comparison.runs), 'run')} ({words}), "
        f"{count(len(comparison.searches), 'sweep')}, {count(rows, 'contender')} tested."
    )


def _without_table(comparison: Comparison) -> list[str]:
    lines = ["- **What won:** nothing can be ranked, because no run has a test result."]
    for search in comparison.searches:
        if search.best is not None and search.best.value is not None:
            goal = search.goals[0]
            lines.append(
                f"- Sweep {code(search.name)}: best {goal.title} so far "
                f"{number(search.best.value, goal.digits + 1)} (trial {search.best.number}, run "
                f"{run_link(search.best.run_id)}), one seed, no interval."
            )
    return lines
