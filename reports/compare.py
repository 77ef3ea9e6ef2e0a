"""`Comparison`: what was compared, who leads, by how much, and what may not be compared and why.

Pure: records and outcomes in, plain values out; no clock, no disk, no order of arrival. The same
runs give the same comparison.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.goal import SCORE, Goal
from harness.record import DataIdentity, Machine, Role, RunRecord, Status, timing_key
from reports.budgets import Budget, budget_of
from reports.contenders import Contender, label_machines, rank_contenders
from reports.evidence import Evidence
from reports.searches import Search, summarise_searches
from reports.verdicts import Verdict, judge, rank_ranges

DATA_FIELDS = (
    "source", "content of the training pool", "content of the test split",
    "number of test images", "data seed", "image size", "number of classes", "names of classes",
    "scenes", "channels",
)  # fmt: skip
"""Names of what `data_values` returns, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A leaderboard: contenders tested on the same data, best first.

    Those that a search found had equal budgets. Those without a recorded search stand in every
    table on their data: they are ranked as they are, and marked.

    Attributes:
        data: of the first run; the number of training examples may differ between rows.
        verdicts: of each pair of rows, the leader's first; not of rows beyond the first 20.
        budget: of the searches; None if no row comes from one.
    """

    data: DataIdentity
    contenders: tuple[Contender, ...]
    verdicts: tuple[Verdict, ...]
    budget: Budget | None = None

    @property
    def lead(self) -> tuple[Verdict, ...]:
        """Return the verdicts of the leader against the others, the runner-up first."""
        return tuple(each for each in self.verdicts if each.first == self.contenders[0].name)

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """Return name -> best and worst rank that the verdicts leave open."""
        return rank_ranges(self.contenders, self.verdicts)

    @property
    def machines(self) -> tuple[str, ...]:
        """Return the labels of the machines that timed these rows, each once."""
        return tuple(dict.fromkeys(label for row in self.contenders for label in row.machines))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run as it stands in the list of runs.

    Attributes:
        machine: label of its machine, "" if unknown.
        score: on the test split; None if it was not tested.
        not_ranked: why it stands in no leaderboard; None if it does.
        disturbed: what else the machine did while it was timed; None if nothing is known.
    """

    run_id: str
    role: Role
    sweep: str | None
    trial: int | None
    backbone: str
    seed: int
    status: Status
    machine: str
    git: str
    started_at: str
    duration_s: float
    score: float | None
    not_ranked: str | None
    disturbed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything a report says, as plain values.

    Attributes:
        tables: one leaderboard for each data set and budget; more rows, then more runs first.
        searches: the sweeps.
        machines: label such as "M1" -> machine, in the order of labels.
        runs: every run given, none left out, ordered by start.
    """

    tables: tuple[Table, ...]
    searches: tuple[Search, ...]
    machines: tuple[tuple[str, Machine], ...]
    runs: tuple[RunLine, ...]

    def telling_budget(self, board: Table) -> Budget | None:
        """Return the budget of a leaderboard if others on the same data have another one."""
        alike = [t for t in self.tables if data_values(t.data) == data_values(board.data)]
        return board.budget if len(alike) > 1 else None


def compare(
    evidence: Iterable[Evidence], goals: Mapping[str, Sequence[Goal]] | None = None
) -> Comparison:
    """Compare runs: group by configuration, rank within equal data and budgets, judge all pairs.

    Args:
        evidence: what each run left behind.
        goals: name of a sweep -> what it was after; the score for one that is not named.

    Raises:
        UsageError: there are no runs, or one run id came twice.
    """
    items = sorted(evidence, key=lambda item: (item.record.started_at, item.record.run_id))
    _check(items)
    labels = label_machines(items)
    reasons = {item.record.run_id: why_not_ranked(item.record) for item in items}
    _mark_repeated([item for item in items if reasons[item.record.run_id] is None], reasons)
    ranked = [item for item in items if reasons[item.record.run_id] is None]
    by_id = {item.record.run_id: item for item in ranked}
    budgets = _budgets(items)
    tables = []
    places = _places([item.record for item in items], goals or {})
    for same_data in _grouped(ranked, key=data_key):
        data = same_data[0].record.data
        groups = _grouped(same_data, key=contender_key)
        ordered = [sorted(group, key=lambda item: item.record.config.seed) for group in groups]
        for budget, some in _by_budget(ordered, budgets):
            rows = rank_contenders(
                [group for group, _ in some], labels, [b for _, b in some], places
            )
            if data is not None:
                verdicts = judge(rows, by_id)
                tables.append(Table(data=data, contenders=rows, verdicts=verdicts, budget=budget))
    tables.sort(key=_by_size)
    return Comparison(
        tables=tuple(tables),
        searches=summarise_searches([item.record for item in items], goals),
        machines=tuple(labels.values()),
        runs=tuple(_line(item.record, labels, reasons) for item in items),
    )


def data_values(data: DataIdentity) -> tuple[object, ...]:
    """Return what two runs must share to stand in one leaderboard.

    The size of the training set is left out: it is a choice of the contender.
    """
    return (data.source, data.digest, data.test_digest, data.n_test, data.data_seed,
            data.image_px, data.classes, data.class_names, data.scene_digest,
            data.channels)  # fmt: skip


def data_key(record: RunRecord) -> tuple[object, ...]:
    """Return `data_values` of a run; empty if it does not say what it saw."""
    return () if record.data is None else data_values(record.data)


def contender_key(record: RunRecord) -> str:
    """Return the identity of a run's configuration apart from its seed.

    Where its data lay is left out: what was read there decides, see `data_values`.
    """
    config = dataclasses.replace(record.config, seed=0, skip_bad=False)
    if record.data is not None:
        config = dataclasses.replace(config, dataset=record.data.source)
    return config.digest()


def _check(items: Sequence[Evidence]) -> None:
    if not items:
        raise UsageError("A report needs at least one run, but none matches. See `bench ui`.")
    seen: set[str] = set()
    for item in items:
        if item.record.run_id in seen:
            raise UsageError(f"Run {item.record.run_id} was given twice. Name each run once.")
        seen.add(item.record.run_id)


def why_not_ranked(record: RunRecord) -> str | None:
    """Return why a run is no evidence of how good its configuration is; None if it is."""
    if record.status != "finished":
        return record.reason or f"{record.status} without saying why"
    if record.role == "trial":
        return "a trial: a search looks at validation only"
    if record.role == "rerun":
        return "a re-run: trained as briefly as a trial, to see how much the search flatters"
    if record.stopped_at_target:
        return "stopped at its target: trained more briefly than its configuration says"
    if record.value("test_score") is None:
        measure = record.measures.get("test_score")
        if measure is not None and measure.reason:
            return measure.reason
        return "not evaluated on test" if record.config.evaluate_test else "run with --no-test"
    if record.data is None:
        return "it does not say which data it saw"
    return None


def _budgets(items: Sequence[Evidence]) -> dict[Hashable, list[Budget]]:
    """Return the budgets of the searches that found a configuration, by `_searched_key`.

    Finals that repeat another one count here, too: a second search found the same.
    """
    records = [item.record for item in items]
    trials: dict[str | None, list[RunRecord]] = {}
    for record in records:
        if record.role == "trial":
            trials.setdefault(record.sweep, []).append(record)
    found: dict[Hashable, list[Budget]] = {}
    for record in records:
        if record.role == "final":
            budget = budget_of(record, trials.get(record.sweep, []))
            found.setdefault(_searched_key(record), []).append(budget)
    return found


def _searched_key(record: RunRecord) -> Hashable:
    return data_key(record), contender_key(record)


def _places(records: Sequence[RunRecord], goals: Mapping[str, Sequence[Goal]]) -> dict[str, int]:
    """Return run id of each final -> place of its trial, by the first goal, in its search."""
    scores: dict[str | None, list[float]] = {}
    of_trial: dict[tuple[str | None, int | None], float] = {}
    for record in records:
        goal = goals.get(record.sweep or "", SCORE)[0]
        value = goal.at_end(record)
        if record.role == "trial" and record.status == "finished" and value is not None:
            score = goal.sign * value
            scores.setdefault(record.sweep, []).append(score)
            of_trial[record.sweep, record.trial] = score
    return {
        record.run_id: 1 + sum(s > of_trial[key] for s in set(scores[record.sweep]))
        for record in records
        if record.role == "final" and (key := (record.sweep, record.trial)) in of_trial
    }


_Group = list[Evidence]


def _by_budget(
    groups: Sequence[_Group], budgets: Mapping[Hashable, Sequence[Budget]]
) -> list[tuple[Budget | None, list[tuple[_Group, Budget | None]]]]:
    """Return, for each budget, its groups and those without a search, in the order of arrival.

    A configuration that several searches found counts with the largest of their budgets.
    """
    found = [budgets.get(_searched_key(group[0].record), ()) for group in groups]
    known = [max(some, key=lambda budget: budget.granted or 0, default=None) for some in found]
    different: list[Budget | None] = list(dict.fromkeys(one for one in known if one is not None))
    return [
        (one, [(g, b) for g, b in zip(groups, known, strict=True) if b in (one, None)])
        for one in different or [None]
    ]


def _mark_repeated(items: Sequence[Evidence], reasons: dict[str, str | None]) -> None:
    """Give a reason to each later run of a seed: repeats are not new evidence.

    The first counts, so that nobody gets a better row by running a seed until it is lucky.
    """
    first: dict[tuple[object, ...], str] = {}
    for item in items:
        record = item.record
        key = (data_key(record), contender_key(record), record.config.seed)
        if key in first:
            reasons[record.run_id] = (
                f"same configuration and seed as {first[key]}, which was first"
            )
        first.setdefault(key, record.run_id)


def _grouped(
    items: Sequence[Evidence], *, key: Callable[[RunRecord], Hashable]
) -> list[list[Evidence]]:
    """Return the items that share a key together, groups and items in the order of arrival."""
    groups: dict[Hashable, list[Evidence]] = {}
    for item in items:
        groups.setdefault(key(item.record), []).append(item)
    return list(groups.values())


def _by_size(table: Table) -> tuple[object, ...]:
    runs = sum(len(row.run_ids) for row in table.contenders)
    budget = "" if table.budget is None else table.budget.words()
    return (-len(table.contenders), -runs, table.data.source, str(data_values(table.data)), budget)


def _line(
    record: RunRecord,
    labels: dict[tuple[object, ...], tuple[str, Machine]],
    reasons: dict[str, str | None],
) -> RunLine:
    machine = record.machine
    return RunLine(
        run_id=record.run_id,
        role=record.role,
        sweep=record.sweep,
        trial=record.trial,
        backbone=record.config.backbone,
        seed=record.config.seed,
        status=record.status,
        machine="" if machine is None else labels[timing_key(machine)][0],
        git=commit_words(machine),
        started_at=record.started_at,
        duration_s=record.duration_s,
        score=record.value("test_score"),
        not_ranked=reasons[record.run_id],
        disturbed=record.disturbance(),
    )


def commit_words(machine: Machine | None) -> str:
    """Return the commit that ran there, marked if files differ from it; empty if not known."""
    if machine is None or machine.git_commit is None:
        return ""
    return machine.git_commit[:10] + ("+changes" if machine.git_dirty else "")
