"""One search as Markdown: what it was granted, what it found, and what re-runs left of that."""

from __future__ import annotations

from collections.abc import Sequence

from harness.goal import Goal
from reports.links import list_link, run_link, run_links
from reports.searches import Search
from reports.statistics import Estimate
from reports.wording import code, count, interval, number, table, text, what_varied, with_interval

_BEST_TRIALS = 5


def search_lines(search: Search, command: str | None) -> list[str]:
    """Return a search as Markdown lines.

    Args:
        search: what it tried and found.
        command: the line that repeats it, if that is known.
    """
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
