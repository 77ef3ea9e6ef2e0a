"""Packages that look absent for a moment."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from harness import lean

ABSENT = "wave"  # of the standard library, and loaded by nobody here


@pytest.fixture
def _hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, ABSENT, raising=False)
    monkeypatch.setattr(lean, "EXTRAS", (ABSENT, "numpy"))


@pytest.mark.usefixtures("_hidden")
def test_an_extra_looks_absent_inside_and_only_there() -> None:
    with lean.without_extras(), pytest.raises(ModuleNotFoundError):
        __import__(ABSENT)
    assert __import__(ABSENT).__name__ == ABSENT


@pytest.mark.usefixtures("_hidden")
def test_what_is_loaded_stays() -> None:
    with lean.without_extras():
        assert __import__("numpy") is np
    assert sys.modules["numpy"] is np


@pytest.mark.usefixtures("_hidden")
def test_an_error_inside_hides_nothing_for_ever() -> None:
    with pytest.raises(ValueError, match="broken"), lean.without_extras():
        raise ValueError("broken")
    assert ABSENT not in sys.modules
    assert __import__(ABSENT).__name__ == ABSENT
