"""`keras/<Name>`: the list is Keras's, the preprocessing is Keras's, and the contract holds."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from architectures import contract, registry
from architectures.heads import attach_heads
from architectures.keras_applications import preprocessed
from architectures.keras_names import FAMILIES, KERAS_APPLICATIONS, Family, members
from harness.errors import UsageError

SCENE = (75, 75, 1)
LIGHT = "keras/MobileNet"

FAMILY = dict(members())


def by_module(family: Family) -> str:
    return family.module


def test_the_table_lists_what_the_installed_keras_offers() -> None:
    functions = inspect.getmembers(keras.applications, inspect.isfunction)
    offered = {name for name, _ in functions}
    assert offered == set(FAMILY), "add to, or take from, FAMILIES in architectures/keras_names.py"
    assert set(KERAS_APPLICATIONS) == {f"keras/{name}" for name in offered}


def test_every_module_with_preprocessing_has_a_family() -> None:
    modules = {name for name, _ in inspect.getmembers(keras.applications, inspect.ismodule)}
    # `resnet50` is an older name of a part of `resnet`; `imagenet_utils` is what they share.
    assert modules - {"resnet50", "imagenet_utils"} == {family.module for family in FAMILIES}


@pytest.mark.parametrize("model", FAMILY)
def test_a_model_stands_in_the_module_where_keras_has_it(model: str) -> None:
    home = getattr(keras.applications, model).__module__
    assert home.rpartition(".")[2] == FAMILY[model].module


def test_names_are_listed_without_importing_keras() -> None:
    code = (
        "import sys; from architectures import registry; registry.check_name('keras/VGG16');"
        "print('keras/ResNet50' in registry.names(), 'keras' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("model", FAMILY)
def test_what_is_listed_is_what_is_loaded(model: str) -> None:
    entry, loaded = KERAS_APPLICATIONS[f"keras/{model}"], registry.get(f"keras/{model}")
    assert (loaded.name, loaded.location) == (entry.name, entry.location)
    assert loaded.summary == entry.summary
    assert loaded.options == entry.options == ("pretrained",)
    assert loaded.source == FAMILY[model].paper
    assert loaded.min_image_px == FAMILY[model].min_image_px


# Preprocessing -------------------------------------------------------------------------------


def bytes_of(channels: int) -> Any:
    """Every byte at least once in each channel; float32 `[2, 16, 16, channels]`."""
    rng = np.random.default_rng(0)
    columns = [rng.permutation(512) % 256 for _ in range(channels)]
    return np.stack(columns, -1).reshape(2, 16, 16, channels).astype(np.float32)


def keras_preprocessing(family: Family, raw: Any) -> Any:
    # It may write into what it is given.
    return getattr(keras.applications, family.module).preprocess_input(raw.copy())


def preprocessing(family: Family, channels: int) -> keras.Model:
    inputs = keras.Input((16, 16, channels))
    return keras.Model(inputs, preprocessed(inputs, family.pixels))


# Values reach 255 and float32 has 24 bits: one rounding is 255 / 2**24 = 1.5e-5.
ROUNDING = 1e-4


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("family", FAMILIES, ids=by_module)
def test_preprocessing_is_what_keras_does_to_bytes(family: Family, channels: int) -> None:
    raw = bytes_of(channels)
    ours = np.asarray(preprocessing(family, channels)(raw / 255))
    theirs = keras_preprocessing(family, np.repeat(raw, 3 // channels, axis=-1))
    assert ours.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDING)


# The only family with a layer of our own; `check_save_and_load` sees the others.
def test_blue_first_survives_saving(tmp_path: Path) -> None:
    model = preprocessing(FAMILY["VGG16"], 3)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    raw = bytes_of(3) / 255
    np.testing.assert_array_equal(np.asarray(model(raw)), np.asarray(copy(raw)))


# White is 1 in [0, 1], 255 in bytes, and by each paper's scaling:
#   MobileNetV3 255 / 127.5 - 1 = 1; EfficientNet 255 / 255 = 1, mean 0 and variance 1 until
#   trained; EfficientNetV2 B (1 - 0.485) / 0.229 = 2.2489 in red; ConvNeXt the same.
@pytest.mark.parametrize(
    ("model", "last", "white"),
    [
        ("MobileNetV3Small", keras.layers.Rescaling, 1.0),
        ("EfficientNetB0", keras.layers.Normalization, 1.0),
        ("EfficientNetV2B0", keras.layers.Normalization, 2.2489),
        ("ConvNeXtTiny", keras.layers.Normalization, 2.2489),
    ],
)
def test_networks_that_take_bytes_scale_them_themselves(
    model: str, last: type[keras.layers.Layer], white: float
) -> None:
    body = registry.get(f"keras/{model}")((32, 32, 1))
    scaling = [layer for layer in body.layers if isinstance(layer, last)][-1]
    seen = keras.Model(body.input, scaling.output)(np.ones((1, 32, 32, 1), np.float32))
    assert float(seen[0, 0, 0, 0]) == pytest.approx(white, abs=1e-4)


def test_bytes_are_not_rounded_under_mixed_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = preprocessing(FAMILY["ResNet50"], 1)
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}


# Networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", contract.CHECKS)
def test_contract_of_a_light_one(check: contract.Check) -> None:
    check(registry.get(LIGHT), SCENE)


# Rows and columns at 75x75: five halvings that round up (padded), 75 38 19 10 5 3; VGG's round
# down, 75 37 18 9 4 2; so does ConvNeXt's stem of 4, 75 18 9 4 2.
# Parameters without the top as Keras documents or its authors count them: for VGG16
#   9 x (3 x 64 + 64 x 64 + 64 x 128 + 128 x 128 + 128 x 256 + 2 x 256 x 256 + 256 x 512
#   + 5 x 512 x 512) + 2 x 64 + 2 x 128 + 3 x 256 + 6 x 512 = 14,714,688.
@pytest.mark.parametrize(
    ("model", "shape", "parameters"),
    [
        ("VGG16", (2, 2, 512), 14_714_688),
        ("ResNet50", (3, 3, 2048), 23_587_712),
        ("MobileNetV2", (3, 3, 1280), 2_257_984),
        ("ConvNeXtTiny", (2, 2, 768), 27_820_128),
    ],
)
def test_feature_map_and_parameters(model: str, shape: tuple[int, ...], parameters: int) -> None:
    body = registry.get(f"keras/{model}")(SCENE)
    assert body.output.shape[1:] == shape
    assert body.count_params() == parameters
    assert round(parameters / 1e6, 1) == FAMILY[model].millions[model]


def test_layers_are_listed_one_by_one_and_colour_needs_no_repeating() -> None:
    grey, colour = (registry.get("keras/ResNet50")((33, 47, n)) for n in (1, 3))
    names = [layer.name for layer in grey.layers]
    assert names[:5] == ["image", "image_rgb", "image_bgr", "image_scaled", "conv1_pad"]
    assert [name for name in names if name != "image_rgb"] == [la.name for la in colour.layers]
    assert len(set(names)) == len(names)
    assert not any(isinstance(layer, keras.Model) for layer in grey.layers)


def test_layer_names_do_not_clash_when_built_again() -> None:
    for _ in range(2):
        model = attach_heads(registry.get(LIGHT)(SCENE), 10)
        names = [layer.name for layer in model.layers]
        assert len(set(names)) == len(names)


def test_statistics_follow_within_an_epoch() -> None:
    model = registry.get("keras/MobileNetV3Small")(SCENE)
    normalising = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert normalising
    assert {layer.momentum for layer in normalising} == {0.9}  # Keras has 0.999


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "px"),
    [("MobileNet", 32), ("Xception", 71), ("InceptionV3", 75)],
)
def test_the_smallest_image_is_exact(model: str, px: int) -> None:
    member = registry.get(f"keras/{model}")
    assert 0 not in member((px, px + 9, 1)).output.shape
    with pytest.raises(
        UsageError, match=f"at least {px} x {px} pixels, but got {px + 9} x {px - 1}"
    ):
        member((px + 9, px - 1, 1))
    # Keras itself takes no less: the limit is not stricter than it has to be.
    with pytest.raises(ValueError, match=f"at least {px}x{px}"):
        member.function((px - 1, px - 1, 1))


def test_an_unknown_model_gets_the_nearest_name() -> None:
    for look in (registry.get, registry.check_name):
        with pytest.raises(UsageError, match="Did you mean 'keras/ResNet50'"):
            look("keras/ResNet51")


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((75, 75, 4), {}, "keras/VGG16 takes images of 1 or 3 channels, got 4"),
        (
            SCENE,
            {"pretrained": "imagnet"},
            '"none" or "imagenet" for keras/VGG16, got \'imagnet\'',
        ),
        (SCENE, {"pretrained": None}, '"none" or "imagenet" for keras/VGG16, got None'),
        (SCENE, {"width": 0.5}, "has no `width` to set. It takes `pretrained`"),
    ],
)
def test_bad_requests(shape: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        registry.get("keras/VGG16")(shape, **options)
    assert words in str(raised.value)
