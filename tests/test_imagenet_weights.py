"""ImageNet weights for `keras/<Name>`: refused, never answered, damaged and found.

Every way to the network leads to a port of this machine, so nothing here depends on one.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from zoo import Answer, ask, closed_port

from architectures import imagenet_weights

__all__ = ["closed_port"]  # a fixture

# Keras has no checksums for these two, so that files of ours pass for the real ones.
MOBILENET = "mobilenet_1_0_224_tf_no_top.h5"
MOBILENET_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keras")


@pytest.fixture(scope="module")
def original(home: Path) -> Any:
    """Return a network as Keras's authors trained it, in colour and without our layers, saved."""
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(224, 224, 3)
    )
    (home / "models").mkdir()
    network.save(home / "models" / MOBILENET)
    return network


@pytest.fixture(scope="module")
def answers(home: Path, original: Any, closed_port: int) -> dict[str, Answer]:
    (home / "models" / MOBILENET_V2).write_bytes(b"\x89HDF\r\n\x1a\n, and the line went dead")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cases = {
            "refused": ("VGG16", closed_port),
            "silent": ("VGG19", silent.getsockname()[1]),
            "damaged": ("MobileNetV2", closed_port),
            "found": ("MobileNet", closed_port),
        }
        return dict(zip(cases, ask(home, list(cases.values())), strict=True))


def test_weights_that_cannot_be_had_are_said_in_one_line(
    home: Path, answers: dict[str, Answer]
) -> None:
    said = answers["refused"]
    assert said.kind == "DataError"
    assert said.words.startswith("keras/VGG16 must find its ImageNet weights or be able to")
    assert "Connection refused" in said.words
    file = home / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert said.words.endswith(f"Use --pretrained none, or put that file at {file}.")
    assert "\n" not in said.words


def test_a_server_that_never_answers_is_left(answers: dict[str, Answer]) -> None:
    said = answers["silent"]
    assert said.kind == "DataError"
    assert "timed out" in said.words
    assert 1 < said.seconds < 60  # a second of waiting; the rest is building on a busy machine


def test_a_damaged_file_is_said_to_be_one(home: Path, answers: dict[str, Answer]) -> None:
    said = answers["damaged"]
    assert said.kind == "DataError"
    assert said.words.endswith(
        f"or delete what there is of it in {home / 'models'} and try again."
    )


def test_weights_at_hand_land_in_the_right_layers(
    home: Path, original: Any, answers: dict[str, Answer]
) -> None:
    assert answers["found"].words == ""
    with np.load(home / "MobileNet.npz") as ours:
        loaded = [ours[key] for key in ours.files]
    expected = original.get_weights()
    assert len(loaded) == len(expected) > 100
    assert all(np.array_equal(a, b) for a, b in zip(loaded, expected, strict=True))


def test_what_is_set_for_a_download_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert imagenet_weights.cache_folder() == tmp_path / "models"
    before = socket.getdefaulttimeout(), keras.config.is_interactive_logging_enabled()
    with imagenet_weights.at_hand("keras/VGG16"):
        assert socket.getdefaulttimeout() == imagenet_weights.ANSWER_S
        assert not keras.config.is_interactive_logging_enabled()
    assert (socket.getdefaulttimeout(), keras.config.is_interactive_logging_enabled()) == before


def test_an_interrupt_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), imagenet_weights.at_hand("keras/VGG16"):
        raise KeyboardInterrupt
