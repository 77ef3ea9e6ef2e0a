"""Every registered backbone keeps the contract; those of this house have the layers they claim."""

from __future__ import annotations

import os
import sys

import keras
import numpy as np
import pytest

from architectures import contract, registry
from architectures.heads import attach_heads
from architectures.registry import BUILTIN

# Keras 3.15 saves its variables by an `__array__` call that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SCENE = (75, 75, 1)

SMALL = (40, 40, 1)
"""Enough for every stage of every family, and quick."""

LARGER = {name for name in BUILTIN if name.endswith(("-m", "-l"))}
"""Members that share their code with a small one; the whole kit over them takes minutes."""

ALL = pytest.mark.skipif(os.environ.get("BENCH_ZOO") != "all", reason="BENCH_ZOO=all runs it")


@pytest.mark.parametrize("check", contract.CHECKS)
@pytest.mark.parametrize("name", sorted(set(BUILTIN) - LARGER))
def test_contract(name: str, check: contract.Check) -> None:
    check(registry.get(name), SMALL)


@ALL
@pytest.mark.parametrize("check", contract.CHECKS)
@pytest.mark.parametrize("name", sorted(LARGER))
def test_contract_of_the_larger_ones(name: str, check: contract.Check) -> None:
    check(registry.get(name), SCENE)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=ALL) if n.endswith("-l") else n for n in sorted(BUILTIN)],
)
def test_scenes_make_features(name: str) -> None:
    contract.check_features(registry.get(name), SCENE)


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - LARGER))
def test_colour_images_that_are_not_square(name: str) -> None:
    contract.check_features(registry.get(name), (40, 56, 3))


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_the_listed_summary_is_the_one_of_the_function(name: str) -> None:
    loaded = registry.get(name)
    assert loaded.name == name
    assert loaded.summary == BUILTIN[name].summary
    assert loaded.location == BUILTIN[name].location
    assert loaded.source


def test_a_built_in_first_asked_for_inside_temporary_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "architectures.readme_cnn", raising=False)
    monkeypatch.delitem(registry._registered, "readme-cnn", raising=False)
    with registry.temporary():
        inside = registry.get("readme-cnn")
    assert inside.min_image_px == 10
    assert registry.get("readme-cnn") == inside


# Conv 3x3 without padding takes 2 off each side, pooling halves and rounds down:
# 75 -> 73 -> 36 -> 34 -> 17 -> 15 -> 7.
#   conv 1   3 x 3 x  1 x 16 + 16 =    160
#   conv 2   3 x 3 x 16 x 32 + 32 =  4,640
#   conv 3   3 x 3 x 32 x 64 + 64 = 18,496
#   notebook dense   7 x  7 x 64 x 128 + 128 =   401,536, in all   424,832
#   readme dense    17 x 17 x 32 x 128 + 128 = 1,183,872, in all 1,188,672 (no conv 3)
#   heads    128 x 10 + 10 + 128 x 4 + 4 = 1,806
@pytest.mark.parametrize(
    ("name", "parameters"), [("notebook-cnn", 424_832), ("readme-cnn", 1_188_672)]
)
def test_parameters_by_hand(name: str, parameters: int) -> None:
    body = registry.get(name)(SCENE)
    assert body.count_params() == parameters
    assert attach_heads(body, 10).count_params() == parameters + 1_806


def shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(layer.output.shape[1:]) for layer in model.layers]


def test_layers_of_notebook_cnn() -> None:
    model = registry.get("notebook-cnn")(SCENE)
    assert shapes(model) == [
        (75, 75, 1), (73, 73, 16), (36, 36, 16), (34, 34, 32), (17, 17, 32), (15, 15, 64),
        (7, 7, 64), (3136,), (128,),
    ]  # fmt: skip
    assert [type(layer).__name__ for layer in model.layers[1:3]] == ["Conv2D", "AveragePooling2D"]


def test_layers_of_readme_cnn() -> None:
    model = registry.get("readme-cnn")(SCENE)
    assert shapes(model) == [
        (75, 75, 1), (73, 73, 16), (36, 36, 16), (34, 34, 32), (17, 17, 32), (9248,), (128,),
    ]  # fmt: skip
    assert [type(layer).__name__ for layer in model.layers[1:3]] == ["Conv2D", "MaxPooling2D"]


@pytest.mark.parametrize("name", ["notebook-cnn", "readme-cnn"])
def test_every_layer_but_pooling_is_relu(name: str) -> None:
    model = registry.get(name)(SCENE)
    weighted = [layer for layer in model.layers if layer.weights]
    assert all(layer.activation is keras.activations.relu for layer in weighted)
    features = np.asarray(model(np.random.default_rng(0).random((2, *SCENE), np.float32)))
    assert (features >= 0).all()
    assert (features > 0).any()
