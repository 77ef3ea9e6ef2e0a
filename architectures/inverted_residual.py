"""Inverted residual networks in the manner of MobileNet: `mobile-s`, `mobile-m`, `mobile-l`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from architectures.conv_parts import batch_norm, check_depth, conv
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled

SOURCE = "Sandler et al. 2018, MobileNetV2; Howard et al. 2019, Searching for MobileNetV3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the blocks of a stage have in common.

    Attributes:
        channels: of the blocks' results, before `width`.
        expansion: factor from the channels that enter a block to those inside.
        kernel: side of the depthwise convolution.
        stride: of the first block, 1 or 2.
        squeeze: whether blocks weigh their channels by squeeze and excitation.
        activation: "relu", or "hard_silu", Keras's name of hard-swish: x clip(x + 3, 0, 6) / 6.
    """

    channels: int
    expansion: int
    kernel: int = 3
    stride: int = 2
    squeeze: bool = False
    activation: str = "hard_silu"


# V3-Small's habits: no expansion where maps are large, ReLU first and hard-swish later, attention
# and 5x5 kernels where maps are small.
SMALL = (
    Stage(channels=16, expansion=1, activation="relu"),
    Stage(channels=24, expansion=4, activation="relu"),
    Stage(channels=48, expansion=4, kernel=5, squeeze=True),
)
MEDIUM = (
    Stage(channels=24, expansion=3, activation="relu"),
    Stage(channels=40, expansion=4, kernel=5, squeeze=True),
    Stage(channels=80, expansion=6, kernel=5, squeeze=True),
)
LARGE = (
    Stage(channels=32, expansion=1, stride=1, activation="relu"),
    Stage(channels=48, expansion=6, activation="relu"),
    Stage(channels=96, expansion=6, kernel=5, squeeze=True),
    Stage(channels=192, expansion=6, kernel=5, squeeze=True),
)


@backbone("mobile-s", source=SOURCE)
def mobile_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 1) -> keras.Model:
    """Inverted residual net: stride 2, three stages of one block (16, 24, 48).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 3x3, stride 2 | 38x38x16 | 208 | 207,936 |
    | stage 1, stride 2 | 19x19x16 | 528 | 144,400 |
    | stage 2, stride 2 | 10x10x24 | 3,744 | 580,864 |
    | stage 3, stride 2 | 5x5x48 | 15,000 | 410,208 |
    | conv 1x1 | 5x5x96 | 4,992 | 115,200 |
    | divide by 32 | 5x5x96 | | |

    Args:
        image_shape: height, width and channels; images of any size.
        width: factor on all numbers of channels.
        depth: blocks per stage.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map at 1/16 of the image's
        size (rounded up), float `[n, rows, columns, 96]` (times `width`), at least -3/256.
    """
    return _network("mobile_s", image_shape, 16, SMALL, 96, width, depth)


@backbone("mobile-m", source=SOURCE)
def mobile_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 2) -> keras.Model:
    """Inverted residual net: stride 2, three stages of two blocks (24, 40, 80).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 3x3, stride 2 | 38x38x16 | 208 | 207,936 |
    | stage 1, stride 2 | 19x19x24 | 7,608 | 3,162,360 |
    | stage 2, stride 2 | 10x10x40 | 45,440 | 3,153,152 |
    | stage 3, stride 2 | 5x5x80 | 274,900 | 3,954,000 |
    | conv 1x1 | 5x5x128 | 10,752 | 256,000 |
    | divide by 32 | 5x5x128 | | |

    Arguments and result are those of `mobile_s`, with 128 channels.
    """
    return _network("mobile_m", image_shape, 16, MEDIUM, 128, width, depth)


@backbone("mobile-l", source=SOURCE)
def mobile_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 3) -> keras.Model:
    """Inverted residual net: stride 2, four stages of three blocks (32 to 192), for GPUs.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | conv 3x3, stride 2 | 38x38x32 | 416 | 415,872 |
    | stage 1 | 38x38x32 | 4,704 | 5,683,584 |
    | stage 2, stride 2 | 19x19x48 | 84,288 | 34,656,000 |
    | stage 3, stride 2 | 10x10x96 | 686,376 | 33,846,912 |
    | stage 4, stride 2 | 5x5x192 | 2,644,560 | 33,705,792 |
    | conv 1x1 | 5x5x384 | 75,264 | 1,843,200 |
    | divide by 32 | 5x5x384 | | |

    Arguments and result are those of `mobile_s`, with 384 channels.
    """
    return _network("mobile_l", image_shape, 32, LARGE, 384, width, depth)


