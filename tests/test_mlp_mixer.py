"""MLP-Mixers: their formula, their sizes, and that they know where a patch stands."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm as normal

from architectures import registry
from architectures.mlp_mixer import mixer_block, mixer_l, mixer_m, mixer_s
from harness.errors import UsageError

SCENE = (75, 75, 1)

# Float32 sums of some hundred products against float64 ones.
TOLERANCE = 1e-4

Array = NDArray[np.float64]


# c channels, p patches of k x k pixels with one channel, b blocks:
#   patches k k c + c, norm 2c at the end, and in each block norms 2 x 2c,
#   between tokens (p c/2 + c/2) + (p c/2 + p), between channels (4cc + 4c) + (4cc + c).
#   mixer-s  c  64, k 10, p  64, b 3:   6,464 + 3 x (  256 +   4,192 +    33,088) +   128
#   mixer-m  c 128, k  5, p 225, b 6:   3,328 + 6 x (  512 +  29,089 +   131,712) +   256
#   mixer-l  c 512, k  5, p 225, b 8:  13,312 + 8 x (2,048 + 115,681 + 2,099,712) + 1,024
@pytest.mark.parametrize(
    ("function", "parameters", "shape"),
    [
        (mixer_s, 119_200, (8, 8, 64)),
        (mixer_m, 971_462, (15, 15, 128)),
        (mixer_l, 17_753_864, (15, 15, 512)),
    ],
)
def test_parameters_by_hand(
    function: Callable[..., keras.Model], parameters: int, shape: tuple[int, ...]
) -> None:
    model = function(SCENE)
    assert model.count_params() == parameters
    assert model.output.shape[1:] == shape


def test_multiply_adds_of_mixer_s_by_hand() -> None:
    # A weight is used once for each of the other axis: of the first network for each of 64
    # channels, 64 x 64 x 32 x 2 = 262,144; of the second for each of 64 tokens,
    # 64 x 64 x 256 x 2 = 2,097,152.
    model = mixer_s(SCENE)
    done = 0
    for part in ("token_mlp_1", "token_mlp_2", "channel_mlp_1", "channel_mlp_2"):
        layer = model.get_layer(f"block_2_{part}")
        done += layer.kernel.shape[0] * layer.kernel.shape[1] * layer.output.shape[1]
    assert done == 2_359_296


def normalised(x: Array, gamma: Array, beta: Array) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + 1e-6) + beta


def mlp(x: Array, first: list[Array], second: list[Array]) -> Array:
    hidden = x @ first[0] + first[1]
    return hidden * normal.cdf(hidden) @ second[0] + second[1]


def test_a_block_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, mixer_block(inputs, name="b"))
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    w = {one.name: [v.astype(float) for v in one.get_weights()] for one in model.layers}
    assert w["b_token_mlp_1"][0].shape == (5, 3)
    assert w["b_channel_mlp_1"][0].shape == (6, 24)
    x = rng.normal(size=(2, 5, 6))
    y = x.copy()
    for image, seen in enumerate(normalised(x, *w["b_norm_1"])):
        for channel in range(6):
            y[image, :, channel] += mlp(seen[:, channel], w["b_token_mlp_1"], w["b_token_mlp_2"])
    z = y + mlp(normalised(y, *w["b_norm_2"]), w["b_channel_mlp_1"], w["b_channel_mlp_2"])
    assert np.asarray(model(x)) == pytest.approx(z, rel=TOLERANCE, abs=TOLERANCE)


def test_it_knows_where_a_patch_stands() -> None:
    # To a network without places, the same patches in another order are the same tokens in
    # another order.
    a, b, c, d = np.random.default_rng(0).random((4, 10, 10))
    images = np.stack([np.block([[a, b], [c, d]]), np.block([[d, a], [b, c]])])
    keras.utils.set_random_seed(0)
    tokens, moved = np.asarray(mixer_s((20, 20, 1))(images[..., np.newaxis])).reshape(2, 4, 64)
    assert np.abs(moved - tokens[[3, 0, 1, 2]]).max() * 32 > 0.1


def test_width_scales_both_networks() -> None:
    model = mixer_s(SCENE, width=0.5)
    assert model.output.shape[1:] == (8, 8, 32)
    assert model.get_layer("block_1_token_mlp_1").units == 16
    assert model.get_layer("block_1_channel_mlp_1").units == 128
    # Odd numbers of channels are rounded: 64 x 0.4 = 25.6.
    assert mixer_s(SCENE, width=0.4).output.shape[-1] == 26


def test_depth_adds_blocks() -> None:
    assert mixer_s(SCENE, depth=5).count_params() == 119_200 + 2 * 37_536


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": 0.0}, {"width": -1.0}])
def test_no_blocks_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("mixer-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (4, 6, 64)), ((1, 1, 1), (1, 1, 64))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    assert mixer_s(shape).output.shape[1:] == expected
