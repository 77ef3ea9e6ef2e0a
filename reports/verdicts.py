"""Verdicts: which contenders of a table are really better than others, and which nobody can tell.

Every pair of a table is tested, so chance alone would find some that differ: the p-values are
corrected for all pairs (Holm). What is then called better stands, with 95 % for the whole table.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reports.contenders import RANKED_BY, Contender
from reports.evidence import Evidence, Outcomes
from reports.pair_tests import PairTest, bootstrap_test, crossed_test, holm, mcnemar
from reports.statistics import LEVEL, bootstrap_means

MOST_CONTENDERS = 20
"""Rows that are tested against each other: 190 pairs. More would ask for tails that 10,000
resamples lack."""

TESTED = (RANKED_BY, "accuracy", "mean_iou")
"""Measures that pairs are tested by, each a family of its own."""


_LEAST_IMAGES = 2
"""With one there is no spread over images, so nobody can tell anything apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A pair by one measure.

    Attributes:
        test: what the test says of this pair alone.
        p_holm: p-value corrected for all pairs of the table.
    """

    test: PairTest
    p_holm: float

    @property
    def separated(self) -> bool:
        """Return whether one of the two is better, all pairs of the table considered."""
        return self.p_holm <= 1 - LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Two rows of a table on the same test images.

    Attributes:
        first, second: names of the contenders, in the order of the table.
        measures: name of each in `TESTED` -> test; empty if they cannot be compared.
        absent: why they cannot be compared; None if they can.
        alarms: for one more test of this pair, as the correction would have it.
        one_searched: a search stands behind one of the two only.
    """

    first: str
    second: str
    measures: Mapping[str, Tested]
    absent: str | None = None
    alarms: float = 1 - LEVEL
    one_searched: bool = False

    @property
    def score(self) -> Tested | None:
        """Return the test by the measure that ranks; None if they cannot be compared."""
        return self.measures.get(RANKED_BY)

    @property
    def better(self) -> str | None:
        """Return the name of the better one by score; None if they cannot be separated."""
        tested = self.score
        if tested is None or not tested.separated:
            return None
        return self.first if (tested.test.difference.value or 0) > 0 else self.second

    @property
    def worse(self) -> str | None:
        """Return the name of the other one; None if they cannot be separated."""
        return {self.first: self.second, self.second: self.first, None: None}[self.better]


def judge(
    contenders: Sequence[Contender], evidence: Mapping[str, Evidence]
) -> tuple[Verdict, ...]:
    """Return a verdict for each pair of the first rows, in the order of the table.

    Args:
        contenders: rows of one table, best first.
        evidence: run id -> what the run left behind.
    """
    rows = contenders[:MOST_CONTENDERS]
    runs = {row.name: [evidence[run_id] for run_id in row.run_ids] for row in rows}
    searched = {row.name: row.budget is not None for row in rows}
    return tuple(
        replace(each, one_searched=searched[each.first] != searched[each.second])
        for each in judge_runs(runs)
    )


def judge_runs(runs: Mapping[str, Sequence[Evidence]]) -> tuple[Verdict, ...]:
    """Return a verdict for each pair of contenders, given by name and runs."""
    pairs = list(itertools.combinations(runs, 2))
    reasons = _not_comparable(runs)
    able = [pair for pair in pairs if not set(pair) & set(reasons)]
    values = {
        measure: {
            name: np.stack([r.outcomes.values(measure) for r in each if r.outcomes is not None])
            for name, each in runs.items()
            if name not in reasons
        }
        for measure in TESTED
    }
    resampled = _Resampled(values)
    tests = {measure: _tested(able, values[measure], resampled, measure) for measure in TESTED}
    open_pairs = sum(not each.separated for each in tests[RANKED_BY].values())
    return tuple(
        Verdict(
            first=pair[0], second=pair[1],
            absent=reasons.get(pair[0], reasons.get(pair[1])),
            measures={name: found[pair] for name, found in tests.items() if pair in found},
            alarms=(1 - LEVEL) / max(1, open_pairs),
        )
        for pair in pairs
    )  # fmt: skip


def rank_ranges(
    contenders: Sequence[Contender], verdicts: Sequence[Verdict]
) -> dict[str, tuple[int, int]]:
    """Return name -> best and worst rank that the verdicts leave open.

    A contender is behind those that are better and ahead of those that are worse; nobody can tell
    the rest, so one that nobody tested may have any rank. All ranges hold together with 95 %, as
    the verdicts do (Al Mohamad et al. 2022).

    Args:
        contenders: rows of the table, best first.
        verdicts: of its pairs, see `judge`.
    """
    ahead = Counter(each.worse for each in verdicts)
    behind = Counter(each.better for each in verdicts)
    return {
        row.name: (1 + ahead[row.name], len(contenders) - behind[row.name]) for row in contenders
    }


_Values = Mapping[str, NDArray[np.float64]]
"""Name of a contender -> `[seeds, images]`."""


def _tested(
    pairs: Sequence[tuple[str, str]], values: _Values, resampled: _Resampled, measure: str
) -> dict[tuple[str, str], Tested]:
    """Return the test of each pair of names by one measure, corrected for all of them."""
    tests = []
    for pair in pairs:
        first, second = (values[name] for name in pair)
        if len(first) > 1 and len(second) > 1:
            tests.append(crossed_test(first, second))
        elif measure == "accuracy" and len(first) == len(second) == 1:
            tests.append(mcnemar(first[0] > 0, second[0] > 0))
        else:
            tests.append(resampled.test(measure, *pair))
    adjusted = holm([test.p_value for test in tests])
    return {
        pair: Tested(test=test, p_holm=p_holm)
        for pair, test, p_holm in zip(pairs, tests, adjusted, strict=True)
    }


class _Resampled:
    """Means over the same resamples of images, for all contenders and measures.

    They are drawn when first asked for: with several seeds on all sides nobody asks.

    Args:
        values: measure -> values of contenders.
    """

    def __init__(self, values: Mapping[str, _Values]) -> None:
        self._columns = {
            (measure, name): each.mean(axis=0)
            for measure, by_name in values.items()
            for name, each in by_name.items()
        }
        self._means: dict[tuple[str, str], NDArray[np.float64]] = {}

    def test(self, measure: str, first: str, second: str) -> PairTest:
        if not self._means:
            means = bootstrap_means(np.stack(list(self._columns.values()), axis=1))
            self._means = dict(zip(self._columns, means.T, strict=True))
        one, other = (measure, first), (measure, second)
        return bootstrap_test(
            self._columns[one], self._columns[other], self._means[one] - self._means[other]
        )


def _not_comparable(runs: Mapping[str, Sequence[Evidence]]) -> dict[str, str]:
    """Return name -> why its runs cannot be compared image by image, for those that cannot.

    The first that can sets the images that all others must have seen.
    """
    reference: tuple[str, Outcomes] | None = None
    reasons = {}
    for name, items in runs.items():
        for item in items:
            run_id = item.record.run_id
            if item.outcomes is None:
                reasons[name] = f"run {run_id}: {item.why_none}"
            elif item.outcomes.ids.size < _LEAST_IMAGES:
                reasons[name] = f"run {run_id} has fewer than {_LEAST_IMAGES} test images"
            elif reference is None:
                reference = run_id, item.outcomes
            elif not reference[1].same_images(item.outcomes):
                reasons[name] = f"run {run_id} has other test images than {reference[0]}"
    return reasons
