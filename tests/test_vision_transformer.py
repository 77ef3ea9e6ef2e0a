"""Vision transformers: their formula, their sizes, and that they know where a patch stands."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm as normal

from architectures import registry
from architectures.vision_transformer import (
    Place,
    transformer_block,
    vit_l,
    vit_m,
    vit_s,
)
from harness.errors import UsageError

SCENE = (75, 75, 1)

# Float32 sums of some hundred products against float64 ones.
TOLERANCE = 1e-4

Array = NDArray[np.float64]


# c channels, p patches of k x k pixels with one channel, b blocks:
#   patches k k c + c, places p c, norm 2c at the end, and in each block
#   norms 2 x 2c, attention 4 (cc + c), mlp (4cc + 4c) + (4cc + c), in all 12cc + 13c.
#   vit-s   c  48, k 10, p  64, b  3:   4,848 +  3,072 +  3 x    28,272 +  96
#   vit-m   c 128, k  5, p 225, b  6:   3,328 + 28,800 +  6 x   198,272 + 256
#   vit-l   c 384, k  5, p 225, b 12:   9,984 + 86,400 + 12 x 1,774,464 + 768
@pytest.mark.parametrize(
    ("function", "parameters", "shape"),
    [
        (vit_s, 92_832, (8, 8, 48)),
        (vit_m, 1_222_016, (15, 15, 128)),
        (vit_l, 21_390_720, (15, 15, 384)),
    ],
)
def test_parameters_by_hand(
    function: Callable[..., keras.Model], parameters: int, shape: tuple[int, ...]
) -> None:
    model = function(SCENE)
    assert model.count_params() == parameters
    assert model.output.shape[1:] == shape


def test_parts_of_vit_s_by_hand() -> None:
    model = vit_s(SCENE)
    assert model.get_layer("patches").count_params() == 4_848
    assert model.get_layer("place").count_params() == 3_072
    assert model.get_layer("last_norm").count_params() == 96
    # norms 96 + 96, attention 4 x (2,304 + 48), mlp 48 x 192 + 192 and 192 x 48 + 48.
    for number in (1, 2, 3):
        parts = [one for one in model.layers if one.name.startswith(f"block_{number}_")]
        assert sum(part.count_params() for part in parts) == 28_272


def normalised(x: Array, gamma: Array, beta: Array) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + 1e-6) + beta


def gelu(x: Array) -> Array:
    return x * normal.cdf(x)


def attention(u: Array, weights: list[Array]) -> Array:
    """Attend head by head, token by token, as the docstring's formula is written."""
    w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o = weights
    n, tokens, channels = u.shape
    _, heads, d = w_q.shape
    result = np.tile(b_o, (n, tokens, 1))
    for image in range(n):
        for head in range(heads):
            q, k, v = (
                u[image] @ w[:, head] + b[head] for w, b in ((w_q, b_q), (w_k, b_k), (w_v, b_v))
            )
            for token in range(tokens):
                agreement = np.exp(k @ q[token] / np.sqrt(d))
                result[image, token] += (agreement / agreement.sum()) @ v @ w_o[head]
    assert result.shape == (n, tokens, channels)
    return result


def test_a_block_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, transformer_block(inputs, 2, name="b"))
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    w = {one.name: [v.astype(float) for v in one.get_weights()] for one in model.layers}
    x = rng.normal(size=(2, 5, 6))
    y = x + attention(normalised(x, *w["b_norm_1"]), w["b_attention"])
    w_1, b_1 = w["b_mlp_1"]
    w_2, b_2 = w["b_mlp_2"]
    assert w_1.shape == (6, 24)
    z = y + gelu(normalised(y, *w["b_norm_2"]) @ w_1 + b_1) @ w_2 + b_2
    assert np.asarray(model(x)) == pytest.approx(z, rel=TOLERANCE, abs=TOLERANCE)


def test_each_patch_is_mapped_and_gets_its_place() -> None:
    # 25 pixels are padded to 30: 2 before and 3 behind.
    rng = np.random.default_rng(0)
    whole = vit_s((25, 20, 1), width=1 / 3)
    model = keras.Model(whole.input, whole.get_layer("place").output)
    weights, offset = rng.normal(size=(10, 10, 1, 16)), rng.normal(size=16)
    vectors = rng.normal(size=(3, 2, 16))
    model.set_weights([weights, offset, vectors])
    image = rng.random((25, 20))
    padded = np.pad(image, ((2, 3), (0, 0)))
    expected = [
        [
            np.einsum("ab,abo->o", padded[i : i + 10, j : j + 10], weights[:, :, 0]) + offset
            for j in (0, 10)
        ]
        for i in (0, 10, 20)
    ]
    came = np.asarray(model(image[np.newaxis, :, :, np.newaxis]))[0]
    assert came == pytest.approx(np.array(expected) + vectors, rel=TOLERANCE, abs=TOLERANCE)


def two_orders() -> tuple[Array, Array]:
    """Return an image of 2 x 2 patches, and the same with its patches in another order."""
    a, b, c, d = np.random.default_rng(0).random((4, 10, 10))
    first, second = np.block([[a, b], [c, d]]), np.block([[d, a], [b, c]])
    return first[np.newaxis, ..., np.newaxis], second[np.newaxis, ..., np.newaxis]


def test_moving_patches_moves_tokens_only_while_places_are_alike() -> None:
    model = vit_s((20, 20, 1))
    # Of a standard deviation of 0.02 at birth; larger, so that no tolerance hides them.
    place = model.get_layer("place")
    vectors = np.random.default_rng(1).normal(size=(2, 2, 48))
    first, second = two_orders()
    place.set_weights([np.zeros_like(vectors)])
    tokens, moved = (np.asarray(model(x))[0].reshape(4, 48) for x in (first, second))
    assert moved == pytest.approx(tokens[[3, 0, 1, 2]], rel=TOLERANCE, abs=TOLERANCE / 32)
    place.set_weights([vectors])
    tokens, moved = (np.asarray(model(x))[0].reshape(4, 48) for x in (first, second))
    assert np.abs(moved - tokens[[3, 0, 1, 2]]).max() * 32 > 0.1


def test_places_are_drawn_small_and_by_the_seed() -> None:
    drawn = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        place = Place()
        place.build((None, 20, 20, 10))
        drawn.append(np.asarray(place.vectors.value))
    # 4,000 draws: their standard deviation is known to 0.02 / sqrt(8,000) = 0.0002.
    assert drawn[0].std() == pytest.approx(0.02, abs=0.001)
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_width_adds_whole_heads() -> None:
    # 48 channels are 3 heads of 16; twice as many are 6, and a quarter rounds to 1.
    for width, heads in ((1.0, 3), (2.0, 6), (0.25, 1)):
        model = vit_s((20, 20, 1), width=width)
        assert model.output.shape[-1] == 16 * heads
        assert model.get_layer("block_1_attention").num_heads == heads
        assert model.get_layer("block_1_attention").key_dim == 16


def test_depth_adds_blocks() -> None:
    assert vit_s(SCENE, depth=5).count_params() == 92_832 + 2 * 28_272


@pytest.mark.parametrize("options", [{"depth": 0}, {"width": 0.0}, {"width": -1.0}])
def test_no_blocks_and_no_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(options))}` must be"):
        registry.get("vit-s")(SCENE, **options)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 56, 3), (4, 6, 48)), ((1, 1, 1), (1, 1, 48))]
)
def test_maps_of_other_images(shape: tuple[int, int, int], expected: tuple[int, ...]) -> None:
    assert vit_s(shape).output.shape[1:] == expected
