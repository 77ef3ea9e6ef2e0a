"""What `bench sweep` shows at its end: what each search found, and what is left of it on test."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table

from harness.console import console, note, say
from harness.record import RunRecord
from harness.store import Store
from harness.sweep_display import trial_table
from reports.searches import Search, summarise_searches
from reports.statistics import Estimate
from sweeps.listeners import SweepOutcome
from sweeps.plan import SweepPlan


def show_results(
    plans: Sequence[SweepPlan], outcomes: Sequence[SweepOutcome], store: Store
) -> None:
    """Print notes, the best trials of each sweep, finals, and what is left on test."""
    for outcome in outcomes:
        for text in outcome.notes:
            say(text)
    for plan, outcome in zip(plans, outcomes, strict=True):
        console.print(trial_table(plan, outcome.trials))
        if not plan.group:
            _show_finals(outcome)
    console.print(results_table(plans, outcomes, store))


def _show_finals(outcome: SweepOutcome) -> None:
    for record in outcome.finals:
        score, accuracy, iou = (
            record.value(f"test_{name}") for name in ("score", "accuracy", "mean_iou")
        )
        if score is None or accuracy is None or iou is None:
            note(f"final {record.run_id}: {record.status}: {record.reason}")
        else:
            note(
                f"final, seed {record.config.seed}: test score {score:.3f}, "
                f"accuracy {accuracy:.3f}, mean IoU {iou:.3f}"
            )


def results_table(
    plans: Sequence[SweepPlan], outcomes: Sequence[SweepOutcome], store: Store
) -> Table:
    """Return a row for each trial that was trained again; ± is half a 95 % interval over seeds.

    Args:
        plans: of the sweeps.
        outcomes: how each stands.
        store: the output folder.
    """
    title = "searched, then trained in full and tested"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("backbone", overflow="fold")
    for title in ("trial", "validation", "test", "re-run on test", "optimism gap"):
        table.add_column(title, justify="right")
    for plan, outcome in zip(plans, outcomes, strict=True):
        search = _search(plan, outcome, store)
        if search is None or search.best is None:
            table.add_row(plan.base.backbone, "none finished")
            continue
        goal, value = plan.goals[0], search.best.value or 0.0
        cells = [_cell(e, goal.digits) for e in (search.test, search.rerun, search.gap)]
        table.add_row(plan.base.backbone, str(search.best.number), goal.text(value), *cells)
        _add_others(table, plan, outcome, best=search.best.number)
    return table


def _search(plan: SweepPlan, outcome: SweepOutcome, store: Store) -> Search | None:
    found = [store.read_record(plan.trial_id(row.number)) for row in outcome.trials]
    trials = [record for record in found if record is not None]
    searches = summarise_searches(
        [*trials, *outcome.finals, *outcome.reruns], {plan.name: plan.goals}
    )
    return searches[0] if searches else None


def _add_others(table: Table, plan: SweepPlan, outcome: SweepOutcome, *, best: int) -> None:
    """Add the trials behind the best, if they were trained again too."""
    others = dict.fromkeys(record.trial for record in outcome.finals if record.trial != best)
    for number in others:
        finals = [record for record in outcome.finals if record.trial == number]
        (row,) = (row for row in outcome.trials if row.number == number)
        value = "" if row.value is None else plan.goals[0].text(row.value)
        table.add_row("", str(number), value, _mean(finals, plan))


def _mean(records: Sequence[RunRecord], plan: SweepPlan) -> str:
    (goal, *_) = plan.goals
    values = [record.value(goal.tested or goal.measure) for record in records]
    known = [value for value in values if value is not None]
    return plan.goals[0].text(fmean(known)) if known else ""


def _cell(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:,.{digits}f}"
    # The longer side: the other may be cut where a score cannot go.
    half = max(estimate.high - estimate.value, estimate.value - estimate.low)
    return f"{estimate.value:,.{digits}f} ± {half:,.{digits}f}"
