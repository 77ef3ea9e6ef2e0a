"""Axes are read as they are typed, and what is printed is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from sweeps.axes import Axis, Choice, Range
from sweeps.search_text import axis_text, parse_axis
from sweeps.space import DEFAULT_SPACE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-4..1e-2:log", DEFAULT_SPACE.axes[0]),
        (" learning-rate=1e-4..0.01:log ", DEFAULT_SPACE.axes[0]),
        (
            "learning_rate=1e-4..1e-1:log",
            Range(name="learning_rate", low=1e-4, high=0.1, log=True),
        ),
        ("batch_size=16..64:16", Range(name="batch_size", low=16, high=64, step=16)),
        ("box_weight=0.5..2", Range(name="box_weight", low=0.5, high=2)),
        ("box_weight=.5..2.", Range(name="box_weight", low=0.5, high=2.0)),
        ("box_weight=0...5", Range(name="box_weight", low=0, high=0.5)),
        ("depth=1,2,3", Choice(name="depth", values=(1, 2, 3))),
        ("depth = 3, 1", Choice(name="depth", values=(3, 1))),
        ("width=1,0.5", Choice(name="width", values=(1.0, 0.5))),
        ("learning-rate=1e-3,.01", Choice(name="learning_rate", values=(0.001, 0.01))),
        ("head=dense,soft-argmax", Choice(name="head", values=("dense", "soft-argmax"))),
        ("jit=off,on", Choice(name="jit", values=("off", "on"))),
        ("pretrained=none,imagenet", Choice(name="pretrained", values=("none", "imagenet"))),
        ("backbone=readme-cnn,my.net:small",
         Choice(name="backbone", values=("readme-cnn", "my.net:small"))),
    ],
)  # fmt: skip
def test_axes_are_read_as_they_are_typed(text: str, expected: Axis) -> None:
    found = parse_axis(text)
    assert found == expected
    if isinstance(found, Choice) and isinstance(expected, Choice):
        assert list(map(type, found.values)) == list(map(type, expected.values))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "nonsense",
            "must read FIELD=LOW..HIGH.* or name a FILE.toml, got 'nonsense'",
        ),
        ("depth=", "must read FIELD"),
        ("=1,2", "must read FIELD"),
        ("depth=1..2..", "'2..' .*must be a number"),
        ("depth=..2", "must read FIELD"),
        ("depth=1..2:", "must read FIELD"),
        ("dept=1,2", "Did you mean 'depth'"),
        ("dept=whatever", "Did you mean 'depth'"),
        ("depth=3", "at least two values, got 1. Fix it with --depth instead"),
        ("head=dense", "at least two values"),
        ("depth=1,2,", "must be empty, but one is"),
        ("depth=1,,2", "must be empty, but one is"),
        ("head=dense, ", "must be empty, but one is"),
        ("depth=1,2,1", "1 comes 2 times"),
        ("depth=1,1.5", "`depth` must be int, got 1.5"),
        ("depth=1,two", "'two' in 'depth=1,two' must be a number"),
        ("depth=0,1", "at least 1 .*got 0"),
        ("width=0.5,17", "at most 16, got 17.0"),
        ("width=0.5,nan", "greater than 0"),
        ("width=0.5,1:log", "'1:log' .*must be a number"),
        ("width=0.5..1,2", "'0.5..1' .*must be a number"),
        ("learning_rate=low..1", "'low' .*must be a number"),
        ("head=1..2", "holds a str. Name its values: --search head=A,B"),
        ("jit=on,maybe", "`jit` must be one of off, on, auto"),
        ("seed=1,2", "never searched: the luckiest seed"),
        ("epochs=5,10", "never searched: .*--trial-epochs"),
        ("strategy=cpu,mirrored", "never searched: .*devices once"),
    ],
)
def test_what_is_typed_wrong_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_axis(text)


@given(low=st.floats(1e-6, 1.0), high=st.floats(1.5, 9.0), log=st.booleans())
def test_printed_ranges_are_read_back_to_the_last_digit(
    low: float, high: float, log: bool
) -> None:
    axis = Range(name="learning_rate", low=low, high=high, log=log)
    assert parse_axis(axis_text(axis)) == axis


@given(values=st.lists(st.floats(1e-6, 16.0), min_size=2, max_size=6, unique=True))
def test_printed_choices_are_read_back_to_the_last_digit(values: list[float]) -> None:
    axis = Choice(name="width", values=tuple(values))
    assert parse_axis(axis_text(axis)) == axis


@given(first=st.integers(1, 100), step=st.integers(1, 20), turns=st.integers(1, 20))
def test_printed_steps_are_read_back(first: int, step: int, turns: int) -> None:
    axis = Range(name="batch_size", low=first, high=first + step * turns, step=step)
    assert parse_axis(axis_text(axis)) == axis
