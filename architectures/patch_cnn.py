"""Convolutional networks on patches, made for speed: `patch-s`, `patch-m` and `patch-l`."""

from __future__ import annotations

from typing import Any

import keras

from architectures.conv_parts import batch_norm, check_depth
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled

SOURCE = (
    "Own design. The strided stem is the patch embedding of Dosovitskiy et al. 2021, the "
    "residual sums are of He et al. 2015"
)

PATCH_PX = 5


@backbone("patch-s", source=SOURCE)
def patch_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 1) -> keras.Model:
    """Patch CNN: patches of 5 pixels, two stages of one residual convolution (32, 64).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | stem 5x5, stride 5 | 15x15x32 | 928 | 180,000 |
    | stage 1 | 15x15x32 | 9,344 | 2,073,600 |
    | down 3x3, stride 2 | 8x8x64 | 18,688 | 1,179,648 |
    | stage 2 | 8x8x64 | 37,120 | 2,359,296 |
    | features, divided by 32 | 8x8x64 | | |

    Every step has its reason:

    - The stem leaves the high resolution at once. The first two convolutions of `notebook-cnn`
      cost 6.1 million multiply-adds and make maps of 85,264 and 36,992 numbers; this stem costs
      0.18 million and makes 7,200.
    - 5 pixels are the digit's stroke twice: a patch still tells where in it a stroke runs.
    - Batch normalisation costs a quarter of the time and is worth it: without it, features as
      small as the box head needs them teach the class head half as much in the first epoch.
    - Half the convolutions keep the shape; a sum past them costs next to nothing.
    - The map is not pooled: flattened, its 8x8 places tell the box head where the digit is.

    Args:
        image_shape: height, width and channels; of any size, padded to whole patches.
        width: factor on all numbers of channels.
        depth: residual convolutions per stage.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map at 1/10 of the image's
        size (rounded up), float `[n, rows, columns, 64]` (times `width`), at least 0.
    """
    return _network("patch_s", image_shape, (32, 64), width, depth)


@backbone("patch-m", source=SOURCE)
def patch_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 3) -> keras.Model:
    """Patch CNN: patches of 5 pixels, two stages of three residual convolutions (64, 128).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | stem 5x5, stride 5 | 15x15x64 | 1,856 | 360,000 |
    | stage 1 | 15x15x64 | 111,360 | 24,883,200 |
    | down 3x3, stride 2 | 8x8x128 | 74,240 | 4,718,592 |
    | stage 2 | 8x8x128 | 443,904 | 28,311,552 |
    | features, divided by 32 | 8x8x128 | | |

    Arguments and result are those of `patch_s`, with 128 channels.
    """
    return _network("patch_m", image_shape, (64, 128), width, depth)


@backbone("patch-l", source=SOURCE)
def patch_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 4) -> keras.Model:
    """Patch CNN: 5-pixel patches, three stages of four convolutions (128-512), for GPUs.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | stem 5x5, stride 5 | 15x15x128 | 3,712 | 720,000 |
    | stage 1 | 15x15x128 | 591,872 | 132,710,400 |
    | down 3x3, stride 2 | 8x8x256 | 295,936 | 18,874,368 |
    | stage 2 | 8x8x256 | 2,363,392 | 150,994,944 |
    | down 3x3, stride 2 | 4x4x512 | 1,181,696 | 18,874,368 |
    | stage 3 | 4x4x512 | 9,445,376 | 150,994,944 |
    | features, divided by 32 | 4x4x512 | | |

    Arguments and result are those of `patch_s`, at 1/20 of the image's size with 512 channels.
    """
    return _network("patch_l", image_shape, (128, 256, 512), width, depth)


def _network(
    name: str, image_shape: ImageShape, channels: tuple[int, ...], width: float, depth: int
) -> keras.Model:
    """Return the stem, then stages at half the rows and columns each, then the features' scale.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        channels: of each stage, before `width`.
        width: factor on all numbers of channels.
        depth: residual convolutions per stage.
    """
    inputs = keras.Input(image_shape, name="image")
    x = conv_norm_relu(inputs, scaled(channels[0], width), PATCH_PX, PATCH_PX, name="stem")
    for stage, wide in enumerate(channels, start=1):
        if stage > 1:
            x = conv_norm_relu(x, scaled(wide, width), 3, 2, name=f"down_{stage - 1}")
        for number in range(1, check_depth(depth) + 1):
            label = f"stage_{stage}_conv_{number}"
            y = conv_norm_relu(x, x.shape[-1], 3, 1, name=label)
            x = keras.layers.Add(name=f"{label}_sum")([x, y])
    return keras.Model(inputs, small_features(x), name=name)


def conv_norm_relu(x: Any, channels: int, kernel: int, stride: int, *, name: str) -> Any:
    r"""Return ReLU(batch_norm(W x)) with a convolution W, padded so that no pixel is lost.

    The usual mistake is a bias in W: the batch normalisation takes the mean out again.

    Args:
        x: float `[n, rows, columns, channels before]`.
        channels: of the result.
        kernel: side of the kernel.
        stride: step from one place to the next; rows and columns are divided by it and rounded up.
        name: prefix of the layers' names.
    """
    x = keras.layers.Conv2D(
        channels, kernel, strides=stride, padding="same", use_bias=False, name=name
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(x, f"{name}_norm"))
