"""Verdicts: is the best of a table really better than the others, or can they not be separated?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.contenders import RANKED_BY, Contender
from reports.evidence import Evidence, Outcomes
from reports.statistics import LEVEL, Estimate, crossed_difference, paired_bootstrap

MOST_VERDICTS = 20
"""Rows compared with the leader: further ones would ask for tails that 10,000 resamples lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The leader of a table against another row, on the same test images.

    Attributes:
        leader, other: names of the contenders.
        difference: of the mean scores, leader minus other; its level is such that all verdicts
            of the table hold together with at least 95 % (Bonferroni).
        separated: the interval of the difference excludes 0.
        one_searched: a search stands behind one of the two only.
    """

    leader: str
    other: str
    difference: Estimate
    separated: bool
    one_searched: bool = False


def judge(
    contenders: Sequence[Contender], evidence: Mapping[str, Evidence]
) -> tuple[Verdict, ...]:
    """Return the leader's verdict against each of the next rows.

    Args:
        contenders: rows of one table, best first.
        evidence: run id -> what the run left behind.
    """
    if not contenders:
        return ()
    leader, others = contenders[0], contenders[1 : MOST_VERDICTS + 1]
    runs = {row.name: [evidence[i] for i in row.run_ids] for row in (leader, *others)}
    first = _scores(runs[leader.name])
    level = 1 - (1 - LEVEL) / max(len(others), 1)
    images_only: list[tuple[str, NDArray[np.float64]]] = []
    found: dict[str, Estimate] = {}
    for row in others:
        second = _scores(runs[row.name])
        reason = _not_comparable([*runs[leader.name], *runs[row.name]])
        if reason is not None or first is None or second is None:
            found[row.name] = Estimate(absent=reason or "predictions are missing")
        elif len(first) > 1 and len(second) > 1:
            found[row.name] = crossed_difference(first, second, level=level)
        else:
            images_only.append((row.name, second.mean(axis=0)))
    if images_only and first is not None:
        columns = np.stack([column for _, column in images_only], axis=1)
        estimates = paired_bootstrap(first.mean(axis=0), columns, level=level)
        found |= {name: e for (name, _), e in zip(images_only, estimates, strict=True)}
    return tuple(
        Verdict(
            leader=leader.name, other=row.name, difference=found[row.name],
            separated=found[row.name].excludes_zero,
            one_searched=(leader.budget is None) != (row.budget is None),
        )
        for row in others
    )  # fmt: skip


def _scores(runs: Sequence[Evidence]) -> NDArray[np.float64] | None:
    """Return float64 `[seeds, images]`, or None if a run lacks outcomes or images differ."""
    outcomes = [item.outcomes for item in runs]
    if any(o is None for o in outcomes) or _not_comparable(runs) is not None:
        return None
    return np.stack([o.values(RANKED_BY) for o in outcomes if o is not None])


def _not_comparable(runs: Sequence[Evidence]) -> str | None:
    """Return why these runs cannot be compared image by image, or None if they can."""
    outcomes: list[Outcomes] = []
    for item in runs:
        if item.outcomes is None:
            return f"run {item.record.run_id}: {item.why_none}"
        outcomes.append(item.outcomes)
    for item, other in zip(runs[1:], outcomes[1:], strict=True):
        if not outcomes[0].same_images(other):
            return f"run {item.record.run_id} has other test images than {runs[0].record.run_id}"
    return None
