"""How hard scenes are: each factor a number, and presets of them with a name and a version."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from harness.angles import turned_px
from harness.errors import UsageError, did_you_mean

SceneName = Literal["plain", "scaled", "cluttered", "hard"]
BoxFit = Literal["patch", "ink"]
Background = Literal["black", "noise", "gradient", "texture", "mixed"]

SCENE_VERSION = 1
"""Of the way from factors to bytes: whatever changes a byte of a scene raises it."""

BACKGROUNDS = ("black", "noise", "gradient", "texture")
"""Their order is the code by which predictions name a scene's background, from 0 on."""

DIGIT_LIMITS_PX, CANVAS_LIMITS_PX = (8, 256), (32, 512)
MOST_CLUTTER = 32
MOST_OCCLUSION = 0.9

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?:\.\.([0-9]+(?:\.[0-9]+)?))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSpec:
    """The factors of a scene; each but the last is drawn for each example, evenly.

    Attributes:
        name: of the preset that it began with.
        digit_px: least and greatest side of the digit's patch, in pixels of the canvas.
        box_fit: what the true box is around: the whole patch (turned, if the digit is), or the
            pixels that the digit inks.
        rotation_deg: greatest angle to either side, in whole degrees.
        background: "mixed" draws one of the others.
        contrast_percent: least and greatest way that ink goes from the background to white.
        clutter: greatest number of fragments of other digits.
        occlusion_percent: greatest share of its ink that a bar hides.
        canvas_px: side of the scene.

    Raises:
        UsageError: a factor is out of range, or the largest digit does not fit the canvas.
    """

    name: str = "plain"
    digit_px: tuple[int, int] = (28, 28)
    box_fit: BoxFit = "patch"
    rotation_deg: int = 0
    background: Background = "black"
    contrast_percent: tuple[int, int] = (100, 100)
    clutter: int = 0
    occlusion_percent: int = 0
    canvas_px: int = 75

    def __post_init__(self) -> None:
        _check_ends("digit_px", self.digit_px, DIGIT_LIMITS_PX)
        _check_ends("contrast", self.contrast_percent, (1, 100), per=100)
        for name, value, known in (
            ("box_fit", self.box_fit, get_args(BoxFit)),
            ("background", self.background, get_args(Background)),
        ):
            if value not in known:
                raise UsageError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
        _check_whole("rotation_deg", self.rotation_deg, 0, 180)
        _check_whole("clutter", self.clutter, 0, MOST_CLUTTER)
        _check_whole("occlusion, in percent,", self.occlusion_percent, 0, 90)
        _check_whole("canvas_px", self.canvas_px, *CANVAS_LIMITS_PX)
        if self.room_px > self.canvas_px:
            turned = f" turned by up to {self.rotation_deg} degrees" if self.rotation_deg else ""
            raise UsageError(
                f"The largest digit must fit the canvas of {self.canvas_px} px, but one of "
                f"{self.digit_px[1]} px{turned} needs {self.room_px}. Use smaller digits or a "
                "larger `canvas_px`."
            )

    @property
    def room_px(self) -> int:
        """Return the side of the upright square that any digit fits in."""
        return turned_px(self.digit_px[1], min(self.rotation_deg, 45))

    def to_json(self) -> dict[str, Any]:
        """Return factors and version as plain JSON values, without the name."""
        values = {"version": SCENE_VERSION, **dataclasses.asdict(self)}
        del values["name"]
        return values

    def digest(self) -> str:
        """Return 16 hexadecimal digits that equal factors of equal version have in common."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def options(self) -> dict[str, Any]:
        """Return the factors by the names and in the form of options."""

        def span(ends: tuple[int, int], per: int) -> str:
            return "..".join(dict.fromkeys(f"{end / per:g}" for end in ends))

        return {
            "digit_px": span(self.digit_px, 1),
            "box_fit": self.box_fit,
            "rotation_deg": self.rotation_deg,
            "background": self.background,
            "contrast": span(self.contrast_percent, 100),
            "clutter": self.clutter,
            "occlusion": self.occlusion_percent / 100,
            "canvas_px": self.canvas_px,
        }

    def option_words(self) -> str:
        """Return the factors as the options that set them."""
        return " ".join(f"--{k.replace('_', '-')} {v}" for k, v in self.options().items())

    def words(self) -> str:
        """Return the preset's name and what differs from it, such as "hard, clutter=0"."""
        preset = PRESETS[self.name]
        mine, usual = self.options(), preset.options()
        others = [f"{name}={value}" for name, value in mine.items() if value != usual[name]]
        return ", ".join([self.name, *others])