def _network(
    name: str,
    image_shape: ImageShape,
    stem: int,
    stages: tuple[Stage, ...],
    last: int,
    width: float,
    depth: int,
) -> keras.Model:
    """Return stem, stages, and the 1x1 convolution that lifts the narrow end.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        stem: channels of the first convolution, 3x3 with stride 2, before `width`.
        stages: in their order.
        last: channels of the map, before `width`.
        width: factor on all numbers of channels.
        depth: blocks per stage.
    """
    inputs = keras.Input(image_shape, name="image")
    x = conv(inputs, scaled(stem, width), kernel=3, stride=2, name="stem")
    x = _norm_act(x, "hard_silu", name="stem")
    for number, stage in enumerate(stages, start=1):
        for block in range(1, check_depth(depth) + 1):
            stride = stage.stride if block == 1 else 1
            name_of_block = f"stage_{number}_block_{block}"
            x = inverted_block(x, stage, scaled(stage.channels, width), stride, name=name_of_block)
    # Blocks end linear and narrow: the head would see what no activation has looked at.
    x = conv(x, scaled(last, width), name="last")
    x = _norm_act(x, "hard_silu", name="last")
    return keras.Model(inputs, small_features(x), name=name)


def inverted_block(x: Any, stage: Stage, channels: int, stride: int, *, name: str) -> Any:
    r"""Widen x, convolve each channel alone, narrow it again.

    With batch normalisation N after each convolution, of its own parameters each time it is
    written, an activation a, 1x1 convolutions W and a depthwise convolution D,

        u = a(N(W_1 x))              from c to t c channels; u = x if the expansion t is 1
        v = a(N(D u))                rows and columns / stride
        v = v * s(v)                 if the stage squeezes, see `squeeze_excite`
        y = N(W_2 v)                 to the block's channels, linear
        y = x + y                    if shape and channels stay

    "Inverted", as the sum runs between the narrow ends and not between the wide middles, which
    never leave the block. The usual mistake is an activation after W_2: in few channels, what it
    cuts off is lost.

    Args:
        x: float `[n, rows, columns, c]`.
        stage: expansion, kernel, activation, and whether to squeeze.
        channels: of the result.
        stride: 1, or 2 to halve rows and columns (rounding up).
        name: prefix of the layers' names.

    Returns:
        Float `[n, rows / stride, columns / stride, channels]`.

    Source: Sandler et al. 2018 (MobileNetV2: Inverted Residuals and Linear Bottlenecks, table 1
    and figure 4); activation and squeezing Howard et al. 2019 (Searching for MobileNetV3,
    figure 4 and section 5.2).
    """
    narrow = x.shape[-1]
    y = x
    if stage.expansion > 1:
        y = conv(y, narrow * stage.expansion, name=f"{name}_expand")
        y = _norm_act(y, stage.activation, name=f"{name}_expand")
    y = keras.layers.DepthwiseConv2D(
        stage.kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(y)
    y = _norm_act(y, stage.activation, name=f"{name}_depthwise")
    if stage.squeeze:
        y = squeeze_excite(y, name=f"{name}_squeeze")
    y = batch_norm(conv(y, channels, name=f"{name}_project"), f"{name}_project_norm")
    if stride == 1 and narrow == channels:
        y = keras.layers.Add(name=f"{name}_sum")([x, y])
    return y


def squeeze_excite(x: Any, *, name: str) -> Any:
    r"""Weigh each channel by what the whole map says.

        z = mean of x over rows and columns
        y = x * hard_sigmoid(W_2 ReLU(W_1 z + b_1) + b_2),  hard_sigmoid(u) = clip(u + 3, 0, 6) / 6

    with a quarter of the channels in between.

    Args:
        x: float `[n, rows, columns, c]`.
        name: prefix of the layers' names.

    Returns:
        Float of the same shape.

    Source: Hu et al. 2018 (Squeeze-and-Excitation Networks, section 3), with the quarter and the
    hard sigmoid of Howard et al. 2019 (section 5.3).
    """
    wide = x.shape[-1]
    z = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    z = keras.layers.Conv2D(scaled(wide, 1 / 4), 1, activation="relu", name=f"{name}_reduce")(z)
    z = keras.layers.Conv2D(wide, 1, activation="hard_sigmoid", name=f"{name}_weigh")(z)
    return keras.layers.Multiply(name=f"{name}_scale")([x, z])


def _norm_act(x: Any, activation: str, *, name: str) -> Any:
    x = batch_norm(x, f"{name}_norm")
    return keras.layers.Activation(activation, name=f"{name}_{activation}")(x)
