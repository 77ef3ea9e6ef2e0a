"""Vision transformers: `vit-s`, `vit-m` and `vit-l`."""

from __future__ import annotations

from typing import Any

import keras

from architectures.conv_parts import check_depth
from architectures.feature_scale import small_features
from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled
from architectures.token_parts import mlp, norm, patch_map, to_map, to_tokens

SOURCE = (
    "Dosovitskiy et al. 2021, An Image is Worth 16x16 Words; small sizes after Touvron et al. "
    "2021, Training Data-Efficient Image Transformers"
)


@backbone("vit-s", source=SOURCE)
def vit_s(image_shape: ImageShape, *, width: float = 1.0, depth: int = 3) -> keras.Model:
    """Vision transformer: patches of 10 pixels, three blocks of 48 channels, 3 heads.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 10x10 | 8x8x48 | 4,848 | 307,200 |
    | place | 8x8x48 | 3,072 | |
    | block, three times | 64x48 | 28,272 each | 2,162,688 each |
    | norm, as a map, divided by 32 | 8x8x48 | 96 | |

    Args:
        image_shape: height, width and channels; of any size, see `token_parts.patch_map`.
        width: factor on the channels, by adding or taking away whole heads of 16 channels.
        depth: number of blocks.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to a map with one place for
        each patch, float `[n, rows, columns, 48]` (times `width`).
    """
    return _transformer("vit_s", image_shape, (10, 48, 16), width, depth)


@backbone("vit-m", source=SOURCE)
def vit_m(image_shape: ImageShape, *, width: float = 1.0, depth: int = 6) -> keras.Model:
    """Vision transformer: patches of 5 pixels, six blocks of 128 channels, 4 heads.

    For images of 75x75x1, without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 5x5 | 15x15x128 | 3,328 | 720,000 |
    | place | 15x15x128 | 28,800 | |
    | block, six times | 225x128 | 198,272 each | 57,196,800 each |
    | norm, as a map, divided by 32 | 15x15x128 | 256 | |

    Arguments and result are those of `vit_s`, with heads of 32 channels, 128 in all.
    """
    return _transformer("vit_m", image_shape, (5, 128, 32), width, depth)


@backbone("vit-l", source=SOURCE)
def vit_l(image_shape: ImageShape, *, width: float = 1.0, depth: int = 12) -> keras.Model:
    """Vision transformer: patches of 5 pixels, twelve blocks of 384 channels, for GPUs.

    The DeiT-S of Touvron et al. 2021 (table 1). With these patches an image of 75 pixels has 225
    of them, about as many as an image of 224 pixels there: 196. Without the batch axis:

    | part | output | parameters | multiply-adds |
    |---|---|---|---|
    | patches 5x5 | 15x15x384 | 9,984 | 2,160,000 |
    | place | 15x15x384 | 86,400 | |
    | block, twelve times | 225x384 | 1,774,464 each | 437,011,200 each |
    | norm, as a map, divided by 32 | 15x15x384 | 768 | |

    Arguments and result are those of `vit_s`, with heads of 64 channels, 384 in all.
    """
    return _transformer("vit_l", image_shape, (5, 384, 64), width, depth)


def _transformer(
    name: str, image_shape: ImageShape, sizes: tuple[int, int, int], width: float, depth: int
) -> keras.Model:
    """Return patches with their places, blocks, and the norm that blocks leave out at their end.

    The paper puts a class token beside the patches and reads the class from it. Here every patch
    keeps its token, laid out as the map it came from: the heads read or pool the map, and a box
    needs to know where a token stood.

    Args:
        name: name of the model.
        image_shape: height, width and channels.
        sizes: side of a patch in pixels, channels before `width`, channels of a head.
        width: factor on the channels.
        depth: number of blocks.
    """
    patch_px, channels, head_channels = sizes
    wide = scaled(channels, width, multiple=head_channels)
    inputs = keras.Input(image_shape, name="image")
    patches = Place(name="place")(patch_map(inputs, wide, patch_px))
    x = to_tokens(patches)
    for block in range(1, check_depth(depth) + 1):
        x = transformer_block(x, wide // head_channels, name=f"block_{block}")
    _, rows, columns, _ = patches.shape
    features = small_features(to_map(norm(x, "last_norm"), rows, columns))
    return keras.Model(inputs, features, name=name)


def transformer_block(x: Any, heads: int, *, name: str) -> Any:
    r"""Let tokens look at each other, then let each think for itself.

        y = x + attention(norm(x))
        z = y + mlp(norm(y))                        of 4 times as many hidden channels

    Attention has, for each head, its own maps W_q, W_k and W_v to d = channels / heads channels,

        A = softmax over the tokens looked at of  (W_q u) . (W_k u) / sqrt(d)
        attention(u) = W_o [A W_v u of each head] + b_o

    each with its offset. The usual mistake is the norm after the sum, as in the first
    transformers: without a slow start of the learning rate those do not train.

    Args:
        x: float `[n, tokens, channels]`.
        heads: number of heads, a divisor of the channels.
        name: prefix of the layers' names.

    Returns:
        Float of the same shape.

    Source: Vaswani et al. 2017 (Attention Is All You Need, section 3.2) for the attention,
    Dosovitskiy et al. 2021 (equations 2 and 3) for the order.
    """
    channels = x.shape[-1]
    attention = keras.layers.MultiHeadAttention(heads, channels // heads, name=f"{name}_attention")
    looked = norm(x, f"{name}_norm_1")
    x = keras.layers.Add(name=f"{name}_sum_1")([x, attention(looked, looked)])
    y = mlp(norm(x, f"{name}_norm_2"), 4 * channels, f"{name}_mlp")
    return keras.layers.Add(name=f"{name}_sum_2")([x, y])


@keras.saving.register_keras_serializable(package="bench")
class Place(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Add to each place of a map a vector of its own, which is learned.

    Without it a transformer sees a set of patches: attention treats all places alike.

    Input and output: float `[n, rows, columns, channels]`. Parameters: rows x columns x channels,
    so that a network built for one image size has no weights for another.

    Source: Dosovitskiy et al. 2021 (section 3.1 and equation 1).
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the vectors, small beside what patches give (standard deviation 0.02)."""
        self.vectors = self.add_weight(
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="vectors",
        )

    def call(self, patches: Any) -> Any:
        """Return the sum."""
        return patches + self.vectors