def scene_spec(name: str, overrides: Mapping[str, Any]) -> SceneSpec:
    """Return a preset with some factors set otherwise.

    Args:
        name: of the preset.
        overrides: by the names of options; None leaves what the preset says. `digit_px` and
            `contrast` are texts such as "28" or "14..42", `occlusion` is a fraction.

    Raises:
        UsageError: there is no such preset, or a factor does not fit.
    """
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise UsageError(
            f"`scene` must be one of {known}, got {name!r}.{did_you_mean(name, PRESETS)}"
        )
    given = {key: value for key, value in overrides.items() if value is not None}
    if "digit_px" in given:
        given["digit_px"] = _ends("digit_px", given["digit_px"])
    if "contrast" in given:
        given["contrast_percent"] = _ends("contrast", given.pop("contrast"), per=100)
    if "occlusion" in given:
        given["occlusion_percent"] = _scaled("occlusion", f"{given.pop('occlusion'):.12g}", 100)
    return dataclasses.replace(PRESETS[name], **given)


def span_text(text: str) -> str:
    """Return a number or range as it is written in a configuration: "0.30..1.0" is "0.3..1".

    What is none is returned as it is, to be refused by `scene_spec` with its name.
    """
    found = _SPAN.fullmatch(text.replace(" ", ""))
    if not found:
        return text
    ends = [f"{float(end):.12g}" for end in found.groups() if end is not None]
    return "..".join(dict.fromkeys(ends))


def _ends(name: str, text: object, *, per: int = 1) -> tuple[int, int]:
    """Return both ends of a range in `per`-ths; a single number is both."""
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if not (found and isinstance(text, str)):
        example = "28 or 14..42" if per == 1 else "1 or 0.3..1"
        raise UsageError(
            f"`{name}` must be a number or a range of two, such as {example}, got {text!r}."
        )
    if span_text(text) != text:
        raise UsageError(
            f"`{name}` must be written in one way only, got {text!r}. Write {span_text(text)}."
        )
    low, high = found.groups()
    first = _scaled(name, low, per)
    return first, first if high is None else _scaled(name, high, per)


def _scaled(name: str, text: str, per: int) -> int:
    value = float(text) * per
    if not math.isfinite(value):
        raise UsageError(f"`{name}` must be a number, got {text}.")
    if abs(value - round(value)) > 1e-6:
        steps = "whole" if per == 1 else f"a multiple of {1 / per:g}"
        raise UsageError(f"`{name}` must be {steps}, got {text}.")
    return round(value)


def _check_ends(
    name: str, ends: tuple[int, int], limits: tuple[int, int], *, per: int = 1
) -> None:
    low, high = ends
    if not limits[0] <= low <= high <= limits[1]:
        found = f"{low / per:g}" if low == high else f"{low / per:g}..{high / per:g}"
        raise UsageError(
            f"`{name}` must be within {limits[0] / per:g} and {limits[1] / per:g}, the lower end "
            f"first, got {found}."
        )


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    # NaN and floats are refused by their type.
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"`{name}` must be a whole number from {low} to {high}, got {value!r}.")


PRESETS: Mapping[str, SceneSpec] = MappingProxyType(
    {
        "plain": SceneSpec(),
        "scaled": SceneSpec(name="scaled", digit_px=(14, 42), box_fit="ink"),
        "cluttered": SceneSpec(
            name="cluttered", digit_px=(14, 42), box_fit="ink", rotation_deg=15, clutter=6
        ),
        "hard": SceneSpec(
            name="hard", digit_px=(14, 42), box_fit="ink", rotation_deg=30, background="mixed",
            contrast_percent=(40, 100), clutter=8, occlusion_percent=30,
        ),
    }
)  # fmt: skip
"""From easy to hard: each keeps what makes the one before it hard, and adds to it."""

PLAIN = PRESETS["plain"]
