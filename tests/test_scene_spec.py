"""Presets of scenes: what they are, what is refused, and what tells two of them apart."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest

from harness.errors import UsageError
from harness.record import DataIdentity
from harness.scene_spec import PLAIN, PRESETS, SCENE_VERSION, SceneSpec, scene_spec, span_text


def test_the_digests_of_presets_never_change() -> None:
    # A preset that shall be another gets another version, for all of its scenes are others.
    assert SCENE_VERSION == 1
    assert {name: spec.digest() for name, spec in PRESETS.items()} == {
        "plain": "2f52e15d4997293e",
        "scaled": "80426b8a650c3187",
        "cluttered": "235aef4aa4db6b46",
        "hard": "5d6c263b021804c0",
    }


def test_each_preset_is_as_hard_as_the_one_before_in_every_factor() -> None:
    def amounts(spec: SceneSpec) -> list[float]:
        low, high = spec.digit_px
        pale = 100 - spec.contrast_percent[0]
        return [high - low, spec.rotation_deg, pale, spec.clutter, spec.occlusion_percent]

    specs = [PRESETS[name] for name in ("plain", "scaled", "cluttered", "hard")]
    for easy, hard in itertools.pairwise(specs):
        assert all(a <= b for a, b in zip(amounts(easy), amounts(hard), strict=True))
        assert amounts(easy) != amounts(hard)


def test_a_record_without_a_scene_had_plain_ones() -> None:
    old = DataIdentity(
        source="digits", digest="d", data_seed=0, image_px=75, classes=10, n_train=1,
        n_validation=1,
    )  # fmt: skip
    assert (old.scene, old.scene_version, old.scene_digest) == ("plain", 1, PLAIN.digest())


def test_overrides_change_what_the_preset_says_and_nothing_else() -> None:
    spec = scene_spec("hard", {"digit_px": "20", "contrast": "0.29..0.5", "occlusion": 0.07,
                               "clutter": None})  # fmt: skip
    changed = {"digit_px": (20, 20), "contrast_percent": (29, 50), "occlusion_percent": 7}
    assert spec == dataclasses.replace(PRESETS["hard"], **changed)
    assert spec.words() == "hard, digit_px=20, contrast=0.29..0.5, occlusion=0.07"
    assert scene_spec("hard", {"clutter": 8}).words() == "hard"


def test_equal_factors_have_one_digest_whatever_they_began_with() -> None:
    same = scene_spec("scaled", {"digit_px": "28", "box_fit": "patch"})
    assert same.digest() == PLAIN.digest()
    factors = {"digit_px": "27..28", "box_fit": "ink", "rotation_deg": 1, "background": "noise",
               "contrast": "0.99", "clutter": 1, "occlusion": 0.01, "canvas_px": 76}  # fmt: skip
    digests = {scene_spec("plain", {name: value}).digest() for name, value in factors.items()}
    assert len(digests | {PLAIN.digest()}) == len(factors) + 1


@pytest.mark.parametrize(
    ("typed", "text"),
    [("28", "28"), ("28.0", "28"), ("14..42", "14..42"), (" 0.30 .. 1.0 ", "0.3..1"),
     ("7..7", "7"), ("-3", "-3"), ("1..", "1.."), ("nan", "nan"), ("", "")],
)  # fmt: skip
def test_ranges_are_written_in_one_way(typed: str, text: str) -> None:
    assert span_text(typed) == text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"digit_px": "42..14"}, ("`digit_px` must be within 8 and 256, the lower end first, got "
                                 "42..14")),
        ({"digit_px": "7"}, "got 7"),
        ({"digit_px": "14.5"}, "`digit_px` must be whole, got 14.5"),
        ({"digit_px": "nan"}, "such as 28 or 14..42, got 'nan'"),
        ({"digit_px": "14...42"}, "got '14...42'"),
        ({"digit_px": 28}, "`digit_px` must be a number or a range of two"),
        ({"contrast": "0"}, "`contrast` must be within 0.01 and 1"),
        ({"contrast": "0.3..1.01"}, "got 0.3..1.01"),
        ({"contrast": "0.123"}, "`contrast` must be a multiple of 0.01, got 0.123"),
        ({"contrast": "0.30..1"}, "must be written in one way only, got '0.30..1'. Write 0.3..1"),
        ({"occlusion": 0.125}, "`occlusion` must be a multiple of 0.01, got 0.125"),
        ({"occlusion": math.nan}, "`occlusion` must be a number, got nan"),
        ({"occlusion": 0.91}, "from 0 to 90, got 91"),
        ({"rotation_deg": 181}, "from 0 to 180, got 181"),
        ({"rotation_deg": math.nan}, "from 0 to 180, got nan"),
        ({"clutter": True}, "from 0 to 32, got True"),
        ({"box_fit": "inc"}, "`box_fit` must be one of patch, ink, got 'inc'"),
        ({"background": "grey"}, "must be one of black, noise"),
        ({"digit_px": "28", "canvas_px": 16}, "from 32 to 512, got 16"),
        # 54 sqrt(2) = 76.4
        ({"digit_px": "54", "rotation_deg": 90},
         ("The largest digit must fit the canvas of 75 px, but one of 54 px turned by up to 90 "
         "degrees needs 77. Use smaller digits or a larger `canvas_px`.")),
    ],
)  # fmt: skip
def test_words_of_refusal(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        scene_spec("plain", overrides)
    assert words in str(caught.value)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"got 'scalled'\. Did you mean 'scaled'\?"):
        scene_spec("scalled", {})
