"""`readme-cnn`: a smaller cousin of `notebook-cnn` that stops at 17x17 and pools by maximum."""

from __future__ import annotations

import keras

from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled


@backbone(
    "readme-cnn",
    min_image_px=10,  # 10 -conv-> 8 -pool-> 4 -> 2 -> 1
    source="LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition (two "
    "convolutions with subsampling, then dense), with the ReLU and max pooling of today",
    images_alone=True,
)
def readme_cnn(image_shape: ImageShape, *, width: float = 1.0) -> keras.Model:
    """Two convolutions (16, 32), max pooling, one dense layer of 128.

    For images of 75x75x1, without the batch axis:

    | layer | output | parameters |
    |---|---|---|
    | conv 3x3, 16, ReLU, no padding | 73x73x16 | 160 |
    | max pool 2x2 | 36x36x16 | |
    | conv 3x3, 32, ReLU, no padding | 34x34x32 | 4,640 |
    | max pool 2x2 | 17x17x32 | |
    | flatten, dense 128, ReLU | 128 | 1,183,872 |

    It does less arithmetic than `notebook-cnn` but has three times the parameters, nearly all of
    them in the dense layer.

    Args:
        image_shape: height, width and channels; at least 10x10 pixels.
        width: factor on all numbers of channels and on the dense layer.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to float `[n, 128]` (times
        `width`), at least 0.
    """
    inputs = keras.Input(image_shape, name="image")
    x = inputs
    for number, filters in enumerate((16, 32), start=1):
        x = keras.layers.Conv2D(
            scaled(filters, width), 3, activation="relu", name=f"conv_{number}"
        )(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    features = keras.layers.Dense(scaled(128, width), activation="relu", name="features")(x)
    return keras.Model(inputs, features, name="readme_cnn")
