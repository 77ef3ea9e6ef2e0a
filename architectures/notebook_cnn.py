"""`notebook-cnn`: the network of the well-known localization notebook."""

from __future__ import annotations

import keras

from architectures.registry import ImageShape, backbone
from architectures.scaling import scaled


@backbone(
    "notebook-cnn",
    min_image_px=22,  # 22 -conv-> 20 -pool-> 10 -> 8 -> 4 -> 2 -> 1
    source='Notebook "Image Classification and Object Localization": MNIST digits on 75x75',
    images_alone=True,
)
def notebook_cnn(image_shape: ImageShape, *, width: float = 1.0) -> keras.Model:
    """Three convolutions (16, 32, 64), average pooling, one dense layer of 128.

    For images of 75x75x1, without the batch axis:

    | layer | output | parameters |
    |---|---|---|
    | conv 3x3, 16, ReLU, no padding | 73x73x16 | 160 |
    | average pool 2x2 | 36x36x16 | |
    | conv 3x3, 32, ReLU, no padding | 34x34x32 | 4,640 |
    | average pool 2x2 | 17x17x32 | |
    | conv 3x3, 64, ReLU, no padding | 15x15x64 | 18,496 |
    | average pool 2x2 | 7x7x64 | |
    | flatten, dense 128, ReLU | 128 | 401,536 |

    Flattening, not global pooling, is what keeps the place of the digit for the box head. Without
    padding, what no whole window covers is lost: of 75 rows and columns the first 70 are seen.

    Args:
        image_shape: height, width and channels; at least 22x22 pixels.
        width: factor on all numbers of channels and on the dense layer.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to float `[n, 128]` (times
        `width`), at least 0.
    """
    inputs = keras.Input(image_shape, name="image")
    x = inputs
    for number, filters in enumerate((16, 32, 64), start=1):
        x = keras.layers.Conv2D(
            scaled(filters, width), 3, activation="relu", name=f"conv_{number}"
        )(x)
        x = keras.layers.AveragePooling2D(2, name=f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    features = keras.layers.Dense(scaled(128, width), activation="relu", name="features")(x)
    return keras.Model(inputs, features, name="notebook_cnn")
