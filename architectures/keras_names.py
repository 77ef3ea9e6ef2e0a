"""The models of `keras.applications`, by name: plain text, so that listing it imports no Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from architectures.builtin import Entry

Pixels = Literal["0..255", "-1..1", "imagenet", "imagenet-bgr"]
"""What values a family was made for:

- `0..255`: raw bytes; the model scales them itself;
- `-1..1`: x / 127.5 - 1 of the bytes x;
- `imagenet`: per channel (x / 255 - mean) / deviation, over the images of ImageNet;
- `imagenet-bgr`: blue first, x - mean of the bytes x, as Caffe fed its networks.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Models that share a module of `keras.applications`, and with it preprocessing and limits.

    Attributes:
        module: its name in `keras.applications`.
        paper: authors, year and title.
        pixels: what `preprocess_input` of the module does.
        millions: by model its parameters without the top, in millions.
        min_image_px: smallest width and height. Keras refuses smaller images before the feature
            map vanishes: at this size each model still has a map of 1x1 to 3x3.
        cached_as: by model the name of its weights in Keras's cache, where it is not the last
            part of their address.
    """

    module: str
    paper: str
    pixels: Pixels
    millions: Mapping[str, float]
    min_image_px: int = 32
    cached_as: Mapping[str, str] = field(default_factory=dict)


FAMILIES = (
    Family(
        module="convnext",
        paper="Liu et al. 2022 (A ConvNet for the 2020s)",
        pixels="0..255",
        millions={
            "ConvNeXtTiny": 27.8,
            "ConvNeXtSmall": 49.5,
            "ConvNeXtBase": 87.6,
            "ConvNeXtLarge": 196.2,
            "ConvNeXtXLarge": 348.1,
        },
    ),
    Family(
        module="densenet",
        paper="Huang et al. 2017 (Densely Connected Convolutional Networks)",
        pixels="imagenet",
        millions={"DenseNet121": 7.0, "DenseNet169": 12.6, "DenseNet201": 18.3},
    ),
    Family(
        module="efficientnet",
        paper="Tan and Le 2019 (EfficientNet: Rethinking Model Scaling)",
        pixels="0..255",
        millions={
            "EfficientNetB0": 4.0,
            "EfficientNetB1": 6.6,
            "EfficientNetB2": 7.8,
            "EfficientNetB3": 10.8,
            "EfficientNetB4": 17.7,
            "EfficientNetB5": 28.5,
            "EfficientNetB6": 41.0,
            "EfficientNetB7": 64.1,
        },
    ),
    Family(
        module="efficientnet_v2",
        paper="Tan and Le 2021 (EfficientNetV2: Smaller Models and Faster Training)",
        pixels="0..255",
        millions={
            "EfficientNetV2B0": 5.9,
            "EfficientNetV2B1": 6.9,
            "EfficientNetV2B2": 8.8,
            "EfficientNetV2B3": 12.9,
            "EfficientNetV2S": 20.3,
            "EfficientNetV2M": 53.2,
            "EfficientNetV2L": 117.7,
        },
    ),
    Family(
        module="inception_resnet_v2",
        paper="Szegedy et al. 2017 (Inception-v4, Inception-ResNet)",
        pixels="-1..1",
        millions={"InceptionResNetV2": 54.3},
        min_image_px=75,
    ),
    Family(
        module="inception_v3",
        paper="Szegedy et al. 2016 (Rethinking the Inception Architecture)",
        pixels="-1..1",
        millions={"InceptionV3": 21.8},
        min_image_px=75,
    ),
    Family(
        module="mobilenet",
        paper="Howard et al. 2017 (MobileNets)",
        pixels="-1..1",
        millions={"MobileNet": 3.2},
    ),
    Family(
        module="mobilenet_v2",
        paper="Sandler et al. 2018 (MobileNetV2)",
        pixels="-1..1",
        millions={"MobileNetV2": 2.3},
    ),
    Family(
        module="mobilenet_v3",
        paper="Howard et al. 2019 (Searching for MobileNetV3)",
        pixels="0..255",
        millions={"MobileNetV3Small": 0.9, "MobileNetV3Large": 3.0},
    ),
    Family(
        module="nasnet",
        paper="Zoph et al. 2018 (Learning Transferable Architectures)",
        pixels="-1..1",
        millions={"NASNetMobile": 4.3, "NASNetLarge": 84.9},
        cached_as={
            "NASNetMobile": "nasnet_mobile_no_top.h5",
            "NASNetLarge": "nasnet_large_no_top.h5",
        },
    ),
    Family(
        module="resnet",
        paper="He et al. 2016 (Deep Residual Learning for Image Recognition)",
        pixels="imagenet-bgr",
        millions={"ResNet50": 23.6, "ResNet101": 42.7, "ResNet152": 58.4},
    ),
    Family(
        module="resnet_v2",
        paper="He et al. 2016 (Identity Mappings in Deep Residual Networks)",
        pixels="-1..1",
        millions={"ResNet50V2": 23.6, "ResNet101V2": 42.6, "ResNet152V2": 58.3},
    ),
    Family(
        module="vgg16",
        paper="Simonyan and Zisserman 2015 (Very Deep Convolutional Networks)",
        pixels="imagenet-bgr",
        millions={"VGG16": 14.7},
    ),
    Family(
        module="vgg19",
        paper="Simonyan and Zisserman 2015 (Very Deep Convolutional Networks)",
        pixels="imagenet-bgr",
        millions={"VGG19": 20.0},
    ),
    Family(
        module="xception",
        paper="Chollet 2017 (Xception)",
        pixels="-1..1",
        millions={"Xception": 20.9},
        min_image_px=71,
    ),
)


def members() -> Iterator[tuple[str, Family]]:
    """Return every model's name in `keras.applications`, with its family."""
    return ((model, family) for family in FAMILIES for model in family.millions)


def summary(model: str, family: Family) -> str:
    """Return a model's line in the list of backbones."""
    return f"Of Keras, {family.millions[model]} M parameters: {family.paper}."


KERAS_APPLICATIONS: dict[str, Entry] = {
    f"keras/{model}": Entry(
        name=f"keras/{model}",
        location=f"architectures.keras_applications:{model}",
        owner="locbench",
        summary=summary(model, family),
        options=("pretrained",),
    )
    for model, family in members()
}
