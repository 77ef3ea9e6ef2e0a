"""RunConfig: what it refuses, its JSON and its digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import MAX_SEED, Knob, RunConfig, digest_of, knobs
from harness.errors import UsageError


def values_of(knob: Knob) -> st.SearchStrategy[Any]:
    """Every value that a knob allows."""
    if knob.choices:
        allowed: st.SearchStrategy[Any] = st.sampled_from(knob.choices)
    elif knob.kind is float:
        low, high = knob.low, knob.high
        allowed = st.floats(low, high, exclude_min=knob.low_open, allow_nan=False)
    elif knob.kind is int:
        assert knob.low is not None
        allowed = st.integers(int(knob.low), None if knob.high is None else int(knob.high))
    elif knob.kind is bool:
        allowed = st.booleans()
    elif knob.span:
        # Ranges that every canvas has room for, whatever the angle.
        allowed = st.sampled_from(["8", "8..9", "22", "9..22"])
    else:
        allowed = st.text(max_size=20)
    return st.none() | allowed if knob.optional else allowed


def configs() -> st.SearchStrategy[RunConfig]:
    fields = {name: values_of(knob) for name, knob in knobs().items()}
    # Both weights 0 is refused, and tested below.
    fields["box_weight"] = st.floats(1e-3, 1e6)
    # So is a warm-up to a learning rate that is not scaled.
    fields["learning_rate_scaling"] = st.sampled_from(["linear", "sqrt"])
    fields["warmup_epochs"] = st.none() | st.floats(0, 1e6)
    # Digits must fit the canvas, and shares are whole percents.
    fields["canvas_px"] = st.none() | st.integers(64, 512)
    fields["contrast"] = st.sampled_from([None, "1", "0.3..1", "0.07"])
    fields["occlusion"] = st.none() | st.integers(0, 90).map(lambda percent: percent / 100)
    return st.builds(RunConfig, **fields)


@settings(deadline=None)
@given(configs())
def test_json_brings_back_an_equal_config_with_the_same_digest(config: RunConfig) -> None:
    text = json.dumps(config.to_json(), allow_nan=False)
    again = RunConfig.from_json(json.loads(text))
    assert again == config
    assert hash(again) == hash(config)
    assert again.digest() == config.digest()


@settings(deadline=None)
@given(configs(), st.data())
def test_another_value_is_another_digest(config: RunConfig, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(knobs())))
    value = data.draw(values_of(knobs()[name]))
    try:
        other = dataclasses.replace(config, **{name: value})
    except UsageError:  # both weights 0, a warm-up without scaling, or infinitely long
        assert name in {
            "class_weight", "box_weight", "learning_rate_scaling", "warmup_epochs",
            # No room for the largest digit, contrasts above 1, parts of a percent.
            "canvas_px", "contrast", "occlusion", "digit_px", "scene",
        }  # fmt: skip
        return
    assert (other.digest() == config.digest()) == (other == config)


def test_equal_configs_have_one_digest_however_numbers_are_written() -> None:
    assert RunConfig(learning_rate=1) == RunConfig(learning_rate=1.0)
    assert RunConfig(learning_rate=1).digest() == RunConfig(learning_rate=1.0).digest()
    assert RunConfig(class_weight=-0.0).digest() == RunConfig(class_weight=0.0).digest()


def test_the_digest_is_the_head_of_sha256_over_sorted_compact_json() -> None:
    # printf '{"a":1.5,"b":[null,true]}' | sha256sum
    assert digest_of({"b": [None, True], "a": 1.5}) == "6b6d9f84160765ea"
    text = json.dumps(RunConfig().to_json(), sort_keys=True, separators=(",", ":"))
    assert RunConfig().digest() == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_digest_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_of({"a": math.nan})


NUMBERS = [name for name, knob in knobs().items() if knob.kind in (int, float)]
WRONG = [math.nan, math.inf, -math.inf, -1, "1", True, b"1", [1], 10**400 * -1, 1 + 0j]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:10])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_refuse_what_is_no_number_or_outside(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"`{name}` must be"):
        RunConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NUMBERS)
def test_bounds(name: str) -> None:
    knob = knobs()[name]
    assert knob.low is not None
    if knob.low_open:
        with pytest.raises(UsageError, match="greater than"):
            RunConfig(**{name: knob.kind(knob.low)})
    else:
        assert getattr(RunConfig(**{name: knob.kind(knob.low)}), name) == knob.low
    if knob.high is not None:
        assert getattr(RunConfig(**{name: knob.kind(knob.high)}), name) == knob.high
        with pytest.raises(UsageError, match="at most"):
            RunConfig(**{name: knob.kind(knob.high) + 1})


@pytest.mark.parametrize("name", [n for n in NUMBERS if not knobs()[n].optional])
def test_none_is_refused_where_a_value_is_needed(name: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}` must be"):
        RunConfig(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"learning_rate": 10**400}, "`learning_rate` must be greater than 0 and at most 10"),
        ({"epochs": 2.0}, "`epochs` must be int, got 2.0"),
        ({"evaluate_test": 1}, "`evaluate_test` must be bool, got 1"),
        ({"backbone": None}, "`backbone` must be str, got None"),
        ({"jit": "yes"}, "`jit` must be one of off, on, auto, got 'yes'"),
        ({"jit": "atuo"}, r"got 'atuo'\. Did you mean 'auto'\?"),
        (
            {"precision": "float16"},
            r"mixed_bfloat16, mixed_float16, got 'float16'\. Did you mean 'mixed_float16'\?",
        ),
        ({"precision": "bfloat16"}, r"Did you mean 'mixed_bfloat16'\?"),
        ({"learning_rate_scaling": "liner"}, r"got 'liner'\. Did you mean 'linear'\?"),
        ({"reference_batch_size": 0}, "`reference_batch_size` must be at least 1, got 0"),
        (
            {"warmup_epochs": 2, "learning_rate_scaling": "none"},
            "`warmup_epochs` leads to a scaled learning rate, got 2 without scaling",
        ),
        ({"jit": ["on"]}, r"`jit` must be str, got \['on'\]"),
        ({"seed": MAX_SEED + 1}, "at least 0 and at most 2147483647, got 2147483648"),
        ({"class_weight": 0, "box_weight": 0.0}, "must not both be 0: nothing would be learned"),
    ],
)
def test_words_of_refusal(values: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        RunConfig(**values)


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Unknown configuration field 'lr'. Known: backbone, "):
        RunConfig.from_json({"lr": 1e-3})


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", list(knobs()))
def test_every_knob_says_what_it_is(name: str) -> None:
    knob = knobs()[name]
    assert knob.help.endswith(".")
    assert knob.group in {"Model", "Training", "Augmentation", "Data", "Hardware"}
    knob.check(name, getattr(RunConfig(), name))
