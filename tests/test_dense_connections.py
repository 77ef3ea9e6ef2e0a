"""Densely connected networks: their formula, their sizes, what width and depth change."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from conv_oracle import TOLERANCE, batch_norm, block, conv, counted, documented, relu

from architectures import registry
from architectures.dense_connections import (
    dense_layer,
    densenet_l,
    densenet_m,
    densenet_s,
    transition,
)
from harness.errors import UsageError

SCENE = (75, 75, 1)

# "Same" padding divides and rounds up: 75 -/4-> 19 -/2-> 10 -/2-> 5. A norm of c channels has 4c.
#   stem          7 x 7 x 32                                                  =  1,568
#   block 1       128 + 9 x 32 x 16 = 4,736 and 192 + 9 x 48 x 16 = 7,104     = 11,840
#   transition 1  256 + 64 x 32                                               =  2,304
#   blocks 2, 3 and transition 2 the same again, as 64 channels become 32; norm 4 x 64 = 256
# Multiply-adds: 1,568 x 361; (4,608 + 6,912) = 11,520 at 361, 100 and 25 places; transitions
#   2,048 x 361 and 2,048 x 100, as they convolve before they pool.
SMALL = [
    ("19x19x32", 1_568, 566_048),
    ("19x19x64", 11_840, 4_158_720),
    ("10x10x32", 2_304, 739_328),
    ("10x10x64", 11_840, 1_152_000),
    ("5x5x32", 2_304, 204_800),
    ("5x5x64", 11_840, 288_000),
    ("5x5x64", 256, 0),
    ("5x5x64", 0, 0),
]


def test_layers_of_densenet_s_by_hand() -> None:
    model = densenet_s(SCENE)
    assert counted(model) == SMALL
    assert documented(densenet_s) == SMALL
    assert model.count_params() == 41_952


def larger(stem: int, blocks: int, growth: int, depth: int) -> list[int]:
    """Return the parameters of each part of a network with bottlenecks.

    A layer that sees c channels: norm 4c, 4 c k, norm 16k, 9 x 4k x k.
    """
    parts, c = [stem], 2 * growth
    for _ in range(blocks):
        seen = range(c, c + depth * growth, growth)
        parts.append(sum(4 * s + 4 * s * growth + 16 * growth + 36 * growth**2 for s in seen))
        c += depth * growth
        parts.append(4 * c + c * (c // 2))
        c //= 2
    # A norm where another transition would be, and the division.
    return [*parts[:-1], 4 * 2 * c, 0]


@pytest.mark.parametrize(
    ("function", "parameters"),
    [(densenet_m, larger(1_568, 3, 16, 6)), (densenet_l, larger(576, 4, 32, 8))],
)
def test_parameters_of_the_larger_ones_by_the_formula(
    function: Callable[..., keras.Model], parameters: list[int]
) -> None:
    rows = counted(function(SCENE))
    assert [row[1] for row in rows] == parameters
    assert rows == documented(function)


def test_a_layer_is_its_formula() -> None:
    w, x, y = block((4, 5, 3), lambda x: dense_layer(x, 2, name="d", bottleneck=False))
    added = conv(relu(batch_norm(x, w["d_norm"])), w["d_conv"][0])
    assert y == pytest.approx(np.concatenate([x, added], -1), rel=TOLERANCE, abs=TOLERANCE)


def test_a_layer_with_a_bottleneck_is_its_formula() -> None:
    w, x, y = block((4, 5, 3), lambda x: dense_layer(x, 2, name="d", bottleneck=True))
    narrow = conv(relu(batch_norm(x, w["d_narrow_norm"])), w["d_narrow_conv"][0])
    added = conv(relu(batch_norm(narrow, w["d_norm"])), w["d_conv"][0])
    assert narrow.shape[-1] == 4 * 2
    assert y == pytest.approx(np.concatenate([x, added], -1), rel=TOLERANCE, abs=TOLERANCE)


def test_a_transition_is_its_formula_and_averages_what_exists() -> None:
    w, x, y = block((3, 4, 5), lambda x: transition(x, name="t"))
    u = conv(relu(batch_norm(x, w["t_norm"])), w["t_conv"][0])
    expected = np.empty((2, 2, 2, 2))
    for i in range(2):
        for j in range(2):
            expected[:, i, j] = u[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2))
    assert y == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


def test_a_block_hands_on_all_that_entered_it() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype(np.float32)
    inputs = keras.Input(x.shape[1:])
    y = dense_layer(inputs, 2, name="a", bottleneck=False)
    y = dense_layer(y, 2, name="b", bottleneck=False)
    output = np.asarray(keras.Model(inputs, y)(x))
    assert output.shape[-1] == 6 + 2 + 2
    assert np.array_equal(output[..., :6], x)


def test_width_scales_the_growth() -> None:
    # Growth 8: 16 and twice 8 are 32, half of it 16, and so on.
    assert [shape for shape, _, _ in counted(densenet_s(SCENE, width=0.5))] == [
        "19x19x16", "19x19x32", "10x10x16", "10x10x32", "5x5x16", "5x5x32", "5x5x32", "5x5x32",
    ]  # fmt: skip


def test_depth_adds_layers_to_each_block() -> None:
    # 32 + 3 x 16 = 80 -> 40 + 48 = 88 -> 44 + 48 = 92.
    assert [shape for shape, _, _ in counted(densenet_s(SCENE, depth=3))] == [
        "19x19x32", "19x19x80", "10x10x40", "10x10x88", "5x5x44", "5x5x92", "5x5x92", "5x5x92",
    ]  # fmt: skip


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": 0.0}])
def test_no_layers_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("densenet-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (3, 4, 64)), ((1, 1, 1), (1, 1, 64))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    # 40 -> 10 -> 5 -> 3 and 56 -> 14 -> 7 -> 4.
    assert densenet_s(shape).output.shape[1:] == expected
