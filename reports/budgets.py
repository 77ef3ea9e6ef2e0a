"""Budgets of searches: how much trying stands behind a contender.

A configuration found by 50 trials is better than one found by 20 for that reason alone, so only
contenders with equal budgets are ranked against each other. Budgets are equal by what was granted:
what a pruner saves is not spent again, and counting it would favour bad curves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.record import RunRecord
from reports.wording import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the search behind a contender was granted, and how long its finals trained.

    Attributes:
        trials: how many have ended, in whatever way; None if none is among the runs.
        epochs, examples: of a trial that nobody stops; None if no trial says.
        final_epochs, final_examples: of a final.
        unsettled: name of the sweep if it was stopped in the middle or its trials are not among
            the runs: then its budget equals no other one.
    """

    trials: int | None
    epochs: int | None
    examples: int | None
    final_epochs: int
    final_examples: int | None
    unsettled: str | None = None

    @property
    def granted(self) -> int | None:
        """Return the training examples of all trials, each counted in each epoch."""
        if self.trials is None or self.epochs is None or self.examples is None:
            return None
        return self.trials * self.epochs * self.examples

    def words(self) -> str:
        """Return the budget of the search in words."""
        if self.trials is None:
            return "trials not among these runs"
        each = (
            ""
            if self.examples is None
            else f" x {self.epochs} epochs x {self.examples:,} examples"
        )
        return f"{count(self.trials, 'trial')}{each}{', not whole' if self.unsettled else ''}"


def budget_of(final: RunRecord, trials: Sequence[RunRecord]) -> Budget:
    """Return the budget behind a final.

    Args:
        final: a run that trained in full what a search found.
        trials: records of that search.
    """
    ended = [record for record in trials if record.status != "interrupted"]
    spent = trial_size(trials)
    numbers = {record.trial for record in trials}
    whole = numbers == set(range(len(trials)))  # else some were not asked for, or are damaged
    settled = bool(ended) and len(ended) == len(trials) and whole
    return Budget(
        trials=len(ended) if trials else None,
        epochs=spent[0] if spent else None,
        examples=spent[1] if spent else None,
        final_epochs=final.config.epochs,
        final_examples=None if final.data is None else final.data.n_train,
        unsettled=None if settled else final.sweep,
    )


def trial_size(trials: Iterable[RunRecord]) -> tuple[int, int] | None:
    """Return epochs and training examples of a trial that nobody stops; None if none says."""
    sizes = {(r.config.epochs, r.data.n_train) for r in trials if r.data is not None}
    return max(sizes, default=None)


def consumed(trials: Iterable[RunRecord]) -> int:
    """Return the training examples that trials did train on, each counted in each epoch."""
    return sum(point.images for record in trials for point in record.history)


def difference(mine: Budget, other: Budget) -> str:
    """Return in words why contenders with the first budget are not ranked with the second."""
    if mine.trials is None or other.trials is None:
        which = "their" if mine.trials is None else "the other"
        return f"the trials of {which} search are not among these runs, so the budget is not known"
    parts = []
    if mine.trials != other.trials:
        parts.append(f"searched with {count(mine.trials, 'trial')}, the other with {other.trials}")
    if (mine.epochs, mine.examples) != (other.epochs, other.examples):
        parts.append(f"trials of {_size(mine.epochs, mine.examples)}, the other of "
                     f"{_size(other.epochs, other.examples)}")  # fmt: skip
    ends = (mine.final_epochs, mine.final_examples), (other.final_epochs, other.final_examples)
    if ends[0] != ends[1]:
        parts.append(f"finals of {_size(*ends[0])}, the other of {_size(*ends[1])}")
    stopped = [budget.unsettled for budget in (mine, other) if budget.unsettled]
    parts += [
        f"the search of {name} was stopped before its end, or some of its trials are not here"
        for name in stopped
    ]
    return "; ".join(parts)


def _size(epochs: int | None, examples: int | None) -> str:
    return f"{epochs or '?'} epochs on {'?' if examples is None else f'{examples:,}'} examples"
