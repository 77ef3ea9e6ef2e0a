"""Patch CNNs: their formula, their sizes, what width and depth change."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from conv_oracle import TOLERANCE, Array, batch_norm, conv, counted, documented, relu

from architectures import registry
from architectures.patch_cnn import patch_l, patch_m, patch_s
from harness.errors import UsageError

SCENE = (75, 75, 1)

# "Same" padding divides and rounds up: 75 -/5-> 15 -/2-> 8.
#   stem      5 x 5 x  1 x 32 + 4 x 32 =    928    800 weights at 15 x 15 places    180,000
#   stage 1   3 x 3 x 32 x 32 + 4 x 32 =  9,344  9,216                             2,073,600
#   down      3 x 3 x 32 x 64 + 4 x 64 = 18,688 18,432 weights at  8 x  8 places  1,179,648
#   stage 2   3 x 3 x 64 x 64 + 4 x 64 = 37,120 36,864                             2,359,296
SMALL = [
    ("15x15x32", 928, 180_000),
    ("15x15x32", 9_344, 2_073_600),
    ("8x8x64", 18_688, 1_179_648),
    ("8x8x64", 37_120, 2_359_296),
    ("8x8x64", 0, 0),
]


def test_layers_of_patch_s_by_hand() -> None:
    model = patch_s(SCENE)
    assert counted(model) == SMALL
    assert documented(patch_s) == SMALL
    assert model.count_params() == 66_080


def test_it_does_less_arithmetic_than_the_network_it_is_to_beat() -> None:
    # notebook-cnn: 767,376 + 5,326,848 + 4,147,200 + 401,408.
    of_notebook = sum(row[2] for row in counted(registry.get("notebook-cnn")(SCENE)))
    assert of_notebook == 10_642_832
    assert sum(row[2] for row in counted(patch_s(SCENE))) == 5_792_544


# From a to b channels, a convolution with its norm has 9ab + 4b.
#   patch-m   25 x  64 + 4 x  64 =  1,856, 3 x ( 36,864 +   256), 73,728 + 512,
#             3 x (147,456 + 512)
#   patch-l   25 x 128 + 4 x 128 =  3,712, 4 x (147,456 +   512), 294,912 + 1,024,
#             4 x (589,824 + 1,024), 1,179,648 + 2,048, 4 x (2,359,296 + 2,048)
@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (patch_m, 1_856 + 111_360 + 74_240 + 443_904),
        (patch_l, 3_712 + 591_872 + 295_936 + 2_363_392 + 1_181_696 + 9_445_376),
    ],
)
def test_parameters_of_the_larger_ones_by_hand(
    function: Callable[..., keras.Model], parameters: int
) -> None:
    model = function(SCENE)
    assert model.count_params() == parameters
    assert counted(model) == documented(function)


def test_the_network_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    model = patch_s((12, 21, 3), width=1 / 16)
    for weight in model.weights:
        low = 0.1 if "variance" in weight.name else -1
        weight.assign(rng.uniform(low, 1, weight.shape))
    w = {one.name: [v.astype(float) for v in one.get_weights()] for one in model.layers}

    def layer(x: Array, name: str, stride: int) -> Array:
        return relu(batch_norm(conv(x, w[name][0], stride), w[f"{name}_norm"]))

    images = rng.random((2, 12, 21, 3))
    y = np.asarray(model(images, training=False))
    x = layer(images, "stem", 5)
    assert x.shape == (2, 3, 5, 2)
    x = x + layer(x, "stage_1_conv_1", 1)
    x = layer(x, "down_1", 2)
    x = x + layer(x, "stage_2_conv_1", 1)
    assert y == pytest.approx(x / 32, rel=TOLERANCE, abs=TOLERANCE)
    assert y.any()


def test_width_scales_every_channel() -> None:
    # stem 25 x 16 + 64, stage 1: 9 x 256 + 64, down 9 x 512 + 128, stage 2: 9 x 1,024 + 128.
    rows = counted(patch_s(SCENE, width=0.5))
    assert [row[0] for row in rows] == ["15x15x16", "15x15x16", "8x8x32", "8x8x32", "8x8x32"]
    assert [row[1] for row in rows] == [464, 2_368, 4_736, 9_344, 0]


def test_depth_adds_convolutions_to_each_stage() -> None:
    rows = counted(patch_s(SCENE, depth=3))
    assert [row[1] for row in rows] == [928, 3 * 9_344, 18_688, 3 * 37_120, 0]


@pytest.mark.parametrize("options", [{"depth": 0}, {"depth": -1}, {"width": 0.0}])
def test_no_blocks_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("patch-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (4, 6, 64)), ((1, 1, 1), (1, 1, 64))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    # 40 -> 8 -> 4 and 56 -> 12 -> 6.
    assert patch_s(shape).output.shape[1:] == expected


def test_a_digit_in_the_last_incomplete_patch_is_seen() -> None:
    # 12 pixels are padded to 15 by 1 before and 2 behind: the last pixel lies in the third patch.
    images = np.zeros((2, 12, 12, 1), np.float32)
    images[1, 11, 11] = 1
    blank, marked = np.asarray(patch_s((12, 12, 1))(images))
    assert not np.array_equal(blank, marked)
