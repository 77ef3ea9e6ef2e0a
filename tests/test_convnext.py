"""ConvNeXt-style networks: their formula, their sizes, what width and depth change."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from conv_oracle import TOLERANCE, Array, block, conv, counted, depthwise, documented
from scipy.special import erf

from architectures import registry
from architectures.convnext import ChannelScale, convnext_block, convnext_l, convnext_m, convnext_s
from harness.errors import UsageError

SCENE = (75, 75, 1)


def stage_parameters(channels: int, depth: int, before: int = 0) -> int:
    """Return norm and 2x2 convolution of a stage that halves, and its blocks.

    A block of c channels: depthwise 49c + c, norm 2c, 4cc + 4c, 4cc + c, scale c: 8cc + 58c.
    """
    halving = 2 * before + 4 * before * channels + channels if before else 0
    return halving + depth * (8 * channels**2 + 58 * channels)


# "Same" padding divides and rounds up: 75 -/4-> 19 -/2-> 10 -/2-> 5.
#   stem      16 x 1 x 16 + 16                                   =    272
#   stage 1   8 x 16 x 16 + 58 x 16                              =  2,976
#   stage 2   32 + 4 x 16 x 32 + 32, 8 x 32 x 32 + 58 x 32       = 12,160
#   stage 3   64 + 4 x 32 x 64 + 64, 8 x 64 x 64 + 58 x 64       = 44,800
#   norm      2 x 64                                             =    128
# Multiply-adds, without biases: 256 x 361, (49 x 16 + 8 x 16 x 16) x 361 = 2,832 x 361,
#   (2,048 + 49 x 32 + 8,192) x 100 = 11,808 x 100, (8,192 + 49 x 64 + 32,768) x 25 = 44,096 x 25
SMALL = [
    ("19x19x16", 272, 92_416),
    ("19x19x16", 2_976, 1_022_352),
    ("10x10x32", 12_160, 1_180_800),
    ("5x5x64", 44_800, 1_102_400),
    ("5x5x64", 128, 0),
    ("5x5x64", 0, 0),
]


def test_layers_of_convnext_s_by_hand() -> None:
    model = convnext_s(SCENE)
    assert counted(model) == SMALL
    assert documented(convnext_s) == SMALL
    assert model.count_params() == 60_336


# Stems: 16 x 32 + 32 = 544 and 4 x 64 + 64 = 320; last norms 256 and 1,024.
@pytest.mark.parametrize(
    ("function", "stem", "channels", "depth", "last"),
    [(convnext_m, 544, (32, 64, 128), 2, 256), (convnext_l, 320, (64, 128, 256, 512), 3, 1_024)],
)
def test_parameters_of_the_larger_ones_by_the_formula(
    function: Callable[..., keras.Model],
    stem: int,
    channels: tuple[int, ...],
    depth: int,
    last: int,
) -> None:
    before = (0, *channels[:-1])
    stages = [stage_parameters(c, depth, b) for b, c in zip(before, channels, strict=True)]
    rows = counted(function(SCENE))
    assert [row[1] for row in rows] == [stem, *stages, last, 0]
    assert rows == documented(function)


def layer_norm(x: Array, weights: list[Array]) -> Array:
    gamma, beta = weights
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + 1e-6) + beta


def test_a_block_is_its_formula() -> None:
    w, x, y = block((5, 9, 3), lambda x: convnext_block(x, name="b"))
    kernel, bias = w["b_depthwise"]
    u = layer_norm(depthwise(x, kernel) + bias, w["b_norm"])
    u = conv(u, w["b_expand"][0]) + w["b_expand"][1]
    u = u * (1 + erf(u / np.sqrt(2))) / 2
    u = conv(u, w["b_project"][0]) + w["b_project"][1]
    assert y == pytest.approx(x + w["b_scale"][0] * u, rel=TOLERANCE, abs=TOLERANCE)


def test_channel_scale_starts_where_it_is_told_and_is_trained() -> None:
    layer = ChannelScale(0.25)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    assert np.asarray(layer(x)) == pytest.approx(x / 4)
    layer.gamma.assign([1, 2, 3, 4])
    assert np.asarray(layer(x)) == pytest.approx(x * [1, 2, 3, 4])
    assert len(layer.trainable_weights) == 1
    assert ChannelScale.from_config(layer.get_config()).start == 0.25


def test_no_pixel_is_lost_at_the_edges() -> None:
    # 75 is no multiple of 4: without filling up, the last three rows and columns are never seen.
    model = convnext_s(SCENE)
    images = np.zeros((2, *SCENE), np.float32)
    images[1, 74, 74] = 1
    blank, corner = np.asarray(model(images))
    assert not np.allclose(blank, corner)


def test_width_scales_every_channel() -> None:
    rows = counted(convnext_s(SCENE, width=0.5))
    assert [shape for shape, _, _ in rows] == [
        "19x19x8", "19x19x8", "10x10x16", "5x5x32", "5x5x32", "5x5x32",
    ]  # fmt: skip
    expected = [stage_parameters(8, 1), stage_parameters(16, 1, 8), stage_parameters(32, 1, 16)]
    assert [row[1] for row in rows[1:4]] == expected


def test_depth_adds_blocks_to_each_stage() -> None:
    shallow, deep = (counted(convnext_s(SCENE, depth=depth)) for depth in (1, 3))
    assert [row[0] for row in deep] == [row[0] for row in shallow]
    added = [d[1] - s[1] for d, s in zip(deep, shallow, strict=True)]
    assert added == [0, *(2 * (8 * c * c + 58 * c) for c in (16, 32, 64)), 0, 0]


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": 0.0}])
def test_no_blocks_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("convnext-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (3, 4, 64)), ((1, 1, 1), (1, 1, 64))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    # 40 -> 10 -> 5 -> 3 and 56 -> 14 -> 7 -> 4.
    assert convnext_s(shape).output.shape[1:] == expected
