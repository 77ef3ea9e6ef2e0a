"""Searches: what the trials of a sweep found, and how much of it a re-run kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.record import RunRecord, Status
from reports.budgets import consumed, trial_size
from reports.contenders import varied_fields
from reports.statistics import Estimate, t_interval

_FREE = ("seed", "evaluate_test")
"""Fields in which a re-run differs from its trial by nature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of a search.

    Attributes:
        score: validation score at its end; None if it did not get that far.
        last_score: validation score of its last epoch, also of a pruned trial.
        values: field -> value, of the fields that the search varied.
    """

    number: int
    run_id: str
    status: Status
    score: float | None
    last_score: float | None
    values: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A sweep: its trials, the best of them, its finals, and the best trial repeated.

    Attributes:
        varied: fields in which the trials differ, seeds apart.
        best: the finished trial with the highest validation score; None if none finished.
        validation, test: scores of the best trial's finals, over seeds.
        rerun: test score of the best trial repeated as in the search, over new seeds.
        gap: best validation score of the search minus the mean test score of the re-runs:
            how much the search flatters itself, since the best of many is partly luck. Finals
            that trained like the trial are re-runs too.
        final_ids, rerun_ids: run ids of those that were tested.
        trial_size: epochs and training examples of a trial that nobody stops; None if none says.
        consumed: training examples that all trials did train on, each counted in each epoch.
    """

    name: str
    backbones: tuple[str, ...]
    varied: tuple[str, ...]
    trials: tuple[Trial, ...]
    best: Trial | None
    validation: Estimate
    test: Estimate
    rerun: Estimate
    gap: Estimate
    final_ids: tuple[str, ...]
    rerun_ids: tuple[str, ...]
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


def summarise_searches(records: Sequence[RunRecord]) -> tuple[Search, ...]:
    """Return each sweep found in the records, in the order of names."""
    names = sorted({r.sweep for r in records if r.sweep is not None})
    return tuple(_search(name, [r for r in records if r.sweep == name]) for name in names)


def _search(name: str, records: Sequence[RunRecord]) -> Search:
    tried = [r for r in records if r.role == "trial"]
    tried.sort(key=lambda r: (-1 if r.trial is None else r.trial, r.run_id))
    varied = varied_fields([r.config for r in tried])
    trials = tuple(_trial(r, varied) for r in tried)
    best = _best(trials)
    # A sweep that grew may hold re-runs of a trial that was the best once.
    again = {None} if best is None else {None, best.number}
    repeated = [r for r in records if r.status == "finished" and r.trial in again]
    repeated.sort(key=lambda r: (r.config.seed, r.run_id))
    finals = [r for r in repeated if r.role == "final"]
    tested = [r for r in finals if r.value("test_score") is not None]
    reruns = [r for r in repeated if r.role == "rerun" and r.value("test_score") is not None]
    test, rerun = (_over_seeds(runs, "test_score") for runs in (tested, reruns))
    gap = _gap(best, rerun, None) if reruns else _gap(
        best, test, _trained_otherwise(best, [*tried, *tested])
    )  # fmt: skip
    return Search(
        name=name,
        backbones=tuple(sorted({r.config.backbone for r in records})),
        varied=varied,
        trials=trials,
        best=best,
        validation=_over_seeds(finals, "validation_score"),
        test=test,
        rerun=rerun,
        gap=gap,
        final_ids=tuple(r.run_id for r in tested),
        rerun_ids=tuple(r.run_id for r in reruns),
        trial_size=trial_size(tried),
        consumed=consumed(tried),
    )


def _trial(record: RunRecord, varied: Sequence[str]) -> Trial:
    scores = [p.metrics["validation_score"] for p in record.history
              if "validation_score" in p.metrics]  # fmt: skip
    score = record.value("validation_score") if record.status == "finished" else None
    return Trial(
        number=-1 if record.trial is None else record.trial,
        run_id=record.run_id,
        status=record.status,
        score=score,
        last_score=score if score is not None else (scores[-1] if scores else None),
        values=tuple((field, getattr(record.config, field)) for field in varied),
    )


def _best(trials: Sequence[Trial]) -> Trial | None:
    scored = [(t.score, -t.number, t) for t in trials if t.score is not None]
    return max(scored, key=lambda item: item[:2])[2] if scored else None


def _over_seeds(records: Sequence[RunRecord], measure: str) -> Estimate:
    values = [r.value(measure) for r in records]
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(absent="it was not trained again to its end")
    return t_interval(known, varied="seeds", bounds=(0, 1))


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


def _gap(best: Trial | None, test: Estimate, otherwise: str | None) -> Estimate:
    if best is None or best.score is None:
        return Estimate(absent="no trial finished")
    if otherwise:
        return Estimate(absent=f"no re-run, and the finals were trained otherwise: {otherwise}")
    if test.value is None:
        return Estimate(absent=test.absent)
    low = None if test.high is None else best.score - test.high
    high = None if test.low is None else best.score - test.low
    return replace(test, value=best.score - test.value, low=low, high=high)
