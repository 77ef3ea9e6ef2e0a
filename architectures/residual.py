"""Pre-activation residual networks: `residual-s`, `residual-m` and `residual-l`."""

from __future__ import annotations

from typing import Any

import keras

from architectures.conv_parts import check_depth, conv, norm_relu
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled

SOURCE = "He, Zhang, Ren and Sun 2016, Identity Mappings in Deep Residual Networks"


@backbone("residual-s", source=SOURCE)
def residual_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 1) -> keras.Model:
    """Pre-activation residual net: stride 4, three stages of one block (16, 32, 64).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 7x7, stride 4 | 19x19x16 | 784 | 283,024 |
    | stage 1 | 19x19x16 | 4,736 | 1,663,488 |
    | stage 2, stride 2 | 10x10x32 | 14,528 | 1,433,600 |
    | stage 3, stride 2 | 5x5x64 | 57,728 | 1,433,600 |
    | batch norm, ReLU | 5x5x64 | 256 | |
    | divide by 32 | 5x5x64 | | |

    Args:
        image_shape: height, width and channels; images of any size.
        width: factor on all numbers of channels.
        depth: blocks per stage.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map at 1/16 of the image's
        size (rounded up), float `[n, rows, columns, 64]` (times `width`), at least 0.
    """
    return _network("residual_s", image_shape, (7, 4), (16, 32, 64), width, depth)


@backbone("residual-m", source=SOURCE)
def residual_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 2) -> keras.Model:
    """Pre-activation residual net: stride 4, three stages of two blocks (32, 64, 128).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 7x7, stride 4 | 19x19x32 | 1,568 | 566,048 |
    | stage 1 | 19x19x32 | 37,376 | 13,307,904 |
    | stage 2, stride 2 | 10x10x64 | 131,968 | 13,107,200 |
    | stage 3, stride 2 | 5x5x128 | 526,080 | 13,107,200 |
    | batch norm, ReLU | 5x5x128 | 512 | |
    | divide by 32 | 5x5x128 | | |

    Arguments and result are those of `residual_s`, with 128 channels.
    """
    return _network("residual_m", image_shape, (7, 4), (32, 64, 128), width, depth)


@backbone("residual-l", source=SOURCE)
def residual_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 2) -> keras.Model:
    """Pre-activation residual net: stride 2, four stages of two blocks (64-512), for GPUs.

    ResNet-18 with pre-activation, and without the pooling that follows its stem: images of 75
    pixels, a third of ImageNet's, have no pixels to spare. Without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 3x3, stride 2 | 38x38x64 | 576 | 831,744 |
    | stage 1 | 38x38x64 | 148,480 | 212,926,464 |
    | stage 2, stride 2 | 19x19x128 | 526,080 | 189,267,968 |
    | stage 3, stride 2 | 10x10x256 | 2,100,736 | 209,715,200 |
    | stage 4, stride 2 | 5x5x512 | 8,395,776 | 209,715,200 |
    | batch norm, ReLU | 5x5x512 | 2,048 | |
    | divide by 32 | 5x5x512 | | |

    Arguments and result are those of `residual_s`, with 512 channels.
    """
    return _network("residual_l", image_shape, (3, 2), (64, 128, 256, 512), width, depth)


def _network(
    name: str,
    image_shape: ImageShape,
    stem: tuple[int, int],
    channels: tuple[int, ...],
    width: float,
    depth: int,
) -> keras.Model:
    """Return stem, one stage per number of channels, and the activation that blocks leave out.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        stem: kernel size and stride of the first convolution.
        channels: of each stage, before `width`. Each stage but the first halves rows and columns.
        width: factor on all numbers of channels.
        depth: blocks per stage.
    """
    inputs = keras.Input(image_shape, name="image")
    kernel, stride = stem
    x = conv(inputs, scaled(channels[0], width), kernel, stride, name="stem")
    for stage, wide in enumerate(channels, start=1):
        for block in range(1, check_depth(depth) + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = residual_block(x, scaled(wide, width), stride, name=f"stage_{stage}_block_{block}")
    # The sum that leaves the last block has not been normalised by anyone.
    x = norm_relu(x, "last")
    return keras.Model(inputs, small_features(x), name=name)


def residual_block(x: Any, channels: int, stride: int, *, name: str) -> Any:
    r"""Add to x what two convolutions of its activation say.

    With h(x) = ReLU(batch_norm(x)), of its own parameters each time it is written, and 3x3
    convolutions W,

        y = x + W_2 h(W_1 h(x))                     if the shape stays,
        y = W_s h(x) + W_2 h(W_1 h(x))              else, W_s a 1x1 convolution and h(x) shared.

    Nothing stands on the way from x to y, so that through any number of blocks a gradient also
    arrives unchanged: what "identity mapping" means. The usual mistake is a ReLU after the sum,
    as in the first residual nets: then the way is no longer free.

    Args:
        x: float `[n, rows, columns, channels of the block before]`.
        channels: of the result.
        stride: 1, or 2 to halve rows and columns (rounding up).
        name: prefix of the layers' names.

    Returns:
        Float `[n, rows / stride, columns / stride, channels]`.

    Source: He et al. 2016 (Identity Mappings in Deep Residual Networks, figure 4 e and equations
    1 and 2); the shortcut of the first block as in its section 5 and in He et al. 2015 (Deep
    Residual Learning for Image Recognition, section 3.3, option B).
    """
    active = norm_relu(x, f"{name}_1")
    if stride > 1 or x.shape[-1] != channels:
        x = conv(active, channels, 1, stride, name=f"{name}_shortcut")
    y = conv(active, channels, 3, stride, name=f"{name}_conv_1")
    y = conv(norm_relu(y, f"{name}_2"), channels, 3, name=f"{name}_conv_2")
    return keras.layers.Add(name=f"{name}_sum")([x, y])
