"""Inverted residual networks: their formula, their sizes, what width and depth change."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from conv_oracle import TOLERANCE, Array, batch_norm, block, conv, counted, depthwise, documented

from architectures import registry
from architectures.inverted_residual import (
    Stage,
    inverted_block,
    mobile_l,
    mobile_m,
    mobile_s,
    squeeze_excite,
)
from harness.errors import UsageError

SCENE = (75, 75, 1)

# "Same" padding halves and rounds up: 75 -> 38 -> 19 -> 10 -> 5. A norm of c channels has 4c.
#   stem      9 x 1 x 16 + 64                                        =    208
#   stage 1   depthwise 9 x 16 + 64, project 16 x 16 + 64            =    528
#   stage 2   inside 4 x 16 = 64: expand 16 x 64 + 256, depthwise 9 x 64 + 256,
#             project 64 x 24 + 96                                   =  3,744
#   stage 3   inside 4 x 24 = 96: expand 24 x 96 + 384, depthwise 25 x 96 + 384, squeeze to 24:
#             96 x 24 + 24 + 24 x 96 + 96, project 96 x 48 + 192     = 15,000
#   last      48 x 96 + 384                                          =  4,992
# Multiply-adds: the weights of each convolution at each place of its result. What expands works
# before the stride, what squeezes at one place:
#   stem      144 x 38 x 38                                          = 207,936
#   stage 1   (144 + 256) x 361                                      = 144,400
#   stage 2   1,024 x 361 + (576 + 1,536) x 100                      = 580,864
#   stage 3   2,304 x 100 + (2,400 + 4,608) x 25 + 2 x 2,304         = 410,208
#   last      4,608 x 25                                             = 115,200
SMALL = [
    ("38x38x16", 208, 207_936),
    ("19x19x16", 528, 144_400),
    ("10x10x24", 3_744, 580_864),
    ("5x5x48", 15_000, 410_208),
    ("5x5x96", 4_992, 115_200),
    ("5x5x96", 0, 0),
]


def test_layers_of_mobile_s_by_hand() -> None:
    model = mobile_s(SCENE)
    assert counted(model) == SMALL
    assert documented(mobile_s) == SMALL
    assert model.count_params() == 24_472


# A block from a to b channels, t a = i inside, kernel k: ai + 4i + kki + 4i + ib + 4b, and
# i(i/4) + i/4 + (i/4)i + i with squeezing. mobile-m:
#   stem 208
#   1   16 -> 24, i = 48: 768 + 192 + 432 + 192 + 1,152 + 96 = 2,832
#       24 -> 24, i = 72: 1,728 + 288 + 648 + 288 + 1,728 + 96 = 4,776
#   2   24 -> 40, i = 96, k = 5: 2,304 + 384 + 2,400 + 384 + 3,840 + 160 = 9,472, squeeze 4,728
#       40 -> 40, i = 160: 6,400 + 640 + 4,000 + 640 + 6,400 + 160 = 18,240, squeeze 13,000
#   3   40 -> 80, i = 240: 9,600 + 960 + 6,000 + 960 + 19,200 + 320 = 37,040, squeeze 29,100
#       80 -> 80, i = 480: 38,400 + 1,920 + 12,000 + 1,920 + 38,400 + 320 = 92,960,
#       squeeze 115,800
#   last 80 x 128 + 512 = 10,752
MEDIUM = [208, 2_832 + 4_776, 9_472 + 4_728 + 18_240 + 13_000, 37_040 + 29_100 + 92_960 + 115_800,
          10_752, 0]  # fmt: skip


def test_parameters_of_mobile_m_by_hand() -> None:
    assert [row[1] for row in counted(mobile_m(SCENE))] == MEDIUM


@pytest.mark.parametrize("function", [mobile_m, mobile_l])
def test_tables_of_the_larger_ones_are_true(function: Callable[..., keras.Model]) -> None:
    assert counted(function(SCENE)) == documented(function)


def hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3, 0, 6) / 6


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "hard_silu": lambda x: x * hard_sigmoid(x),
}


@pytest.mark.parametrize(
    ("stage", "channels", "stride"),
    [
        (Stage(channels=3, expansion=2), 3, 1),
        (Stage(channels=5, expansion=3, kernel=5, activation="relu"), 5, 2),
        (Stage(channels=3, expansion=1, squeeze=True), 3, 1),
        (Stage(channels=3, expansion=4, squeeze=True), 3, 2),
    ],
)
def test_a_block_is_its_formula(stage: Stage, channels: int, stride: int) -> None:
    w, x, y = block((5, 6, 3), lambda x: inverted_block(x, stage, channels, stride, name="b"))
    act = ACTIVATIONS[stage.activation]
    v = x
    if stage.expansion > 1:
        v = act(batch_norm(conv(v, w["b_expand"][0]), w["b_expand_norm"]))
    v = act(batch_norm(depthwise(v, w["b_depthwise"][0], stride), w["b_depthwise_norm"]))
    if stage.squeeze:
        v = squeezed(v, w, "b_squeeze")
    v = batch_norm(conv(v, w["b_project"][0]), w["b_project_norm"])
    expected = x + v if stride == 1 and channels == 3 else v
    assert y == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


def squeezed(x: Array, w: dict[str, list[Array]], name: str) -> Array:
    (reduce, bias), (weigh, offset) = w[f"{name}_reduce"], w[f"{name}_weigh"]
    z = np.maximum(x.mean((1, 2)) @ reduce[0, 0] + bias, 0)
    return x * hard_sigmoid(z @ weigh[0, 0] + offset)[:, None, None, :]


def test_squeeze_and_excitation_is_its_formula() -> None:
    w, x, y = block((3, 4, 8), lambda x: squeeze_excite(x, name="s"))
    assert y == pytest.approx(squeezed(x, w, "s"), rel=TOLERANCE, abs=TOLERANCE)
    assert w["s_reduce"][0].shape == (1, 1, 8, 2)


def test_only_blocks_that_keep_their_shape_have_a_sum() -> None:
    sums = [layer.name for layer in mobile_s(SCENE, depth=2).layers if "sum" in layer.name]
    assert sums == [f"stage_{stage}_block_2_sum" for stage in (1, 2, 3)]


def test_width_scales_every_channel() -> None:
    assert [shape for shape, _, _ in counted(mobile_s(SCENE, width=2.0))] == [
        "38x38x32", "19x19x32", "10x10x48", "5x5x96", "5x5x192", "5x5x192",
    ]  # fmt: skip


def test_depth_adds_blocks_to_each_stage() -> None:
    shallow, deep = (counted(mobile_s(SCENE, depth=depth)) for depth in (1, 2))
    assert [row[0] for row in deep] == [row[0] for row in shallow]
    # By the formula above for 16, 24 and 48 channels (i = 16 without expansion, 96, 192):
    #   144 + 64 + 256 + 64 = 528
    #   2,304 + 384 + 864 + 384 + 2,304 + 96 = 6,336
    #   9,216 + 768 + 4,800 + 768 + 9,216 + 192 = 24,960, squeeze 9,216 + 48 + 9,216 + 192 = 18,672
    added = [d[1] - s[1] for d, s in zip(deep, shallow, strict=True)]
    assert added == [0, 528, 6_336, 24_960 + 18_672, 0, 0]


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": -1.0}])
def test_no_blocks_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("mobile-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (3, 4, 96)), ((1, 1, 1), (1, 1, 96))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    # 40 -> 20 -> 10 -> 5 -> 3 and 56 -> 28 -> 14 -> 7 -> 4.
    assert mobile_s(shape).output.shape[1:] == expected


def test_the_map_is_bounded_below_by_hard_swish() -> None:
    # x (x + 3) / 6 is least at x = -3/2: -3/8.
    model = mobile_s(SCENE)
    norm = model.get_layer("last_norm")
    norm.gamma.assign(np.full(96, 3.0))
    features = np.asarray(model(np.random.default_rng(0).random((4, *SCENE), np.float32),
                                training=True))  # fmt: skip
    assert -0.3751 < 32 * features.min() < -0.3
