"""What a sweep is: everything that decides its table of trials, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from harness.config import MAX_SEED, RunConfig
from harness.errors import StoreError, SweepError, UsageError, unknown_name
from harness.record import Role
from harness.store import write_atomically
from sweeps.axes import Value
from sweeps.described import read_described
from sweeps.objectives import Direction, Objective, objectives_of
from sweeps.pruners import PrunerName
from sweeps.samplers import SamplerName, check_space
from sweeps.space import DEFAULT_SPACE, SearchSpace

PLAN_FILE = "sweep.json"
PLAN_VERSION = 2
"""1: one `objective`. 2: `objectives`, a list."""

_ANOTHER_RELEASE = (
    "If another release of bench wrote it, use that one, or start another sweep with --new or "
    "--name."
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Override = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run that a worker is to do."""

    run_id: str
    role: Role
    sweep: str
    trial: int
    config: RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A sweep, completely described: equal plans give equal tables, whoever runs them.

    How many trials, workers and attempts there are is not part of it: that may differ from one
    command to the next.

    Attributes:
        name: folder, study and prefix of run ids: letters, digits, `.`, `_` and `-`.
        base: the configuration that trials and finals start from; `base.seed` seeds each trial.
        space: what is searched.
        seed: of the sampler.
        data_source, data_digest: of the images and labels that `base` will find.
        code: release and digest of the code that trains; another may measure other numbers.
        trial_overrides: fields of `base` that differ in trials, such as fewer epochs.
        final_overrides: fields of `base` that differ in finals.
        finals: how many times the best configuration is trained again, each with a new seed.
        objectives: measures, quality on the validation split; "best" means the first of them.
        lookahead: trial `i` is proposed from the results up to trial `i - lookahead`; also the
            most workers that can be busy.
        group: the group of sweeps that it belongs to, one for each backbone; None for no group.
        oom_backoff: a trial that runs out of memory is done again with half the batch.

    Raises:
        UsageError: a name, number or field does not fit.
    """

    name: str
    base: RunConfig
    space: SearchSpace = DEFAULT_SPACE
    seed: int = 0
    data_source: str
    data_digest: str
    code: str = ""
    trial_overrides: Mapping[str, Override] = field(default_factory=dict)
    final_overrides: Mapping[str, Override] = field(default_factory=dict)
    finals: int = 3
    objectives: tuple[str, ...] = ("score",)
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "percentile"
    lookahead: int = 4
    group: str | None = None
    oom_backoff: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                "A sweep's name must be 1 to 100 letters, digits, dots, dashes or underscores "
                f"and start with a letter or digit, got {self.name!r}."
            )
        objectives_of(self.objectives, searched=self.space.names())
        check_pruner(self.pruner, self.objectives)
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise UsageError(
                "The sampler cmaes knows one objective only, but there are "
                f"{len(self.objectives)}. Use --sampler tpe."
            )
        _check_choice("sampler", self.sampler, get_args(SamplerName))
        _check_choice("pruner", self.pruner, get_args(PrunerName))
        _check_whole("seed of the sweep", self.seed, 0, MAX_SEED)
        _check_whole("number of finals", self.finals, 0, 1000)
        _check_whole("lookahead", self.lookahead, 1, 1000)
        check_space(self.sampler, self.space)
        for overrides in (self.trial_overrides, self.final_overrides):
            taken = sorted(set(overrides) & {*self.space.names(), "seed", "evaluate_test"})
            if taken:
                raise UsageError(f"`{taken[0]}` is set by the sweep and cannot be overridden.")
        # Unfit overrides are better met now than in the middle of the night.
        for params in self.space.probes():
            self.trial_task(0, params)
            self.final_task(0, params, 1)
            self.rerun_task(0, params, 1)

    @property
    def goals(self) -> tuple[Objective, ...]:
        """Return the objectives with what belongs to each."""
        return tuple(Objective(name=name) for name in self.objectives)

    @property
    def objective(self) -> str:
        """Return the first objective, which "best" means."""
        return self.objectives[0]

    @property
    def metric(self) -> str:
        """Return the first objective's name in a record."""
        return self.goals[0].measure

    @property
    def direction(self) -> Direction:
        """Return which way the first objective is better."""
        return self.goals[0].direction

    @property
    def trains_alike(self) -> bool:
        """Return whether finals train as long, and on as much, as trials do."""
        names = {*self.trial_overrides, *self.final_overrides}
        usual = {name: getattr(self.base, name) for name in names}
        return usual | dict(self.trial_overrides) == usual | dict(self.final_overrides)

    def trial_budget(self, n_train: int) -> int:
        """Return the training examples that a trial is granted, each counted in each epoch.

        Args:
            n_train: size of the training split.
        """
        changes: dict[str, Any] = dict(self.trial_overrides)
        config = dataclasses.replace(self.base, **changes)
        return config.epochs * (config.train_examples or n_train)

    def trial_id(self, number: int) -> str:
        """Return the run id of a trial."""
        return f"{self.name}-t{number:03d}"

    def trial_task(self, number: int, settings: Mapping[str, Value]) -> Task:
        """Return the run of a trial. It never opens the test split.

        Args:
            number: of the trial.
            settings: its params, and the batch that it backed off to, if any.
        """
        changes: dict[str, Any] = {**self.trial_overrides, "evaluate_test": False}
        return Task(
            run_id=self.trial_id(number), role="trial", sweep=self.name, trial=number,
            config=self._config(changes, settings),
        )  # fmt: skip

    def final_task(self, number: int, settings: Mapping[str, Value], k: int) -> Task:
        """Return the `k`-th final (from 1) of trial `number`: a new seed, and the test split.

        The trial is part of the run id: a sweep that grows and finds a better trial adds finals
        beside the old ones and overwrites none.
        """
        return Task(
            run_id=f"{self.trial_id(number)}-s{k}", role="final", sweep=self.name, trial=number,
            config=self._tested(self.final_overrides, settings, k),
        )  # fmt: skip

    def rerun_task(self, number: int, settings: Mapping[str, Value], k: int) -> Task:
        """Return the `k`-th re-run (from 1) of trial `number`: like it, but for seed and test.

        A final trains longer than the trial did, so it cannot tell how much of the trial's score
        was luck; a re-run can.
        """
        return Task(
            run_id=f"{self.trial_id(number)}-r{k}", role="rerun", sweep=self.name, trial=number,
            config=self._tested(self.trial_overrides, settings, k),
        )  # fmt: skip

    def _tested(
        self, overrides: Mapping[str, Override], settings: Mapping[str, Value], k: int
    ) -> RunConfig:
        """Return a configuration with the `k`-th new seed that opens the test split."""
        seed = (self.base.seed + k) % (MAX_SEED + 1)
        changes: dict[str, Any] = {**overrides, "evaluate_test": True, "seed": seed}
        return self._config(changes, settings)

    def _config(self, changes: Mapping[str, Any], settings: Mapping[str, Any]) -> RunConfig:
        drawn = self.space.apply(dataclasses.replace(self.base, **changes), settings)
        return dataclasses.replace(drawn, **settings)  # a batch need not be searched to be halved

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        if self.group is None:
            del values["group"]  # a plan outside of groups reads, and is named, as ever
        return values | {
            "version": PLAN_VERSION,
            "base": self.base.to_json(),
            "space": self.space.to_json(),
            "objectives": list(self.objectives),
            "trial_overrides": dict(self.trial_overrides),
            "final_overrides": dict(self.final_overrides),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SweepPlan:
        """Build a plan from `to_json` values.

        Raises:
            StoreError: the version is unknown or a field does not fit.
        """
        if values.get("version") not in {1, PLAN_VERSION}:
            raise StoreError(
                f"A sweep's description must have version 1 or {PLAN_VERSION}, "
                f"got {values.get('version')!r}. {_ANOTHER_RELEASE}"
            )
        parsed = {name: value for name, value in values.items() if name != "version"}
        if values["version"] == 1:
            parsed["objectives"] = [parsed.pop("objective", "score")]
        unknown = sorted(set(parsed) - {item.name for item in dataclasses.fields(cls)})
        if unknown:
            raise StoreError(
                f"A sweep's description must hold what this release of bench knows, but has "
                f"{unknown[0]!r}. {_ANOTHER_RELEASE}"
            )
        try:
            parsed["base"] = RunConfig.from_json(values["base"])
            parsed["space"] = SearchSpace.from_json(values["space"])
            parsed["objectives"] = tuple(parsed["objectives"])
            return cls(**parsed)
        except KeyError as error:
            raise StoreError(
                f"A sweep's description must hold {error}, but does not. {_ANOTHER_RELEASE}"
            ) from error
        except (TypeError, UsageError) as error:
            reason = str(error).rstrip(".")
            raise StoreError(
                f"This is no description of a sweep: {reason}. {_ANOTHER_RELEASE}"
            ) from error


def check_pruner(pruner: str, objectives: Collection[str]) -> None:
    """Check that a pruner can judge trials of these objectives.

    Raises:
        UsageError: it cannot.
    """
    if len(objectives) > 1 and pruner not in {"dominance", "none"}:
        raise UsageError(
            "With several objectives a trial can be stopped when others dominate it, not by "
            f"`{pruner}`. Use --pruner dominance or none."
        )


def settle_plan(plan: SweepPlan, folder: Path) -> bool:
    """Write the plan into a new sweep's folder, or check that it is the one found there.

    Returns:
        Whether the sweep existed.

    Raises:
        SweepError: the folder holds another plan; the text names each difference.
    """
    found = read_plan(folder)
    if found is None:
        text = json.dumps(plan.to_json(), indent=1, allow_nan=False) + "\n"
        write_atomically(folder / PLAN_FILE, text.encode())
        return False
    differences = list(_differences(found.to_json(), plan.to_json()))
    if differences:
        value = "value" if len(differences) == 1 else "values"
        code = any(name == "code" for name, _, _ in differences)
        raise SweepError(
            f"Sweep {plan.name!r} must go on as it began, but now "
            + "; ".join(f"`{name}` is {new!r} (was {old!r})" for name, old, new in differences)
            + f". Give the original {value}"
            + (" (of `code`: that release or checkout of bench and its plug-ins)" if code else "")
            + ", or start another sweep with --new or --name."
        )
    return True


def read_plan(folder: Path) -> SweepPlan | None:
    """Return the plan in a sweep's folder, or None if there is none.

    Raises:
        StoreError: it cannot be read; the text names the file.
    """
    return read_described(folder / PLAN_FILE, SweepPlan.from_json)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Return (dotted name, old value, new value) of all that differs."""
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append((f"{prefix}{name}", a, b))
    return found


def _check_choice(kind: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown_name(kind, value, known)


def _check_whole(what: str, value: int, low: int, high: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and low <= value <= high):
        raise UsageError(f"The {what} must be from {low} to {high}, got {value!r}.")
