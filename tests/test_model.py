"""The network of a run and the table of its layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import SHAPE, plan

from architectures import registry
from harness.errors import PluginError, UsageError
from harness.model import Network, build, facts
from harness.record import ModelFacts


def built(backbone: str, seed: int = 0) -> Network:
    return build(plan(backbone), seed=seed)


def size(backbone: str) -> ModelFacts:
    found, _ = facts(built(backbone))
    return found


def test_weights_depend_on_the_seed_alone() -> None:
    one = built("nets:tiny", seed=5).model.get_weights()
    built("nets:dropping", seed=6)
    again, other = (built("nets:tiny", seed=seed).model.get_weights() for seed in (5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_a_precision_does_not_leak_to_later_layers_also_after_an_error() -> None:
    with pytest.raises(PluginError, match="This was under --precision mixed_float16: float32 may"):
        build(plan("nets:broken", precision="mixed_float16"), seed=0)
    assert keras.config.dtype_policy().name == "float32"
    half = build(plan("nets:tiny", precision="mixed_float16"), seed=0)
    assert half.body.output.dtype == "float16"
    assert {output.dtype for output in half.model.outputs} == {"float32"}
    assert built("nets:tiny").body.output.dtype == "float32"


def test_outputs_are_classes_and_boxes() -> None:
    model = built("nets:tiny").model
    probabilities, boxes = model(np.zeros((3, *SHAPE), np.float32))
    assert model.output_names == ["classification", "bounding_box"]
    assert (tuple(probabilities.shape), tuple(boxes.shape)) == ((3, 10), (3, 4))


def test_the_layers_of_a_small_network_by_hand() -> None:
    found, mflops = facts(built("nets:tiny"))
    # 75 -pool 5-> 15 -3x3, stride 2-> 7; 7 * 7 * 4 = 196.
    assert [
        (layer.kind, layer.output_shape, layer.parameters, layer.multiply_adds)
        for layer in found.layers
    ] == [
        ("InputLayer", (75, 75, 1), 0, 0),
        ("AveragePooling2D", (15, 15, 1), 0, 0),
        ("Conv2D", (7, 7, 4), 9 * 4 + 4, 7 * 7 * 4 * 9),
        ("Flatten", (196,), 0, 0),
        ("Dense", (12,), 196 * 12 + 12, 196 * 12),
        ("Dense", (10,), 12 * 10 + 10, 12 * 10),
        ("Dense", (4,), 12 * 4 + 4, 12 * 4),
    ]
    assert [layer.part for layer in found.layers] == ["backbone"] * 5 + ["head"] * 2
    assert mflops.value == 2 * (1764 + 2352 + 120 + 48) / 1e6
    assert found.backbone_parameters == 40 + 2364
    assert found.parameters == 2404 + 130 + 52


@pytest.mark.parametrize("name", sorted(registry.BUILTIN))
def test_the_table_of_a_backbone_adds_up(name: str) -> None:
    network = built(name)
    found, _ = facts(network)
    assert found.parameters == sum(weight.size for weight in network.model.get_weights())
    assert found.parameters == sum(layer.parameters for layer in found.layers)
    body = registry.get(name)(SHAPE)
    assert found.backbone_parameters == body.count_params()
    in_body = [layer.parameters for layer in found.layers if layer.part == "backbone"]
    assert found.backbone_parameters == sum(in_body)


def test_models_within_a_model_are_opened_where_they_have_layers_to_show() -> None:
    found = size("nets:nested")
    names = [layer.name for layer in found.layers]
    assert names.index("inside") < names.index("in_row") < names.index("own")
    own = found.layers[names.index("own")]
    assert (own.kind, own.output_shape, own.parameters) == ("Subclassed", (7, 7, 4), 4 * 4 + 4)
    assert found.parameters == sum(layer.parameters for layer in found.layers)


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(UsageError, match="Unknown backbone 'no-such'"):
        built("no-such")
    with pytest.raises(PluginError, match="nets:broken raised ValueError: no such network"):
        built("nets:broken")
    with pytest.raises(PluginError, match=r"must return a keras\.Model, got Scenes"):
        built("nets:not_a_network")


def test_a_backbone_registered_by_hand_is_built() -> None:
    with registry.temporary():

        @registry.backbone("by-hand")
        def by_hand(image_shape: registry.ImageShape) -> keras.Model:
            inputs = keras.Input(image_shape)
            return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))

        assert size("by-hand").parameters == (1 * 10 + 10) + (1 * 4 + 4)
