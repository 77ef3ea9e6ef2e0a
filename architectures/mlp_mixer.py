"""MLP-Mixers: `mixer-s`, `mixer-m` and `mixer-l`."""

from __future__ import annotations

from typing import Any

import keras

from architectures.conv_parts import check_depth
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled
from architectures.token_parts import mlp, norm, patch_map, to_map, to_tokens

SOURCE = "Tolstikhin et al. 2021, MLP-Mixer: An all-MLP Architecture for Vision"


@backbone("mixer-s", source=SOURCE)
def mixer_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 3) -> keras.Model:
    """MLP-Mixer: patches of 10 pixels, three blocks of 64 channels.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 10x10 | 8x8x64 | 6,464 | 409,600 |
    | block, three times | 64x64 | 37,536 each | 2,359,296 each |
    | norm, as a map, divided by 32 | 8x8x64 | 128 | |

    Args:
        image_shape: height, width and channels; of any size, see `token_parts.patch_map`.
        width: factor on the channels, rounded to an even number.
        depth: number of blocks.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map with one place for
        each patch, float `[n, rows, columns, 64]` (times `width`).
    """
    return _mixer("mixer_s", image_shape, (10, 64), width, depth)


@backbone("mixer-m", source=SOURCE)
def mixer_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 6) -> keras.Model:
    """MLP-Mixer: patches of 5 pixels, six blocks of 128 channels.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 5x5 | 15x15x128 | 3,328 | 720,000 |
    | block, six times | 225x128 | 161,313 each | 33,177,600 each |
    | norm, as a map, divided by 32 | 15x15x128 | 256 | |

    Arguments and result are those of `mixer_s`, with 128 channels.
    """
    return _mixer("mixer_m", image_shape, (5, 128), width, depth)


@backbone("mixer-l", source=SOURCE)
def mixer_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 8) -> keras.Model:
    """MLP-Mixer: patches of 5 pixels, eight blocks of 512 channels, for GPUs.

    The S/16 of the paper (table 1). With these patches an image of 75 pixels has 225 of them,
    about as many as an image of 224 pixels there: 196. Without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 5x5 | 15x15x512 | 13,312 | 2,880,000 |
    | block, eight times | 225x512 | 2,217,441 each | 530,841,600 each |
    | norm, as a map, divided by 32 | 15x15x512 | 1,024 | |

    Arguments and result are those of `mixer_s`, with 512 channels.
    """
    return _mixer("mixer_l", image_shape, (5, 512), width, depth)


def _mixer(
    name: str, image_shape: ImageShape, sizes: tuple[int, int], width: float, depth: int
) -> keras.Model:
    """Return patches, blocks, and the norm that blocks leave out at their end.

    The paper then takes the mean of the tokens; here they stay a map, for the heads to read.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        sizes: side of a patch in pixels, channels before `width`.
        width: factor on the channels.
        depth: number of blocks.
    """
    patch_px, channels = sizes
    inputs = keras.Input(image_shape, name="image")
    patches = patch_map(inputs, scaled(channels, width, multiple=2), patch_px)
    x = to_tokens(patches)
    for block in range(1, check_depth(depth) + 1):
        x = mixer_block(x, name=f"block_{block}")
    _, rows, columns, _ = patches.shape
    features = small_features(to_map(norm(x, "last_norm"), rows, columns))
    return keras.Model(inputs, features, name=name)


def mixer_block(x: Any, *, name: str) -> Any:
    r"""Mix tokens, one channel at a time, then channels, one token at a time.

        y = x + mlp(norm(x)^T)^T                    of channels / 2 hidden numbers
        z = y + mlp(norm(y))                        of 4 times as many hidden channels

    The first network takes a channel's values at all places and knows each place by its index, so
    that no position has to be added to the patches. Its weights are made for one number of
    patches. The usual mistake is to normalise over the places after the transpose: the norm
    belongs to a token, before it.

    Args:
        x: float `[n, tokens, channels]`, an even number of channels.
        name: prefix of the layers' names.

    Returns:
        Float of the same shape.

    Source: Tolstikhin et al. 2021 (section 2, equation 1; hidden sizes as in table 1).
    """
    channels = x.shape[-1]
    transposed = keras.layers.Permute((2, 1), name=f"{name}_channels")(norm(x, f"{name}_norm_1"))
    mixed = mlp(transposed, channels // 2, f"{name}_token_mlp")
    mixed = keras.layers.Permute((2, 1), name=f"{name}_tokens")(mixed)
    x = keras.layers.Add(name=f"{name}_sum_1")([x, mixed])
    y = mlp(norm(x, f"{name}_norm_2"), 4 * channels, f"{name}_channel_mlp")
    return keras.layers.Add(name=f"{name}_sum_2")([x, y])
