"""Searches: what the trials of a sweep found, and how much of it a re-run kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.goal import SCORE, Goal, front, ranked
from harness.record import DataIdentity, RunRecord, Status
from reports.budgets import consumed, trial_size
from reports.contenders import varied_fields
from reports.statistics import Estimate, t_interval

_FREE = ("seed", "evaluate_test")
"""Fields in which a re-run differs from its trial by nature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of a search.

    Attributes:
        value: of the first goal at its end; None if it did not get that far.
        last_value: of the first goal after its last epoch, also of a pruned trial.
        more: of the further goals at its end, if there is a `value`.
        values: field -> value, of the fields that the search varied.
    """

    number: int
    run_id: str
    status: Status
    value: float | None
    last_value: float | None
    more: tuple[float, ...] = ()
    values: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A sweep: its trials, the best of them, its finals, and the best trial repeated.

    Attributes:
        goals: what the search was after; "best" means the first of them.
        varied: fields in which the trials differ, seeds apart.
        best: the finished trial that is best in the first goal; None if none finished.
        front: with several goals the numbers of the trials that no other one dominates.
        validation, test: the first goal of the best trial's finals, over seeds.
        rerun: the first goal on test of the best trial repeated as in the search, over new seeds.
        gap: how much better the best validation result of the search is than the mean test
            result of the re-runs: how much the search flatters itself, since the best of many is
            partly luck. Finals that trained like the trial are re-runs too.
        trained_ids: run ids of the best trial's finals.
        final_ids, rerun_ids: run ids of those, and of its re-runs, that were tested.
        gap_ids: run ids of all that the gap was computed from; none if there is no gap.
        data: that the trials saw; None if none says.
        trial_size: epochs and training examples of a trial that nobody stops; None if none says.
        consumed: training examples that all trials did train on, each counted in each epoch.
    """

    name: str
    backbones: tuple[str, ...]
    goals: tuple[Goal, ...]
    varied: tuple[str, ...]
    trials: tuple[Trial, ...]
    best: Trial | None
    front: tuple[int, ...]
    validation: Estimate
    test: Estimate
    rerun: Estimate
    gap: Estimate
    trained_ids: tuple[str, ...]
    final_ids: tuple[str, ...]
    rerun_ids: tuple[str, ...]
    gap_ids: tuple[str, ...]
    data: DataIdentity | None
    trial_size: tuple[int, int] | None
    consumed: int

    @property
    def ended(self) -> int:
        """Return how many trials have ended, in whatever way."""
        return len(self.trials) - self.count("interrupted")

    @property
    def granted(self) -> int | None:
        """Return the training examples that trials were granted; None if no trial says."""
        return None if self.trial_size is None else self.ended * math.prod(self.trial_size)

    def count(self, status: Status) -> int:
        """Return how many trials ended so."""
        return sum(trial.status == status for trial in self.trials)


def summarise_searches(
    records: Sequence[RunRecord], goals: Mapping[str, Sequence[Goal]] | None = None
) -> tuple[Search, ...]:
    """Return each sweep found in the records, in the order of names.

    Args:
        records: of trials, finals and re-runs.
        goals: name of a sweep -> what it was after; the score for one that is not named.
    """
    names = sorted({r.sweep for r in records if r.sweep is not None})
    known = goals or {}
    return tuple(
        _search(name, [r for r in records if r.sweep == name], tuple(known.get(name, SCORE)))
        for name in names
    )


