"""Densely connected networks: `densenet-s`, `densenet-m` and `densenet-l`."""

from __future__ import annotations

from typing import Any

import keras

from architectures.conv_parts import check_depth, conv, norm_relu
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled

SOURCE = "Huang, Liu, van der Maaten and Weinberger 2017, Densely Connected Convolutional Networks"


@backbone("densenet-s", source=SOURCE)
def densenet_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 2) -> keras.Model:
    """Densely connected net: stride 4, three blocks of two layers that add 16 channels.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 7x7, stride 4 | 19x19x32 | 1,568 | 566,048 |
    | block 1 | 19x19x64 | 11,840 | 4,158,720 |
    | transition 1 | 10x10x32 | 2,304 | 739,328 |
    | block 2 | 10x10x64 | 11,840 | 1,152,000 |
    | transition 2 | 5x5x32 | 2,304 | 204,800 |
    | block 3 | 5x5x64 | 11,840 | 288,000 |
    | batch norm, ReLU | 5x5x64 | 256 | |
    | divide by 32 | 5x5x64 | | |

    Args:
        image_shape: height, width and channels; images of any size.
        width: factor on the growth rate, and with it on all numbers of channels.
        depth: layers per block.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map at 1/16 of the image's
        size (rounded up), float `[n, rows, columns, 64]` (times `width`; more with `depth`), at
        least 0.
    """
    return _network("densenet_s", image_shape, (7, 4), 3, 16, width, depth, bottleneck=False)


@backbone("densenet-m", source=SOURCE)
def densenet_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 6) -> keras.Model:
    """Densely connected net: stride 4, three blocks of six layers that add 16 channels.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 7x7, stride 4 | 19x19x32 | 1,568 | 566,048 |
    | block 1 | 19x19x128 | 86,208 | 29,942,784 |
    | transition 1 | 10x10x64 | 8,704 | 2,957,312 |
    | block 2 | 10x10x160 | 99,264 | 9,523,200 |
    | transition 2 | 5x5x80 | 13,440 | 1,280,000 |
    | block 3 | 5x5x176 | 105,792 | 2,534,400 |
    | batch norm, ReLU | 5x5x176 | 704 | |
    | divide by 32 | 5x5x176 | | |

    Arguments and result are those of `densenet_s`, with 176 channels.
    """
    return _network("densenet_m", image_shape, (7, 4), 3, 16, width, depth, bottleneck=True)


@backbone("densenet-l", source=SOURCE)
def densenet_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 8) -> keras.Model:
    """Densely connected net: stride 2, four blocks of eight layers that add 32, for GPUs.

    DenseNet-121's growth rate and number of blocks with fewer layers, and without the pooling that
    follows its stem. For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 3x3, stride 2 | 38x38x64 | 576 | 831,744 |
    | block 1 | 38x38x320 | 484,864 | 686,096,384 |
    | transition 1 | 19x19x160 | 52,480 | 73,932,800 |
    | block 2 | 19x19x416 | 586,240 | 207,011,840 |
    | transition 2 | 10x10x208 | 88,192 | 31,236,608 |
    | block 3 | 10x10x464 | 636,928 | 62,259,200 |
    | transition 3 | 5x5x232 | 109,504 | 10,764,800 |
    | block 4 | 5x5x488 | 662,272 | 16,179,200 |
    | batch norm, ReLU | 5x5x488 | 1,952 | |
    | divide by 32 | 5x5x488 | | |

    Arguments and result are those of `densenet_s`, with 488 channels.
    """
    return _network("densenet_l", image_shape, (3, 2), 4, 32, width, depth, bottleneck=True)


def _network(
    name: str,
    image_shape: ImageShape,
    stem: tuple[int, int],
    blocks: int,
    growth: int,
    width: float,
    depth: int,
    *,
    bottleneck: bool,
) -> keras.Model:
    """Return stem, dense blocks with transitions between them, and a last activation.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        stem: kernel size and stride of the first convolution, which makes 2 x growth channels.
        blocks: how many.
        growth: channels that each layer adds, before `width`.
        width: factor on the growth rate.
        depth: layers per block.
        bottleneck: whether a layer first narrows what it sees to 4 x growth channels.
    """
    inputs = keras.Input(image_shape, name="image")
    growth = scaled(growth, width)
    kernel, stride = stem
    x = conv(inputs, 2 * growth, kernel, stride, name="stem")
    for block in range(1, blocks + 1):
        if block > 1:
            x = transition(x, name=f"transition_{block - 1}")
        for layer in range(1, check_depth(depth) + 1):
            x = dense_layer(x, growth, name=f"block_{block}_layer_{layer}", bottleneck=bottleneck)
    x = norm_relu(x, "last")
    return keras.Model(inputs, small_features(x), name=name)


def dense_layer(x: Any, growth: int, *, name: str, bottleneck: bool) -> Any:
    r"""Append to x a few channels made of all of it.

    With h(x) = ReLU(batch_norm(x)), of its own parameters each time it is written,

        y = [x, W_3 h(x)]                    3x3 convolution to `growth` channels
        y = [x, W_3 h(W_1 h(x))]             with a bottleneck: 1x1 to 4 x growth channels before

    where [ , ] joins channels. So layer l of a block that starts with c channels sees
    c + (l - 1) growth of them, all that was said before it, and repeats none of it. A bottleneck
    saves work once that is more than 4 x growth. The usual mistake is a sum in place of the join:
    that is a residual net.

    Args:
        x: float `[n, rows, columns, c]`.
        growth: channels to add, "k" in the paper.
        name: prefix of the layers' names.
        bottleneck: whether to narrow x first.

    Returns:
        Float `[n, rows, columns, c + growth]`.

    Source: Huang et al. 2017 (Densely Connected Convolutional Networks, equation 2, "composite
    function" and "bottleneck layers" of section 3).
    """
    y = x
    if bottleneck:
        y = norm_relu(y, f"{name}_narrow")
        y = conv(y, 4 * growth, name=f"{name}_narrow_conv")
    y = conv(norm_relu(y, name), growth, 3, name=f"{name}_conv")
    return keras.layers.Concatenate(name=f"{name}_join")([x, y])


def transition(x: Any, *, name: str) -> Any:
    r"""Halve channels, rows and columns.

        y = mean over 2x2 of W ReLU(batch_norm(x)),      W a 1x1 convolution to half the channels

    At an odd edge the mean is over the places that exist.

    Args:
        x: float `[n, rows, columns, c]`.
        name: prefix of the layers' names.

    Returns:
        Float `[n, rows / 2, columns / 2, c / 2]`, rows and columns rounded up, c down.

    Source: Huang et al. 2017, "pooling layers" and "compression" (theta = 0.5) of section 3.
    """
    y = conv(norm_relu(x, name), x.shape[-1] // 2, name=f"{name}_conv")
    return keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(y)
