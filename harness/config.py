"""`RunConfig`: every knob of a run, declared once.

Command-line options, JSON, MLflow parameters, the search space and table headings derive from
these fields, under one name: `box_weight` is `--box-weight` and `params.box_weight`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from harness.errors import UsageError, did_you_mean
from harness.scene_spec import (
    CANVAS_LIMITS_PX,
    MOST_CLUTTER,
    MOST_OCCLUSION,
    PRESETS,
    Background,
    BoxFit,
    SceneName,
    SceneSpec,
    scene_spec,
)

Jit = Literal["off", "on", "auto"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Scaling = Literal["none", "linear", "sqrt"]
Decay = Literal["none", "linear", "cosine"]
Color = Literal["auto", "grey", "rgb"]
Cache = Literal["memory", "disk", "none"]
BoxLoss = Literal["mse", "huber", "giou", "ciou"]
Pretrained = Literal["none", "imagenet"]

MAX_SEED = 2**31 - 1
"""Largest seed: NumPy, TensorFlow and Optuna all take it as a signed 32-bit integer."""


SCENE_FACTORS = (
    "digit_px", "box_fit", "rotation_deg", "background", "contrast", "clutter", "occlusion",
    "canvas_px",
)  # fmt: skip
"""Fields that change what the preset in `scene` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """What a field of `RunConfig` allows and says of itself."""

    help: str
    group: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    unit: str = ""
    choices: tuple[str, ...] = ()
    kind: type = str
    optional: bool = False
    on_off: str | None = None  # option name for "no", if the field is a flag
    span: bool = False  # a number or "low..high", as `harness.scene_spec.span_text` writes it

    def check(self, name: str, value: object) -> None:
        """Raise `UsageError` if `value` is not what this knob allows (NaN never is)."""
        if value is None and self.optional:
            return
        self._check_type(name, value)
        if self.choices and value not in self.choices:
            raise UsageError(
                f"`{name}` must be one of {', '.join(self.choices)}, got {value!r}."
                f"{did_you_mean(str(value), self.choices)}"
            )
        if isinstance(value, (int, float)) and not self._inside(value):
            raise UsageError(f"`{name}` must be {self.range_text()}, got {value!r}.")

    def range_text(self) -> str:
        """Return the allowed range in words, such as "greater than 0"."""
        parts = []
        if self.low is not None:
            parts.append(f"{'greater than' if self.low_open else 'at least'} {self.low:.12g}")
        if self.high is not None:
            parts.append(f"at most {self.high:.12g}")
        return " and ".join(parts) if parts else "a finite number"

    def _check_type(self, name: str, value: object) -> None:
        ok: bool
        if self.kind is float:
            ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        elif self.kind is int:
            ok = isinstance(value, int) and not isinstance(value, bool)
        else:
            ok = isinstance(value, self.kind)
        if not ok:
            raise UsageError(f"`{name}` must be {self.kind.__name__}, got {value!r}.")

    def _inside(self, value: float) -> bool:
        # Written so that NaN fails each comparison. Integers are finite, however large.
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if self.low is not None:
            if self.low_open and not value > self.low:
                return False
            if not value >= self.low:
                return False
        return self.high is None or value <= self.high


