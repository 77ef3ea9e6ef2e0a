"""The table of trials on disk: an Optuna study in a journal file.

Trial numbers are Optuna's own, there is one row per trial and no row for a retry. A row is
written as running when its trial is proposed and ended once, after the record of its run is on
disk. Only the holder of the sweep's lock writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.errors import StoreError
from harness.goal import front
from harness.record import RunRecord
from harness.store import Store, cannot_write
from sweeps.backoff import Backoff
from sweeps.objectives import finite
from sweeps.plan import SweepPlan, read_plan
from sweeps.sampler import TrialRow, TrialStatus, curve_of
from sweeps.space import Params

JOURNAL_FILE = "journal.log"

_STATUS: dict[TrialState, TrialStatus] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_STATE = {status: state for state, status in _STATUS.items()}


class SweepStudy:
    """The rows of one sweep, kept in Optuna's journal.

    Args:
        plan: of the sweep.
        folder: of the sweep; the caller holds its lock.

    Raises:
        StoreError: the journal is damaged or cannot be written.
    """

    def __init__(self, plan: SweepPlan, folder: Path) -> None:
        self._plan = plan
        self._path = folder.absolute() / JOURNAL_FILE
        with _journal_errors(self._path):
            _repair(self._path)
            self._storage = _open(self._path)
            known = _study_id(self._storage, plan.name)
            self._study_id = _new_study(self._storage, plan) if known is None else known

    def rows(self) -> list[TrialRow]:
        """Return all trials in order of their numbers."""
        return _rows(self._storage, self._study_id)

    def begin(self, number: int, params: Params) -> TrialRow:
        """Write the next trial as running, in one line of the journal."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=params,
            distributions=self._plan.space.distributions(params),
        )  # fmt: skip
        with _journal_errors(self._path):
            trial_id = self._storage.create_new_trial(self._study_id, template)
        row = _row(self._storage.get_trial(trial_id))
        if row.number != number:
            raise StoreError(
                f"{self._path} must be written by one process only, but trial {row.number} "
                f"came where {number} was due."
            )
        return row

    def count_attempt(self, row: TrialRow) -> TrialRow:
        """Note that a worker died of this trial."""
        return self._note(row.number, "attempts", self._attr(row.number, "attempts", 0) + 1)

    def count_retry(self, row: TrialRow) -> TrialRow:
        """Note that this trial is done again after a failure that may have been a passing one."""
        return self._note(row.number, "retries", row.retries + 1)

    def back_off(self, row: TrialRow, backoff: Backoff) -> TrialRow:
        """Note the batch that this trial is done again with; workers may die of it anew."""
        # One line of the journal: a kill must not come between batch and count of attempts.
        forgiven = self._attr(row.number, "attempts", 0)
        return self._note(row.number, "backoff", {**backoff.to_json(), "forgiven": forgiven})

    def end(self, number: int, record: RunRecord) -> TrialRow:
        """End a running trial as its record says; the caller has put the record on disk.

        Doing it again after a kill half way gives the same row. `record.status` is "finished"
        (then with a finite objective), "pruned" or "failed".
        """
        trial_id = self._trial_id(number)
        goals = self._plan.goals
        curves = [curve_of((p.epoch, g.after_epoch(p)) for p in record.history) for g in goals]
        values = None
        if record.status == "finished":
            values = finite([goal.at_end(record) for goal in goals])
        elif record.status == "pruned" and all(curves):
            values = tuple(curve[-1][1] for curve in curves)
        with _journal_errors(self._path):
            for epoch, point in curves[0]:
                self._storage.set_trial_intermediate_value(trial_id, epoch, point)
            self._storage.set_trial_user_attr(trial_id, "run_id", record.run_id)
            if record.reason is not None:
                self._storage.set_trial_user_attr(trial_id, "reason", record.reason)
            if curves[1:]:
                self._storage.set_trial_user_attr(trial_id, "more_curves", curves[1:])
            self._storage.set_trial_state_values(
                trial_id, _STATE[_ended(record)], None if values is None else list(values)
            )
        return _row(self._storage.get_trial(trial_id))

    def _note(self, number: int, name: str, value: Any) -> TrialRow:
        """Write something about a running trial, in one line of the journal; return its row."""
        trial_id = self._trial_id(number)
        with _journal_errors(self._path):
            self._storage.set_trial_user_attr(trial_id, name, value)
        return _row(self._storage.get_trial(trial_id))

    def _attr(self, number: int, name: str, default: Any) -> Any:
        return self._storage.get_trial(self._trial_id(number)).user_attrs.get(name, default)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)


