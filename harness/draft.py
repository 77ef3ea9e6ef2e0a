"""What is known so far of a run that has not ended: the draft of its record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import perf_counter

from harness.cause import Cause
from harness.checkpoint import Checkpoint
from harness.config import RunConfig
from harness.data import Data
from harness.record import EpochPoint, Machine, Measure, ModelFacts, Role, RunRecord, Status
from harness.run_times import RunTimes
from harness.targets import Target, first_reached, parse_targets, time_to_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which run this is, beside its configuration."""

    run_id: str
    role: Role = "run"
    sweep: str | None = None
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run ended.

    Attributes:
        cause: of a failure, for programs.
        final: whether going on from a checkpoint would only end it so again.
    """

    status: Status
    reason: str | None = None
    traceback: str | None = None
    cause: Cause | None = None
    final: bool = False


@dataclass(slots=True, kw_only=True)
class Draft:
    """What is known so far of a run that has not ended.

    Attributes:
        times: of what history does not tell.
        unwatched: why nobody knows what else the machine did; None if it was watched.
        stop_at_target: whether the run ends once it has reached its targets.
    """

    config: RunConfig
    identity: Identity
    started_at: str
    start_s: float
    targets: tuple[Target, ...] = ()
    stop_at_target: bool = False
    times: RunTimes = field(default_factory=RunTimes)
    unwatched: str | None = None
    machine: Machine | None = None
    model: ModelFacts | None = None
    data: Data | None = None
    history: list[EpochPoint] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    resumed_after: tuple[int, ...] = ()

    @property
    def named_config(self) -> RunConfig:
        """Return the configuration with the data set that "auto" chose."""
        return replace(self.config, dataset=self.data.dataset) if self.data else self.config

    @property
    def stopped_at_target(self) -> bool:
        """Whether the run has reached its targets and therefore ends before its last epoch."""
        if not (self.stop_at_target and self.targets) or len(self.history) >= self.config.epochs:
            return False
        return first_reached(self.history, self.targets) is not None

    def record(self, end: End) -> RunRecord:
        """Return the record of the run, were it to end now."""
        data, identity = self.data, self.identity
        return RunRecord(
            run_id=identity.run_id,
            role=identity.role,
            sweep=identity.sweep,
            trial=identity.trial,
            config=self.named_config,
            status=end.status,
            reason=end.reason,
            traceback=end.traceback,
            started_at=self.started_at,
            duration_s=round(perf_counter() - self.start_s, 3),
            data=data.identity() if data else None,
            machine=self.machine,
            model=self.model,
            history=tuple(self.history),
            measures=self.measures | self._times(),
            files=dict(self.files),
            resumed_after=self.resumed_after,
            cause=end.cause,
            targets=tuple(map(str, self.targets)),
            stopped_at_target=self.stopped_at_target,
        )

    def _times(self) -> dict[str, Measure]:
        """Return what the epochs so far say of speed, and of the way to the targets.

        Throughput is total images over total time, with a sample for each epoch.
        """
        history = self.history
        if not history:
            return {}
        images, seconds = sum(p.images for p in history), sum(p.train_s for p in history)
        disturbed = float(sum(bool(point.disturbed) for point in history))
        measures = {
            "images_per_s": Measure(
                value=images / seconds, samples=tuple(p.images / p.train_s for p in history)
            ),
            **self.times.measures(),
            "disturbed_epochs": Measure(reason=self.unwatched)
            if self.unwatched
            else Measure(value=disturbed),
        }
        if self.targets:
            measures["time_to_target_s"] = time_to_target(history, self.targets)
        return measures

    def continues(self, saved: Checkpoint) -> None:
        """Take over what an earlier attempt measured, but for its epochs, and its targets."""
        before = saved.record
        self.targets = self.targets or parse_targets(before.targets)
        self.started_at = before.started_at
        self.start_s -= before.duration_s
        self.resumed_after = (*before.resumed_after, saved.epoch)
        self.times.continues(before)
        compiled = before.measures.get("compile_s")
        if compiled and compiled.value is not None:
            self.measures["compile_s"] = compiled
