"""ConvNeXt-style networks: `convnext-s`, `convnext-m` and `convnext-l`."""

from __future__ import annotations

from typing import Any

import keras

from architectures.conv_parts import check_depth
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled

SOURCE = "Liu et al. 2022, A ConvNet for the 2020s"

# The paper's 1e-6 is for more blocks and 300 epochs. After one epoch of 12,000 scenes the score of
# three stages of one block (24, 48, 96) was 0.14 from 1, and 0.07 from 0.1.
LAYER_SCALE = 1.0


@backbone("convnext-s", source=SOURCE)
def convnext_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 1) -> keras.Model:
    """ConvNeXt-style net: patches of 4x4, three stages of one block (16, 32, 64).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 4x4 | 19x19x16 | 272 | 92,416 |
    | stage 1 | 19x19x16 | 2,976 | 1,022,352 |
    | stage 2, stride 2 | 10x10x32 | 12,160 | 1,180,800 |
    | stage 3, stride 2 | 5x5x64 | 44,800 | 1,102,400 |
    | layer norm | 5x5x64 | 128 | |
    | divide by 32 | 5x5x64 | 0 | |

    Args:
        image_shape: height, width and channels; images of any size.
        width: factor on all numbers of channels.
        depth: blocks per stage.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map at 1/16 of the image's
        size (rounded up), float `[n, rows, columns, 64]` (times `width`),
        normalised and divided by 32.
    """
    return _network("convnext_s", image_shape, 4, (16, 32, 64), width, depth)


@backbone("convnext-m", source=SOURCE)
def convnext_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 2) -> keras.Model:
    """ConvNeXt-style net: patches of 4x4, three stages of two blocks (32, 64, 128).

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 4x4 | 19x19x32 | 544 | 184,832 |
    | stage 1 | 19x19x32 | 20,096 | 7,046,720 |
    | stage 2, stride 2 | 10x10x64 | 81,280 | 8,000,000 |
    | stage 3, stride 2 | 5x5x128 | 310,016 | 7,686,400 |
    | layer norm | 5x5x128 | 256 | |
    | divide by 32 | 5x5x128 | 0 | |

    Arguments and result are those of `convnext_s`, with 128 channels.
    """
    return _network("convnext_m", image_shape, 4, (32, 64, 128), width, depth)


@backbone("convnext-l", source=SOURCE)
def convnext_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 3) -> keras.Model:
    """ConvNeXt-style net: patches of 2x2, four stages of three blocks (64-512), for GPUs.

    Between the smallest members of the paper's followers and its ConvNeXt-T (96 to 768), with
    smaller patches for images a third of ImageNet's. For 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 2x2 | 38x38x64 | 320 | 369,664 |
    | stage 1 | 38x38x64 | 109,440 | 155,536,128 |
    | stage 2, stride 2 | 19x19x128 | 448,512 | 160,572,800 |
    | stage 3, stride 2 | 10x10x256 | 1,748,992 | 174,156,800 |
    | stage 4, stride 2 | 5x5x512 | 6,905,856 | 172,275,200 |
    | layer norm | 5x5x512 | 1,024 | |
    | divide by 32 | 5x5x512 | | |

    Arguments and result are those of `convnext_s`, with 512 channels.
    """
    return _network("convnext_l", image_shape, 2, (64, 128, 256, 512), width, depth)