def best_row(plan: SweepPlan, rows: Sequence[TrialRow]) -> TrialRow | None:
    """Return the finished trial with the best first objective, the earliest of equals.

    A pruned trial never wins: its value is that of an earlier epoch.
    """
    return next(iter(leaders(plan, rows)), None)


def leaders(plan: SweepPlan, rows: Iterable[TrialRow]) -> tuple[TrialRow, ...]:
    """Return the finished trials that may be called good, the best first, of equals the earliest.

    With one objective all of them; with several the front: those that no other one dominates.
    """
    finished = {row.number: row for row in rows if row.status == "finished" and row.values}
    if len(plan.objectives) > 1:
        numbers = front({number: row.values for number, row in finished.items()}, plan.goals)
        return tuple(finished[number] for number in numbers)
    sign = plan.goals[0].sign
    return tuple(sorted(finished.values(), key=lambda r: (-sign * r.values[0], r.number)))


def best_rows(plan: SweepPlan, rows: Sequence[TrialRow], most: int) -> tuple[TrialRow, ...]:
    """Return the `most` best finished trials, best first; of equal params only the best one.

    A choice among a few values may be drawn twice; trained again, both would be the same runs.
    """
    chosen: list[TrialRow] = []
    for row in leaders(plan, rows):
        if len(chosen) < most and all(row.params != other.params for other in chosen):
            chosen.append(row)
    return tuple(chosen)


def load_table(store: Store, name: str) -> tuple[SweepPlan, tuple[TrialRow, ...]]:
    """Return a sweep's plan and trials as they stand; needs no lock and changes nothing.

    Raises:
        StoreError: there is no such sweep, or its journal is damaged.
    """
    folder = store.sweep_dir(name)
    plan = read_plan(folder)
    if plan is None:
        raise StoreError(f"There is no sweep {name!r} in {store.root}.")
    path = folder / JOURNAL_FILE
    if not path.exists():
        return plan, ()
    with _journal_errors(path):
        storage = _open(path)
        study_id = _study_id(storage, name)
    return plan, () if study_id is None else tuple(_rows(storage, study_id))


def _open(path: Path) -> JournalStorage:
    # The default lock, a symbolic link, is never broken when it is stale and its path relative.
    lock = JournalFileOpenLock(str(path))
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _study_id(storage: JournalStorage, name: str) -> int | None:
    known = [study.study_name for study in storage.get_all_studies()]
    return storage.get_study_id_from_name(name) if name in known else None


def _new_study(storage: JournalStorage, plan: SweepPlan) -> int:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each new study
    directions = [StudyDirection[goal.direction.upper()] for goal in plan.goals]
    return storage.create_new_study(directions, plan.name)


def _repair(path: Path) -> None:
    """Undo what a killed writer may have left: half a last line, and Optuna's own lock.

    The half line was never answered for, but the next one would be glued to it and make the
    journal unreadable for ever. Removing the lock is safe, as we hold the sweep's.
    """
    Path(f"{path}.lock").unlink(missing_ok=True)
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())


@contextmanager
def _journal_errors(path: Path) -> Iterator[None]:
    """Turn what a full disk or a damaged journal raises into words."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error
    except (ValueError, KeyError) as error:
        raise StoreError(
            f"{path} must be a journal of Optuna, but it is damaged: {error!r}. Restore it from a "
            "copy, or start another sweep with --name; the records of its runs are safe."
        ) from error


def _rows(storage: JournalStorage, study_id: int) -> list[TrialRow]:
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return [_row(trial) for trial in sorted(trials, key=lambda trial: trial.number)]


def _row(trial: FrozenTrial) -> TrialRow:
    values = trial.values or []
    backoff = trial.user_attrs.get("backoff")
    forgiven = backoff["forgiven"] if backoff else 0
    return TrialRow(
        number=trial.number,
        status=_STATUS[trial.state],
        params=dict(trial.params),
        value=values[0] if values else None,
        more=tuple(values[1:]),
        curve=tuple(sorted(trial.intermediate_values.items())),
        more_curves=tuple(
            tuple((epoch, value) for epoch, value in curve)
            for curve in trial.user_attrs.get("more_curves", ())
        ),
        reason=trial.user_attrs.get("reason"),
        backoff=Backoff.from_json(backoff) if backoff else None,
        attempts=trial.user_attrs.get("attempts", 0) - forgiven,
        retries=trial.user_attrs.get("retries", 0),
    )


def _ended(record: RunRecord) -> TrialStatus:
    if record.status == "interrupted":
        raise ValueError(f"the run of {record.run_id} has not ended")
    return record.status
