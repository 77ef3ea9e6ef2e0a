"""`RunRecord`: what one run was asked, did and measured; plain JSON with a version.

Version history:
    1  first; fields and roles that came later (`resumed_after`, "rerun") are told in its terms.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from harness.cause import CAUSES, Cause
from harness.config import RunConfig
from harness.metrics import METRICS as METRICS
from harness.metrics import QUALITY as QUALITY
from harness.scene_spec import PLAIN
from harness.versioned import parsed_object, reading

RECORD_VERSION = 1

_PLAIN_DIGEST = "2f52e15d4997293e"
"""Of plain scenes in version 1, which is what records without a scene had."""

Status = Literal["finished", "failed", "pruned", "interrupted"]
Role = Literal["run", "trial", "final", "rerun"]
"""A final trains a trial's configuration in full, a rerun as briefly as the trial; both with a new
seed, and both read the test split."""
Split = Literal["validation", "test"]
Part = Literal["backbone", "head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measured value, or the reason why there is none.

    Attributes:
        value: in the unit that `METRICS` states; None if it could not be measured.
        reason: why `value` is None; None otherwise.
        samples: raw samples behind the value, in order, if there are several.

    Raises:
        ValueError: neither or both are given, or a number is NaN or infinite.
    """

    value: float | None = None
    reason: str | None = None
    samples: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a measure has either a value or a reason for its absence")
        _check_finite("a measure", *self.samples, 0.0 if self.value is None else self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPoint:
    """One epoch: 1-based number, training images and seconds, and metrics by full name.

    Attributes:
        validation_s: seconds of predicting and judging that split; None in older records.
        disturbed: what disturbed its training in words, see `harness.disturbance`.

    Raises:
        ValueError: a number is NaN or infinite: what could not be measured is left out.
    """

    epoch: int
    images: int
    train_s: float
    metrics: Mapping[str, float]
    validation_s: float | None = None
    disturbed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_finite(f"epoch {self.epoch}", self.train_s, *self.metrics.values())
        _check_finite(f"epoch {self.epoch}", self.validation_s or 0.0)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EpochPoint:
        """Build an epoch from the plain values of its fields."""
        return cls(**{**values, "disturbed": tuple(map(str, values.get("disturbed", ())))})


@dataclass(frozen=True, slots=True, kw_only=True)
class DataIdentity:
    """What was looked at: source, content hash of images and labels, and split sizes.

    `digest` covers the training pool (train and validation); `test_digest` the test images and
    labels, None as long as the test split stayed sealed.

    Attributes:
        channels: 1 of grey images, 3 of those in colour.
        class_names: one for each class; empty if they are just numbers, and in older records.
        skipped: images left out because something was wrong with them, as the user asked.
        duplicates: copies of other training images left out.
        scene: in words, what scenes were made of; older records had plain ones.
        scene_digest: what has the same has the same bytes.
    """

    source: str
    digest: str
    data_seed: int
    image_px: int
    classes: int
    n_train: int
    n_validation: int
    n_test: int | None = None
    test_digest: str | None = None
    channels: int = 1
    class_names: tuple[str, ...] = ()
    skipped: int = 0
    duplicates: int = 0
    scene: str = PLAIN.name
    scene_version: int = 1
    scene_digest: str = _PLAIN_DIGEST

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataIdentity:
        """Build it from plain values; what an older record lacks gets its default."""
        return cls(**{**values, "class_names": tuple(map(str, values.get("class_names", ())))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it ran. `devices`, `strategy` and `jit` are what was used, not what was asked for.

    `replicas` are those of all `workers`, `devices` those of the one that wrote the record. `jit`
    is None in older records and in runs that ended before their step was compiled. What follows
    it older records do not tell either.

    Attributes:
        governor: that sets the clock of the cores, such as "performance"; None if the system does
            not tell.
        gpus: NVIDIA's names of all GPUs of the machine, used or not.
        driver: of these GPUs.
        thread_settings: environment variables by which libraries lay out their threads, as far as
            they are set, and the threads of TensorFlow, by the names in `TENSORFLOW_THREADS`.
        shards: parts of each batch that a CPU worked on at once, with one thread each if there are
            several.
    """

    host_digest: str
    system: str
    python: str
    cpu_model: str
    cpu_cores: int
    memory_gib: float
    packages: Mapping[str, str]
    strategy: str
    replicas: int
    devices: tuple[str, ...]
    threads: int
    workers: int = 1
    git_commit: str | None = None
    git_dirty: bool | None = None
    jit: Literal["off", "on"] | None = None
    governor: str | None = None
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    thread_settings: Mapping[str, str] = field(default_factory=dict)
    shards: int = 1

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Machine:
        """Build it from plain values; what an older record lacks gets its default."""
        lists = {name: tuple(values.get(name, ())) for name in ("devices", "gpus")}
        return cls(**{**values, **lists})


TENSORFLOW_THREADS = ("intra_op", "inter_op")


def timing_key(machine: Machine, *, source: bool = True) -> tuple[object, ...]:
    """Return what two timings must share to be ranked together.

    Strategy, devices and threads of TensorFlow are left out: they are what one may want to
    compare.

    Args:
        machine: where something was timed.
        source: whether the commit of bench counts too. What is known of the machine itself, such
            as how much it wavers, may outlive a commit.
    """
    settings = (
        item for item in machine.thread_settings.items() if item[0] not in TENSORFLOW_THREADS
    )
    return (
        machine.host_digest, machine.system, machine.python, machine.cpu_model,
        machine.cpu_cores, round(machine.memory_gib), machine.governor, machine.gpus,
        machine.driver, tuple(sorted(machine.packages.items())), tuple(sorted(settings)),
        (machine.git_commit, machine.git_dirty) if source else None,
    )  # fmt: skip


def device_kinds(machine: Machine) -> tuple[str, ...]:
    """Return the kinds of the devices that were used, each once, such as ("cpu",)."""
    return tuple(sorted({device.partition(":")[0] for device in machine.devices}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a network.

    Attributes:
        kind: its class.
        output_shape: without the batch axis.
        part: which part of the network it belongs to; older records say backbone of all.
        multiply_adds: of one image's forward pass; None if they were not counted.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int
    part: Part = "backbone"
    multiply_adds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Size and make-up of the trained network."""

    parameters: int
    backbone_parameters: int
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything known of a run once it has ended, however it ended.

    Attributes:
        started_at: of the first attempt.
        duration_s: of all attempts, the time lost between checkpoint and kill left out.
        resumed_after: the epochs after which another process went on; `machine` is the last one's.
        cause: of a failure, for programs; `reason` is for people.
        too_large: batch sizes of a sweep's trial that ran out of memory before `config`'s.
        targets: what it was to reach, such as "score>=0.9", see `harness.targets`.
        stopped_at_target: whether it ended before its last epoch because it had reached them.
    """

    run_id: str
    role: Role
    config: RunConfig
    status: Status
    started_at: str
    duration_s: float
    sweep: str | None = None
    trial: int | None = None
    reason: str | None = None
    traceback: str | None = None
    data: DataIdentity | None = None
    machine: Machine | None = None
    model: ModelFacts | None = None
    history: tuple[EpochPoint, ...] = ()
    measures: Mapping[str, Measure] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    resumed_after: tuple[int, ...] = ()
    cause: Cause | None = None
    too_large: tuple[int, ...] = ()
    targets: tuple[str, ...] = ()
    stopped_at_target: bool = False
    version: int = RECORD_VERSION

    def value(self, name: str) -> float | None:
        """Return the value of a measure such as "test_score", or None if it is absent."""
        measure = self.measures.get(name)
        return None if measure is None else measure.value

    def disturbance(self) -> str | None:
        """Return in words how many epochs were disturbed and by what; None if none is known."""
        hit = [point for point in self.history if point.disturbed]
        if not hit:
            return None
        of = f"{len(hit)} of {len(self.history)} epochs"
        such = "" if len(hit) == 1 else f", such as epoch {hit[0].epoch}"
        return f"{of}{such}: {' and '.join(hit[0].disturbed)}"

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return dataclasses.asdict(self) | {"config": self.config.to_json()}

    def dumps(self) -> str:
        """Return the record as JSON text: keys sorted, no NaN, newline at the end."""
        return json.dumps(self.to_json(), sort_keys=True, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunRecord:
        """Build a record from `to_json` values.

        Raises:
            StoreError: the version is unknown or a field does not fit.
        """
        with reading("run record", RECORD_VERSION, values):
            return cls(**_parsed(values))

    @classmethod
    def loads(cls, text: str) -> RunRecord:
        """Parse what `dumps` wrote.

        Raises:
            StoreError: not JSON, or not a record.
        """
        return cls.from_json(parsed_object("run record", text))


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the nested plain values back into the classes they came from."""
    parsed = {"cause": None, **values}
    for name, known in (("status", get_args(Status)), ("role", get_args(Role)), ("cause", CAUSES)):
        if parsed[name] not in known:
            raise ValueError(
                f"{name} must be one of {', '.join(map(str, known))}, got {parsed[name]!r}"
            )
    parsed["config"] = RunConfig.from_json(values["config"])
    if values.get("data"):
        parsed["data"] = DataIdentity.from_json(values["data"])
    if values.get("machine"):
        parsed["machine"] = Machine.from_json(values["machine"])
    if values.get("model"):
        parsed["model"] = _model(values["model"])
    parsed["history"] = tuple(map(EpochPoint.from_json, values["history"]))
    for name in ("resumed_after", "too_large"):
        parsed[name] = tuple(map(int, values.get(name, ())))
    parsed["targets"] = tuple(map(str, values.get("targets", ())))
    parsed["measures"] = {
        name: Measure(**measure | {"samples": tuple(measure["samples"])})
        for name, measure in values["measures"].items()
    }
    return parsed


def _model(values: Mapping[str, Any]) -> ModelFacts:
    layers = tuple(
        Layer(**layer | {"output_shape": tuple(layer["output_shape"])})
        for layer in values["layers"]
    )
    return ModelFacts(**dict(values) | {"layers": layers})


def _check_finite(owner: str, *numbers: float) -> None:
    # JSON has no NaN: the whole record could not be written.
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{owner} must hold finite numbers, got {numbers}")
