"""Pre-activation residual networks: their formula, their sizes, what width and depth change."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from conv_oracle import TOLERANCE, batch_norm, block, conv, counted, documented, relu

from architectures import registry
from architectures.residual import residual_block, residual_l, residual_m, residual_s
from harness.errors import UsageError

SCENE = (75, 75, 1)

# "Same" padding divides and rounds up: 75 -/4-> 19 -/2-> 10 -/2-> 5.
# A block from a to b channels: norm 4a, conv 9ab, norm 4b, conv 9bb, and ab for a shortcut.
#   stem      7 x 7 x 1 x 16                                 =    784
#   stage 1   64 + 9x16x16 + 64 + 9x16x16                    =  4,736   of these conv   4,608
#   stage 2   64 + 9x16x32 + 128 + 9x32x32 + 16x32           = 14,528                  14,336
#   stage 3   128 + 9x32x64 + 256 + 9x64x64 + 32x64          = 57,728                  57,344
#   norm      4 x 64                                         =    256
# Multiply-adds: the weights of the convolutions at each place of their result,
#   784 x 361 = 283,024   4,608 x 361 = 1,663,488   14,336 x 100 = 1,433,600   57,344 x 25 = same
SMALL = [
    ("19x19x16", 784, 283_024),
    ("19x19x16", 4_736, 1_663_488),
    ("10x10x32", 14_528, 1_433_600),
    ("5x5x64", 57_728, 1_433_600),
    ("5x5x64", 256, 0),
    ("5x5x64", 0, 0),
]


def test_layers_of_residual_s_by_hand() -> None:
    model = residual_s(SCENE)
    assert counted(model) == SMALL
    assert model.count_params() == 78_032


# A second block of b channels has 2 x (4b + 9bb). residual-m, stem 7 x 7 x 32 = 1,568:
#   1   4 x (128 + 9,216) = 37,376        2   128 + 18,432 + 256 + 36,864 + 2,048 = 57,728,
#   and 2 x (256 + 36,864) = 74,240       3   256 + 73,728 + 512 + 147,456 + 8,192 = 230,144,
#   and 2 x (512 + 147,456) = 295,936     norm 512
# residual-l, stem 3 x 3 x 64 = 576: two blocks of stage 2 of m without the shortcut's change,
#   1   4 x (256 + 36,864) = 148,480      2   230,144 + 295,936 = 526,080
#   3   512 + 294,912 + 1,024 + 589,824 + 32,768 = 919,040 and 2 x (1,024 + 589,824) = 1,181,696
#   4   1,024 + 1,179,648 + 2,048 + 2,359,296 + 131,072 = 3,673,088 and 2 x (2,048 + 2,359,296)
#       = 4,722,688                       norm 2,048
@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (residual_m, 1_568 + 37_376 + 57_728 + 74_240 + 230_144 + 295_936 + 512),
        (
            residual_l,
            576 + 148_480 + 526_080 + 919_040 + 1_181_696 + 3_673_088 + 4_722_688 + 2_048,
        ),
    ],
)
def test_parameters_of_the_larger_ones_by_hand(
    function: Callable[..., keras.Model], parameters: int
) -> None:
    model = function(SCENE)
    assert model.count_params() == parameters
    assert counted(model) == documented(function)


def test_the_table_of_residual_s_is_true() -> None:
    assert documented(residual_s) == SMALL


def test_a_block_that_keeps_the_shape_is_its_formula() -> None:
    w, x, y = block((5, 6, 3), lambda x: residual_block(x, 3, 1, name="b"))
    inner = conv(relu(batch_norm(x, w["b_1_norm"])), w["b_conv_1"][0])
    expected = x + conv(relu(batch_norm(inner, w["b_2_norm"])), w["b_conv_2"][0])
    assert y == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    assert "b_shortcut" not in w


@pytest.mark.parametrize(("channels", "stride"), [(4, 2), (3, 2), (4, 1)])
def test_a_block_that_changes_the_shape_is_its_formula(channels: int, stride: int) -> None:
    w, x, y = block((5, 6, 3), lambda x: residual_block(x, channels, stride, name="b"))
    active = relu(batch_norm(x, w["b_1_norm"]))
    inner = relu(batch_norm(conv(active, w["b_conv_1"][0], stride), w["b_2_norm"]))
    expected = conv(active, w["b_shortcut"][0], stride) + conv(inner, w["b_conv_2"][0])
    assert y == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


def test_x_passes_a_block_untouched() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype(np.float32)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, residual_block(inputs, 3, 1, name="b"))
    model.get_layer("b_conv_2").set_weights([np.zeros((3, 3, 3, 3))])
    assert np.array_equal(np.asarray(model(x)), x)


def test_width_scales_every_channel() -> None:
    model = residual_s(SCENE, width=0.5)
    assert [shape for shape, _, _ in counted(model)] == [
        "19x19x8", "19x19x8", "10x10x16", "5x5x32", "5x5x32", "5x5x32",
    ]  # fmt: skip
    # stem 392, stage 1: 64 + 1,152, stage 2: 96 + 1,152 + 2,304 + 128, stage 3 the same way.
    assert [n for _, n, _ in counted(model)] == [392, 1_216, 3_680, 14_528, 128, 0]


def test_depth_adds_blocks_to_each_stage() -> None:
    # Another block of b channels: 2 x (4b + 9bb).
    more = [2 * (4 * b + 9 * b * b) for b in (16, 32, 64)]
    shallow, deep = (counted(residual_s(SCENE, depth=depth)) for depth in (1, 3))
    assert [row[0] for row in deep] == [row[0] for row in shallow]
    added = [d[1] - s[1] for d, s in zip(deep, shallow, strict=True)]
    assert added == [0, *(2 * m for m in more), 0, 0]


@pytest.mark.parametrize("options", [{"depth": 0}, {"depth": -1}, {"width": 0.0}])
def test_no_blocks_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("residual-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (3, 4, 64)), ((1, 1, 1), (1, 1, 64))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    # 40 -> 10 -> 5 -> 3 and 56 -> 14 -> 7 -> 4.
    assert residual_s(shape).output.shape[1:] == expected


def test_the_map_has_passed_a_relu() -> None:
    images = np.random.default_rng(0).random((4, *SCENE), np.float32)
    features = np.asarray(residual_s(SCENE)(images))
    assert (features >= 0).all()
    assert (features > 0).any()