def _search(name: str, records: Sequence[RunRecord], goals: tuple[Goal, ...]) -> Search:
    tried = [r for r in records if r.role == "trial"]
    tried.sort(key=lambda r: (-1 if r.trial is None else r.trial, r.run_id))
    varied = varied_fields([r.config for r in tried])
    trials = tuple(_trial(r, varied, goals) for r in tried)
    # By place in order: a record without a number is possible.
    ends = {place: _values(trial) for place, trial in enumerate(trials) if trial.value is not None}
    best = next((trials[place] for place in ranked(ends, goals)), None)
    # A sweep that grew may hold re-runs of a trial that was the best once.
    again = {None} if best is None else {None, best.number}
    repeated = [r for r in records if r.status == "finished" and r.trial in again]
    repeated.sort(key=lambda r: (r.config.seed, r.run_id))
    finals = [r for r in repeated if r.role == "final"]
    goal = goals[0]
    on_test = goal.tested or goal.measure
    tested = [r for r in finals if r.value(on_test) is not None]
    reruns = [r for r in repeated if r.role == "rerun" and r.value(on_test) is not None]
    test, rerun = (_over_seeds(runs, on_test, goal) for runs in (tested, reruns))
    gap = _gap(goal, best, rerun, None) if reruns else _gap(
        goal, best, test, _trained_otherwise(best, [*tried, *tested])
    )  # fmt: skip
    return Search(
        name=name,
        backbones=tuple(sorted({r.config.backbone for r in records})),
        goals=goals,
        varied=varied,
        trials=trials,
        best=best,
        front=tuple(trials[place].number for place in front(ends, goals))
        if len(goals) > 1
        else (),
        validation=_over_seeds(finals, goal.measure, goal),
        test=test,
        rerun=rerun,
        gap=gap,
        trained_ids=tuple(r.run_id for r in finals),
        final_ids=tuple(r.run_id for r in tested),
        rerun_ids=tuple(r.run_id for r in reruns),
        gap_ids=()
        if best is None or gap.value is None
        else (best.run_id, *(r.run_id for r in reruns or tested)),
        data=next((r.data for r in tried if r.data is not None), None),
        trial_size=trial_size(tried),
        consumed=consumed(tried),
    )


def _trial(record: RunRecord, varied: Sequence[str], goals: Sequence[Goal]) -> Trial:
    curve = [v for p in record.history if (v := goals[0].after_epoch(p)) is not None]
    ends = [goal.at_end(record) for goal in goals] if record.status == "finished" else []
    known = [value for value in ends if value is not None]
    value = known[0] if len(known) == len(goals) else None
    return Trial(
        number=-1 if record.trial is None else record.trial,
        run_id=record.run_id,
        status=record.status,
        value=value,
        last_value=value if value is not None else (curve[-1] if curve else None),
        more=() if value is None else tuple(known[1:]),
        values=tuple((field, getattr(record.config, field)) for field in varied),
    )


def _values(trial: Trial) -> tuple[float, ...]:
    return () if trial.value is None else (trial.value, *trial.more)


def _over_seeds(records: Sequence[RunRecord], measure: str, goal: Goal) -> Estimate:
    values = [r.value(measure) for r in records]
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(absent="it was not trained again to its end")
    return t_interval(known, varied="seeds", bounds=goal.bounds)


def _trained_otherwise(best: Trial | None, records: Sequence[RunRecord]) -> str | None:
    """Return how the finals were trained otherwise than the best trial, None if not at all."""
    configs = {r.role: r.config for r in records if best and r.trial in (None, best.number)}
    if len(configs) < 2:
        return None
    trial, final = configs["trial"].to_json(), configs["final"].to_json()
    names = [n for n in trial if n not in _FREE and trial[n] != final[n]]
    words = [f"{n} {_word(final[n])} instead of {_word(trial[n])}" for n in names]
    return ", ".join(words) or None


def _word(value: object) -> str:
    return "all" if value is None else str(value)


def _gap(goal: Goal, best: Trial | None, test: Estimate, otherwise: str | None) -> Estimate:
    if best is None or best.value is None:
        return Estimate(absent="no trial finished")
    if goal.tested is None:
        return Estimate(absent=f"{goal.title} has no test split")
    if otherwise:
        return Estimate(absent=f"no re-run, and the finals were trained otherwise: {otherwise}")
    if test.value is None:
        return Estimate(absent=test.absent)
    gaps = [
        None if end is None else goal.sign * (best.value - end)
        for end in (test.value, test.high, test.low)
    ]
    low, high = gaps[1:] if goal.sign > 0 else (gaps[2], gaps[1])
    return replace(test, value=gaps[0], low=low, high=high)
