"""`keras/<Name>`: every model of `keras.applications` as a backbone.

Each is Keras's own network without its top, ending in the last feature map. What comes before it
here, as layers of the same model, is what the network expects of its images:

| layer | what it does |
|---|---|
| `image_rgb` | only for one channel: repeats it three times |
| `image_bgr` | only for families from Caffe: blue first |
| `image_scaled` | from [0, 1] to what `preprocess_input` of the module makes of bytes |

These networks were made for 224x224 pixels and more and halve their maps five times (a stride of
32). What is left of 75x75 is 3x3 cells, or 2x2 where the network drops the odd row, and 1x1 for
the Inceptions, which pad nothing: little to tell where a digit is. They are contestants as
everybody knows them; families made for small scenes are the others of this room.

One thing is changed inside: the momentum of batch normalisation is at most 0.9 where Keras has
0.99 to 0.9997, made for many thousands of steps. An epoch of MNIST has 860, and in a deep chain
each layer waits for the one below: after 500 steps of 64 scenes, MobileNetV3Small classified 72 %
of new scenes by the statistics of their batch but 21 % by moving statistics of momentum 0.99; at
0.9 it was 82 % and 81 %.

The usual mistake is to feed [0, 1] where [0, 255] or [-1, 1] is expected: all trains, only worse,
and pretrained weights are of no use. Here it cannot be made.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras

from architectures.imagenet_weights import at_hand
from architectures.keras_names import Family, Pixels, members, summary
from architectures.registry import BuildFunction, ImageShape, backbone
from harness.errors import UsageError

# Means and deviations of red, green and blue over the training images of ImageNet: in [0, 1] as
# torchvision uses them, in bytes as VGG's authors published them.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_MEAN_BYTES = (123.68, 116.779, 103.939)

_MOMENTUM = 0.9  # what Keras itself gives EfficientNetV2; forgets the beginning in 20 steps

_PRETRAINED = ("none", "imagenet")


@keras.saving.register_keras_serializable(package="bench")
class BlueFirst(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Reverses the last axis: red, green, blue to blue, green, red; shape and dtype stay."""

    def call(self, images: Any) -> Any:
        """Return float `[n, rows, columns, channels]` with the channels in reverse order."""
        return keras.ops.flip(images, axis=-1)


def preprocessed(images: Any, pixels: Pixels) -> Any:
    """Return images as the networks of a family expect them.

    Float32 under mixed precision too: half precision would round bytes around 200 to eighths
    before anything has looked at them.

    Args:
        images: symbolic, float `[n, rows, columns, 1 or 3]` in [0, 1].
        pixels: what the family was made for.

    Returns:
        Symbolic, float32 `[n, rows, columns, 3]`.
    """
    if images.shape[-1] == 1:
        images = keras.layers.Concatenate(dtype="float32", name="image_rgb")([images] * 3)
    if pixels == "imagenet-bgr":
        images = BlueFirst(dtype="float32", name="image_bgr")(images)
    scale, offset = _linear(pixels)
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="image_scaled")(images)


def _linear(pixels: Pixels) -> tuple[float | list[float], float | list[float]]:
    """Return scale and offset, for all channels or for each, of values in [0, 1]."""
    match pixels:
        case "0..255":
            return 255.0, 0.0
        case "-1..1":
            return 2.0, -1.0
        case "imagenet":
            pairs = list(zip(_MEAN, _DEVIATION, strict=True))
            return [1 / deviation for _, deviation in pairs], [-m / d for m, d in pairs]
        case "imagenet-bgr":
            return 255.0, [-mean for mean in reversed(_MEAN_BYTES)]


def _build(model: str, family: Family, image_shape: ImageShape, pretrained: object) -> keras.Model:
    rows, columns, channels = image_shape
    if channels not in (1, 3):
        raise UsageError(f"keras/{model} takes images of 1 or 3 channels, got {channels}.")
    if pretrained not in _PRETRAINED:
        raise UsageError(
            f'`pretrained` must be "none" or "imagenet" for keras/{model}, got {pretrained!r}.'
        )
    inputs = keras.Input(image_shape, name="image")
    # As its input, not around it: the layers are those of one flat model.
    start = preprocessed(inputs, family.pixels)
    loading = pretrained == "imagenet"
    found = at_hand(f"keras/{model}", family.cached_as.get(model))
    with found if loading else contextlib.nullcontext():
        network = getattr(keras.applications, model)(
            include_top=False,
            weights="imagenet" if loading else None,
            input_tensor=start,
            input_shape=(rows, columns, 3),
        )
    _follow_sooner(network)
    # Keras's own model has a list for its one input, and warns of every tensor that it is given.
    return keras.Model(inputs, network.output, name=network.name)


def _follow_sooner(network: keras.Model) -> None:
    """Let the moving statistics of all layers follow within an epoch."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, _MOMENTUM)


def _member(model: str, family: Family) -> BuildFunction:
    """Return the registered function of one model."""

    def build(image_shape: ImageShape, *, pretrained: str = "none") -> keras.Model:
        return _build(model, family, image_shape, pretrained)

    build.__name__ = build.__qualname__ = model
    build.__doc__ = f"""{summary(model, family)}

    Args:
        image_shape: height, width and channels (1 or 3); at least {family.min_image_px} pixels.
        pretrained: "none" for new weights, "imagenet" for those that Keras downloads once.

    Returns:
        Model from float `[n, height, width, channels]` in [0, 1] to the last feature map.

    Raises:
        UsageError: other channels, or another `pretrained`.
        DataError: the weights can be neither found nor downloaded.
    """
    register = backbone(f"keras/{model}", min_image_px=family.min_image_px, source=family.paper)
    return register(build)


# `package.module:function` needs each of them to be a name of this module.
globals().update({model: _member(model, family) for model, family in members()})
