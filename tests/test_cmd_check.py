"""`bench check`: one table, what failed and how to mend it, and an exit code."""

from __future__ import annotations

import keras
import pytest

from architectures import contract
from architectures.registry import ImageShape
from harness import cli

# Keras 3.15 saves its variables by an `__array__` call that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def good(image_shape: ImageShape) -> keras.Model:
    images = keras.Input(image_shape)
    features = keras.layers.Conv2D(4, 9, strides=9, padding="same", activation="tanh")(images)
    return keras.Model(images, features)


def boom(image_shape: ImageShape) -> keras.Model:
    raise ZeroDivisionError("odd")


def square(image_shape: ImageShape) -> keras.Model:
    if image_shape[0] != image_shape[1]:
        raise ValueError("must be square")
    return good(image_shape)


def bench(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(line.split())
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def test_what_holds_is_said_with_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, error = bench("check test_cmd_check:good", capsys)
    assert (code, error) == (0, "")
    assert said.count("holds") == len(contract.CHECKS)
    assert "all 12 checks hold: `bench run --backbone test_cmd_check:good` trains it" in said


def test_faults_of_several_are_all_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, error = bench("check test_cmd_check:boom test_cmd_check:square", capsys)
    assert code == 1
    assert error == "Error: Every check must hold, but 2 failed: see above.\n"
    # The name as it was typed: rich would make an emoji of `:boom:`.
    assert "features: Backbone 'test_cmd_check:boom' must build for images of shape" in said
    assert said.count("not tried") == len(contract.CHECKS) - 1
    assert "image_sizes: test_cmd_check:square: it must build for images of shape" in said
    assert "must be square" in said
    assert said.count("FAILS") == 2


def test_an_unknown_name_is_met_before_anything_slow(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, error = bench("check good patch-z", capsys)
    assert (code, said) == (2, "")
    assert error.startswith("Error: Unknown backbone 'good'.")
    assert "`bench list backbones` lists all" in error
