"""What the families of tokens share: patches, the two-layer network, normalisation of a token.

A token is a vector of channels that stands for one patch of the image. Tokens of an image are
float `[n, tokens, channels]`, row by row; as a map they are `[n, rows, columns, channels]`.
"""

from __future__ import annotations

from typing import Any

import keras

# As in the papers' own programs, against Keras's 1e-3: black patches vary little.
EPSILON = 1e-6


def patch_map(images: Any, channels: int, patch_px: int) -> Any:
    r"""Cut images into square patches and map each of them linearly to a vector.

        y_ij = E . (pixels of patch ij) + b

    The same E for all patches is a convolution whose stride is its kernel. Images whose sides
    are no multiples of the patch are padded with black ("same" padding, half of it on each
    side): there are ceil(height / patch_px) rows, and no pixel is lost.

    Args:
        images: float `[n, height, width, c]`.
        channels: of a patch's vector.
        patch_px: side of a patch in pixels.

    Returns:
        Float `[n, rows, columns, channels]`.

    Source: Dosovitskiy et al. 2021 (An Image is Worth 16x16 Words, section 3.1).
    """
    return keras.layers.Conv2D(
        channels, patch_px, strides=patch_px, padding="same", name="patches"
    )(images)


def to_tokens(patches: Any) -> Any:
    """Return a map as tokens, row by row; `[n, rows * columns, channels]`."""
    _, rows, columns, channels = patches.shape
    return keras.layers.Reshape((rows * columns, channels), name="tokens")(patches)


def to_map(tokens: Any, rows: int, columns: int) -> Any:
    """Return tokens as the map they came from; `[n, rows, columns, channels]`."""
    return keras.layers.Reshape((rows, columns, tokens.shape[-1]), name="map")(tokens)


def norm(x: Any, name: str) -> Any:
    r"""Normalise over the last axis, each token by itself; learn a scale and offset per channel.

        y = gamma (x - mean) / sqrt(variance + 1e-6) + beta

    Unlike batch normalisation, it is the same in training and evaluation.

    Source: Ba, Kiros and Hinton 2016 (Layer Normalization, section 3).
    """
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def mlp(x: Any, hidden: int, name: str) -> Any:
    r"""Two dense layers over the last axis with GELU between them.

        y = W_2 GELU(W_1 x + b_1) + b_2,     GELU(t) = t Phi(t)

    with Phi the normal distribution function, not its approximation by tanh. The result has the
    shape of x.

    Source: Hendrycks and Gimpel 2016 (Gaussian Error Linear Units, section 2).
    """
    y = keras.layers.Dense(hidden, activation="gelu", name=f"{name}_1")(x)
    return keras.layers.Dense(x.shape[-1], name=f"{name}_2")(y)
