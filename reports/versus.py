"""One side against another: is the second better, worse, or can nobody tell?

A side is one configuration, trained with one seed or more. Both may be the same configuration:
of another release of the code, say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.config import knobs
from harness.errors import UsageError
from harness.noise_floor import NoiseFloor
from harness.record import RunRecord, device_kinds, timing_key
from reports.compare import DATA_FIELDS, contender_key, data_values, why_not_ranked
from reports.contenders import throughput
from reports.evidence import Evidence
from reports.pair_tests import holm
from reports.speed_floor import floor_of_machine, least_difference, why_open
from reports.statistics import LEVEL, Estimate
from reports.verdicts import TESTED, Tested, Verdict, judge_runs

SPEED = "images_per_s"
JUDGED = (*TESTED, SPEED)
"""What a comparison can be judged by."""

Outcome = Literal["better", "worse", "cannot separate", "no verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Runs of one configuration, which differ in their seed only.

    Attributes:
        name: as the user called it.
    """

    name: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Training images/s of both sides.

    Attributes:
        first, second: over the runs of each.
        ratio: second over first; None if it says nothing.
        floor: relative difference up to which identical runs differ too; None if not known.
        absent: why there is no verdict; None if there is one.
    """

    first: Estimate
    second: Estimate
    ratio: float | None = None
    floor: float | None = None
    absent: str | None = None

    @property
    def why_open(self) -> str | None:
        """Return why the two cannot be separated, as reports decide it; None if they can."""
        return None if self.floor is None else why_open(self.first, self.second, self.floor)

    @property
    def outcome(self) -> Outcome:
        """Return what may be said of the second side's speed."""
        if self.absent or self.ratio is None or self.floor is None:
            return "no verdict"
        if self.why_open is not None:
            return "cannot separate"
        return "better" if self.ratio > 1 else "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """What came of a comparison; differences are second minus first.

    Attributes:
        means: measure -> mean over the runs of the first and of the second.
        measures: measure -> test; the p-values are not corrected for other measures.
        by: the measures that the verdict rests on.
        outcomes: each of these -> what may be said of the second side, corrected for all of them:
            one may be wrong with 5 %.
    """

    first: Side
    second: Side
    means: Mapping[str, tuple[float, float]]
    measures: Mapping[str, Tested]
    speed: Speed
    by: tuple[str, ...]
    outcomes: Mapping[str, Outcome]

    @property
    def regressions(self) -> tuple[str, ...]:
        """Return the measures by which the second is worse, beyond noise."""
        return tuple(name for name, outcome in self.outcomes.items() if outcome == "worse")


def versus(
    first: Side,
    second: Side,
    *,
    by: Sequence[str] = ("score",),
    floors: Sequence[NoiseFloor] = (),
) -> Versus:
    """Compare two sides on the same test images.

    Args:
        first: what is compared with, such as a baseline.
        second: what may be better or worse.
        by: names in `JUDGED` that the verdict rests on.
        floors: noise floors, of any machines.

    Raises:
        UsageError: a run was not tested, the runs of a side differ in more than their seed, or the
            sides saw other data or test images.
    """
    for side in (first, second):
        check_side(side)
    _check_data(first, second)
    names = ("second", "first")  # that a user calls both alike does not matter
    runs = dict(zip(names, (second.evidence, first.evidence), strict=True))
    (verdict,) = judge_runs(runs)
    if verdict.absent is not None:
        raise UsageError(
            f"{first.name} and {second.name} must have predicted the same test images, two or "
            f"more, but {verdict.absent}."
        )
    by = tuple(dict.fromkeys(by))
    speed = _speed(first, second, floors, comparisons=len(by) if SPEED in by else 1)
    p_values = corrected(verdict, by)
    return Versus(
        first=first,
        second=second,
        means={name: (_mean(first, name), _mean(second, name)) for name in TESTED},
        measures=verdict.measures,
        speed=speed,
        by=by,
        outcomes={
            name: speed.outcome
            if name == SPEED
            else _outcome(verdict.measures[name], p_values[name])
            for name in by
        },
    )


def check_side(side: Side) -> None:
    """Refuse runs that are no evidence of one configuration on one set of data.

    Raises:
        UsageError: there is none, one was not tested, they differ in more than their seed, or they
            saw different data.
    """
    if not side.evidence:
        raise UsageError(f"{side.name} must have a run with a test result, but it has none.")
    for item in side.evidence:
        reason = why_not_ranked(item.record) or item.why_none
        if reason:
            raise UsageError(
                f"{side.name}: run {item.record.run_id} cannot be compared: {reason}. Compare "
                "finished runs that opened the test split."
            )
    records = [item.record for item in side.evidence]
    for other in records[1:]:
        if contender_key(other) != contender_key(records[0]):
            fields = ", ".join(
                name for name in knobs()
                if name != "seed"
                and getattr(other.config, name) != getattr(records[0].config, name)
            )  # fmt: skip
            raise UsageError(
                f"The runs of {side.name} must differ in their seed only, but "
                f"{records[0].run_id} and {other.run_id} differ in {fields}. Name the runs of one "
                "configuration, separated by commas."
            )
        seen = _differing_data(records[0], other)
        if seen:
            raise UsageError(
                f"The runs of {side.name} must have seen the same data, but {records[0].run_id} "
                f"and {other.run_id} differ in: {', '.join(seen)}. Name the runs on one data set."
            )
    seeds = [record.config.seed for record in records]
    if len(set(seeds)) < len(seeds):
        raise UsageError(
            f"The runs of {side.name} must have different seeds, got "
            f"{', '.join(map(str, seeds))}: a repeated seed is no new evidence."
        )


def _check_data(first: Side, second: Side) -> None:
    other = _differing_data(first.evidence[0].record, second.evidence[0].record)
    if other:
        raise UsageError(
            f"{first.name} and {second.name} must have been tested on the same data, but "
            f"different are: {', '.join(other)}."
        )


def _differing_data(first: RunRecord, second: RunRecord) -> list[str]:
    """Return in what the data of two ranked runs, which say what they saw, differ."""
    values = [data_values(each.data) for each in (first, second) if each.data is not None]
    pairs = zip(DATA_FIELDS, *values, strict=True)
    return [field for field, mine, theirs in pairs if mine != theirs]


def _mean(side: Side, measure: str) -> float:
    means = [
        float(item.outcomes.values(measure).mean()) for item in side.evidence if item.outcomes
    ]
    return sum(means) / len(means)


def corrected(verdict: Verdict, by: Sequence[str]) -> dict[str, float]:
    """Return the p-values of those that are tested, corrected for all in `by`.

    Speed has no p-value, but its share of the level: of m verdicts the k tested ones have k / m of
    it among them (Bonferroni), which they share by Holm.
    """
    tested = [name for name in by if name in verdict.measures]
    corrected = holm([verdict.measures[name].test.p_value for name in tested])
    shares = [min(1.0, p_value * len(by) / len(tested)) for p_value in corrected]
    return dict(zip(tested, shares, strict=True))


def _outcome(tested: Tested, p_value: float) -> Outcome:
    if p_value > 1 - LEVEL:
        return "cannot separate"
    return "better" if (tested.test.difference.value or 0.0) > 0 else "worse"


def _speed(first: Side, second: Side, floors: Sequence[NoiseFloor], *, comparisons: int) -> Speed:
    one, two = both = [throughput(s.evidence, machines=len(_keys(s))) for s in (first, second)]
    if one.value is None or two.value is None:
        reason = next(each.absent for each in both if each.value is None)
        return Speed(first=one, second=two, absent=reason)
    if len(_keys(first) | _keys(second)) > 1:
        why = "they were timed on machines, versions or settings that differ"
        return Speed(first=one, second=two, absent=why)
    kinds = [_device_kinds(side) for side in (first, second)]
    if kinds[0] != kinds[1]:
        why = (
            f"one was trained on {kinds[0]}, the other on {kinds[1]}: each has its own noise floor"
        )
        return Speed(first=one, second=two, ratio=two.value / one.value, absent=why)
    machine = first.evidence[0].record.machine
    floor = least_difference(floor_of_machine(floors, machine), rounds=1, comparisons=comparisons)
    if floor is None:
        why = "no noise floor of this machine is stored: `bench calibrate` measures one"
        return Speed(first=one, second=two, ratio=two.value / one.value, absent=why)
    return Speed(first=one, second=two, ratio=two.value / one.value, floor=floor)


def _device_kinds(side: Side) -> str:
    """Return the kinds of devices that a side used, in words."""
    machines = [item.record.machine for item in side.evidence]
    kinds = {kind.upper() for each in machines if each is not None for kind in device_kinds(each)}
    return " and ".join(sorted(kinds)) or "unknown devices"


def _keys(side: Side) -> set[object]:
    """Return what tells apart the machines that timed a side; its source may have changed."""
    machines = [item.record.machine for item in side.evidence]
    return {None if machine is None else timing_key(machine, source=False) for machine in machines}