def _network(
    name: str,
    image_shape: ImageShape,
    patch: int,
    channels: tuple[int, ...],
    width: float,
    depth: int,
) -> keras.Model:
    """Return patches, one stage per number of channels, and a last norm.

    Patches and 2x2 steps fill up with zeros what is missing to a whole patch. Without, a third of
    a patch would be lost of 75 = 18 x 4 + 3 pixels, and boxes with it.

    The paper's norm after the stem is left out. It would give the faint rim of a digit on black
    the size of a full stroke: with it, `convnext-s` reached a score of 0.19 in two epochs of
    12,000 scenes, without it 0.35.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        patch: side of the patches of the stem, in pixels.
        channels: of each stage, before `width`. Each stage but the first halves rows and columns.
        width: factor on all numbers of channels.
        depth: blocks per stage.
    """
    inputs = keras.Input(image_shape, name="image")
    x = _patches(inputs, scaled(channels[0], width), patch, name="stem")
    for stage, wide in enumerate(channels, start=1):
        if stage > 1:
            x = _norm(x, name=f"stage_{stage}_norm")
            x = _patches(x, scaled(wide, width), 2, name=f"stage_{stage}_halve")
        for block in range(1, check_depth(depth) + 1):
            x = convnext_block(x, name=f"stage_{stage}_block_{block}")
    x = _norm(x, name="last_norm")
    return keras.Model(inputs, small_features(x), name=name)


def convnext_block(x: Any, *, name: str) -> Any:
    r"""Add to x what a wide look at each channel and a small network at each place make of it.

        u = D x + b                          7x7 depthwise convolution: where
        v = W_2 GELU(W_1 norm(u) + b_1) + b_2     from c to 4 c channels and back: what
        y = x + gamma v                      gamma one number per channel, 1 at birth

    with norm over the channels of each place, and GELU(z) = z Phi(z), Phi the normal distribution
    function. One norm and one activation per block, not one after each convolution: a
    transformer's block with a convolution for its attention. The paper's stochastic depth is left
    out: it pays in hundreds of epochs.

    Args:
        x: float `[n, rows, columns, c]`.
        name: prefix of the layers' names.

    Returns:
        Float of the same shape.

    Source: Liu et al. 2022 (A ConvNet for the 2020s, figure 4 and section 2.6). gamma is
    LayerScale of Touvron et al. 2021 (Going deeper with Image Transformers, section 2).
    """
    channels = x.shape[-1]
    y = keras.layers.DepthwiseConv2D(
        7, padding="same", depthwise_initializer=_start(), name=f"{name}_depthwise"
    )(x)
    y = _norm(y, name=f"{name}_norm")
    y = _pointwise(y, 4 * channels, name=f"{name}_expand")
    y = keras.layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = _pointwise(y, channels, name=f"{name}_project")
    y = ChannelScale(LAYER_SCALE, name=f"{name}_scale")(y)
    return keras.layers.Add(name=f"{name}_sum")([x, y])


@keras.saving.register_keras_serializable(package="bench")
class ChannelScale(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Multiply each channel by a number of its own ("LayerScale").

    From a small start, blocks begin as almost nothing and leave the first steps to the way around
    them, which very deep nets need.

    Input and output: float `[..., channels]`.

    Args:
        start: the numbers at birth.
        kwargs: what every layer takes.
    """

    def __init__(self, start: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the numbers, one per channel."""
        start = keras.initializers.Constant(self.start)
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer=start, name="gamma")

    def call(self, inputs: Any) -> Any:
        """Return gamma times the inputs."""
        return self.gamma * inputs

    def get_config(self) -> dict[str, Any]:
        """Return what builds the layer again."""
        return {**super().get_config(), "start": self.start}


def _norm(x: Any, *, name: str) -> Any:
    """Normalise the channels of each place; epsilon as in the paper's own program."""
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _patches(x: Any, channels: int, side: int, *, name: str) -> Any:
    """Return a linear map of each `side` x `side` patch."""
    return keras.layers.Conv2D(
        channels, side, strides=side, padding="same", kernel_initializer=_start(), name=name
    )(x)


def _pointwise(x: Any, channels: int, *, name: str) -> Any:
    return keras.layers.Conv2D(channels, 1, kernel_initializer=_start(), name=name)(x)


def _start() -> keras.initializers.Initializer:
    """Return how kernels start: by the size of what they read.

    The paper's 0.02 for all of them (appendix A.1) fits some hundred channels or more; from 16,
    blocks would begin as nearly nothing, and stay so for most of a short run.
    """
    return keras.initializers.HeNormal()