def _knob(default: Any, help: str, group: str, **limits: Any) -> Any:
    return field(default=default, metadata={"knob": Knob(help=help, group=group, **limits)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One run, completely described. Equal configurations give equal results on equal machines.

    Raises:
        UsageError: a value has the wrong type or lies outside its range.
    """

    backbone: str = _knob("notebook-cnn", "Network body to train.", "Model")
    head: str = _knob("dense", "What turns features into class and box.", "Model")
    width: float | None = _knob(
        None, "Factor on the backbone's numbers of channels, if it has this option.", "Model",
        kind=float, low=0, low_open=True, high=16, optional=True,
    )  # fmt: skip
    depth: int | None = _knob(
        None, "Blocks per stage of the backbone, if it has this option.", "Model", kind=int, low=1,
        high=64, optional=True,
    )  # fmt: skip
    pretrained: Pretrained = _knob(
        "none", "Weights that the backbone starts from, if it has this option.", "Model",
        choices=get_args(Pretrained),
    )  # fmt: skip
    learning_rate: float = _knob(
        1e-3, "Adam's step size.", "Training", kind=float, low=0, low_open=True, high=10
    )
    learning_rate_scaling: Scaling = _knob(
        "none", "Multiply the learning rate by (global batch / reference), or by its square root.",
        "Training", choices=get_args(Scaling),
    )  # fmt: skip
    reference_batch_size: int = _knob(
        64, "Global batch that --learning-rate is meant for, if it is scaled.", "Training",
        kind=int, low=1,
    )  # fmt: skip
    warmup_epochs: float | None = _knob(
        None, "Epochs until a scaled learning rate is reached (unset: 1 if linear, else 0).",
        "Training", kind=float, low=0, optional=True,
    )  # fmt: skip
    learning_rate_decay: Decay = _knob(
        "none", "How the learning rate falls to 0 over the epochs of the run, after any warm-up.",
        "Training", choices=get_args(Decay),
    )  # fmt: skip
    class_weight: float = _knob(
        1.0, "Weight of the cross-entropy in the loss.", "Training", kind=float, low=0, high=1e6
    )
    box_weight: float = _knob(
        1.0, "Weight of the box loss in the loss.", "Training", kind=float, low=0, high=1e6
    )
    box_loss: BoxLoss = _knob(
        "mse", "What a wrong box costs.", "Training", choices=get_args(BoxLoss)
    )
    batch_size: int = _knob(64, "Images per replica and step.", "Training", kind=int, low=1)
    global_batch_size: int | None = _knob(
        None, "Images per step over all replicas, instead of --batch-size.", "Training",
        kind=int, low=1, optional=True,
    )  # fmt: skip
    epochs: int = _knob(
        10, "Passes over the training examples.", "Training", kind=int, low=1, high=100_000
    )
    patience: int | None = _knob(
        None, "Stop after so many epochs without a better validation score; keep the best epoch.",
        "Training",
        kind=int, low=1, optional=True,
    )  # fmt: skip
    seed: int = _knob(
        0, "Seed of weights and batch order.", "Training", kind=int, low=0, high=MAX_SEED
    )
    augment_shift: float = _knob(
        0.0, "Shift training images by up to this share of their sides.", "Augmentation",
        kind=float, low=0, high=0.5,
    )  # fmt: skip
    augment_zoom: float = _knob(
        0.0, "Zoom training images by up to this, in and out (0.2: factors 0.8 to 1.2).",
        "Augmentation", kind=float, low=0, high=0.8,
    )  # fmt: skip
    augment_rotation_deg: int = _knob(
        0, "Turn training images by up to this angle, to either side.", "Augmentation", kind=int,
        low=0, high=180,
    )  # fmt: skip
    augment_contrast: float = _knob(
        0.0, "Change the contrast of training images by up to this (0.2: factors 0.8 to 1.2).",
        "Augmentation", kind=float, low=0, high=1,
    )  # fmt: skip
    augment_noise: float = _knob(
        0.0, "Standard deviation of noise in training images, up to this share of white.",
        "Augmentation", kind=float, low=0, high=0.5,
    )  # fmt: skip
    augment_erase: float = _knob(
        0.0, "Cover up to this share of training images with a rectangle.", "Augmentation",
        kind=float, low=0, high=0.5,
    )  # fmt: skip
    dataset: str = _knob(
        "auto", "Where the small images come from, see `bench list datasets`.", "Data"
    )
    skip_bad: bool = _knob(
        False, "Leave out what is bad in a data set of your own, instead of an error.", "Data",
        kind=bool, on_off="skip-bad/no-skip-bad",
    )  # fmt: skip
    color: Color = _knob(
        "auto", "Whether photos are shown in colour; auto: photos are, small images are grey.",
        "Data", choices=get_args(Color),
    )  # fmt: skip
    cache: Cache = _knob(
        "disk", "Where decoded photos are kept; none decodes them again each time.", "Data",
        choices=get_args(Cache),
    )  # fmt: skip
    data_seed: int = _knob(
        0, "Seed of splits and of all factors of scenes.", "Data", kind=int, low=0, high=MAX_SEED
    )
    train_examples: int | None = _knob(
        None, "Train on a stratified subset of this size.", "Data", kind=int, low=1, optional=True
    )
    scene: SceneName = _knob(
        "plain", "How hard scenes are; the factors below change what it says.", "Data",
        choices=tuple(PRESETS),
    )  # fmt: skip
    digit_px: str | None = _knob(
        None, "Side of a digit's patch, such as 28 or 14..42.", "Data", span=True, optional=True
    )
    box_fit: BoxFit | None = _knob(
        None, "True box around the whole patch, or tight around the ink.", "Data",
        choices=get_args(BoxFit), optional=True,
    )  # fmt: skip
    rotation_deg: int | None = _knob(
        None, "Greatest angle that a digit is turned by, to either side.", "Data", kind=int,
        low=0, high=180, optional=True,
    )  # fmt: skip
    background: Background | None = _knob(
        None, "What digits lie on; mixed draws one for each.", "Data",
        choices=get_args(Background), optional=True,
    )  # fmt: skip
    contrast: str | None = _knob(
        None, "Way that ink goes from the background to white, such as 1 or 0.3..1.", "Data",
        span=True, optional=True,
    )  # fmt: skip
    clutter: int | None = _knob(
        None, "Greatest number of fragments of other digits.", "Data", kind=int, low=0,
        high=MOST_CLUTTER, optional=True,
    )  # fmt: skip
    occlusion: float | None = _knob(
        None, "Greatest share of a digit's ink that a bar hides.", "Data", kind=float, low=0,
        high=MOST_OCCLUSION, optional=True,
    )  # fmt: skip
    canvas_px: int | None = _knob(
        None, "Side of a scene.", "Data", kind=int, low=CANVAS_LIMITS_PX[0],
        high=CANVAS_LIMITS_PX[1], optional=True,
    )  # fmt: skip
    evaluate_test: bool = _knob(
        True, "Open the sealed test split once, for the final evaluation.", "Data", kind=bool,
        on_off="test/no-test",
    )  # fmt: skip
    strategy: str = _knob("auto", "How the work is spread over devices.", "Hardware")
    devices: str = _knob(
        "", "Devices to use, such as gpu:0,gpu:1, tpu:NAME or (logical devices) cpu:0,cpu:1.",
        "Hardware",
    )  # fmt: skip
    threads: int = _knob(
        0, "Threads per TensorFlow operation (0: one per core).", "Hardware", kind=int, low=0,
        high=4096,
    )  # fmt: skip
    precision: Precision = _knob(
        "float32", "What layers compute in; weights and heads stay float32 (float16 is for GPUs).",
        "Hardware", choices=get_args(Precision),
    )  # fmt: skip
    jit: Jit = _knob(
        "off", "Compile the gradient step with XLA; auto times both and takes the faster.",
        "Hardware", choices=get_args(Jit),
    )  # fmt: skip
    steps_per_call: int = _knob(
        20, "Training steps in one graph call.", "Hardware", kind=int, low=1, high=10_000
    )

    def __post_init__(self) -> None:
        for name, knob in knobs().items():
            knob.check(name, getattr(self, name))
        if self.class_weight == 0 and self.box_weight == 0:
            raise UsageError(
                "`class_weight` and `box_weight` must not both be 0: nothing would be learned."
            )
        if self.warmup_epochs and self.learning_rate_scaling == "none":
            raise UsageError(
                f"`warmup_epochs` leads to a scaled learning rate, got {self.warmup_epochs:g} "
                "without scaling. Add --learning-rate-scaling linear or sqrt, or leave it out."
            )
        self.scene_spec()  # whose checks are those of its fields

    @property
    def batch_field(self) -> Literal["batch_size", "global_batch_size"]:
        """Return the name of the field that says how many images a step takes."""
        return "batch_size" if self.global_batch_size is None else "global_batch_size"

    @property
    def batch(self) -> int:
        """Return the value of `batch_field`."""
        return self.batch_size if self.global_batch_size is None else self.global_batch_size

    def backbone_options(self) -> dict[str, str | int | float]:
        """Return the options of the backbone that are set, by `architectures.registry.OPTIONS`."""
        options = {"width": self.width, "depth": self.depth, "pretrained": self.pretrained}
        unset = (None, "none")
        return {name: value for name, value in options.items() if value not in unset}

    def scene_spec(self) -> SceneSpec:
        """Return what scenes are made of: the preset, with the factors that are set."""
        return scene_spec(self.scene, {name: getattr(self, name) for name in SCENE_FACTORS})

    def to_json(self) -> dict[str, str | int | float | bool | None]:
        """Return the fields as plain JSON values, in the order of declaration.

        Equal configurations give equal text: 1 and 1.0, or 0.0 and -0.0, are written as one.
        """
        values = {name: getattr(self, name) for name in knobs()}
        for name, knob in knobs().items():
            if knob.kind is float and values[name] is not None:
                values[name] += 0.0
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunConfig:
        """Build a configuration from `to_json` values.

        Raises:
            UsageError: a key is not a field, or a value is not allowed.
        """
        unknown = sorted(set(values) - set(knobs()))
        if unknown:
            raise UsageError(
                f"Unknown configuration field {unknown[0]!r}. Known: {', '.join(knobs())}."
            )
        return cls(**values)

    def digest(self) -> str:
        """Return the identity of the run: 16 hexadecimal digits of the SHA-256 of its JSON."""
        return digest_of(self.to_json())


def knobs() -> dict[str, Knob]:
    """Return each field of `RunConfig` with its knob, in the order of declaration."""
    return {f.name: f.metadata["knob"] for f in dataclasses.fields(RunConfig)}


def digest_of(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a JSON value (keys sorted, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
