import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import RunConfig
from harness.errors import UsageError
from sweeps.space import DEFAULT_SPACE, Range, SearchSpace


def test_the_default_space_searches_rate_and_both_weights():
    assert DEFAULT_SPACE.names() == ("learning_rate", "class_weight", "box_weight")
    assert all(item.log for item in DEFAULT_SPACE.ranges)


def test_apply_sets_the_searched_fields_and_no_other():
    params = {"learning_rate": 0.002, "class_weight": 3.0, "box_weight": 40.0}
    before = RunConfig(epochs=7)
    after = DEFAULT_SPACE.apply(before, params)
    assert after.to_json() == before.to_json() | params


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"name": "learning_rat", "low": 0.1, "high": 1.0}, "Did you mean 'learning_rate'"),
        ({"name": "backbone", "low": 0, "high": 1}, "holds a str"),
        ({"name": "evaluate_test", "low": 0, "high": 1}, "holds a bool"),
        ({"name": "seed", "low": 0, "high": 9}, "luckiest seed"),
        ({"name": "data_seed", "low": 0, "high": 9}, "never searched"),
        ({"name": "learning_rate", "low": 0.1, "high": 0.01}, "low < high, got 0.1..0.01"),
        ({"name": "learning_rate", "low": 0.1, "high": 0.1}, "low < high"),
        ({"name": "learning_rate", "low": 0.0, "high": 0.1, "log": True}, "greater than 0"),
        ({"name": "box_weight", "low": 0.0, "high": 1.0, "log": True}, "low > 0"),
        ({"name": "box_weight", "low": -1.0, "high": 1.0}, "at least 0"),
        ({"name": "learning_rate", "low": 0.1, "high": 11.0}, "at most 10"),
        ({"name": "learning_rate", "low": float("nan"), "high": 1.0}, "learning_rate"),
        ({"name": "learning_rate", "low": 0.1, "high": float("inf")}, "learning_rate"),
        ({"name": "batch_size", "low": 8.0, "high": 64}, "whole numbers, got 8.0"),
        ({"name": "batch_size", "low": 16, "high": 64, "step": 0}, "above 0"),
        ({"name": "batch_size", "low": 16, "high": 64, "step": 20}, "exactly"),
        ({"name": "batch_size", "low": 16, "high": 64, "step": 1.5}, "must be whole"),
        ({"name": "batch_size", "low": 1, "high": 64, "log": True, "step": 7}, "logarithmic"),
    ],
)
def test_unfit_ranges_are_refused_in_words(ends, words):
    with pytest.raises(UsageError, match=words):
        Range(**ends)


def test_a_space_is_neither_empty_nor_double():
    rate = Range(name="learning_rate", low=0.1, high=1.0)
    with pytest.raises(UsageError, match="at least one range"):
        SearchSpace(ranges=())
    with pytest.raises(UsageError, match="`learning_rate` must have one range"):
        SearchSpace(ranges=(rate, rate))


@given(
    low=st.floats(1e-5, 1.0), factor=st.floats(1.5, 10.0), log=st.booleans(),
    first=st.integers(1, 100), count=st.integers(1, 50), step=st.integers(1, 9),
)  # fmt: skip
def test_json_gives_the_same_space_back(low, factor, log, first, count, step):
    space = SearchSpace(
        ranges=(
            Range(name="learning_rate", low=low, high=low * factor, log=log),
            Range(name="batch_size", low=first, high=first + count * step, step=step),
        )
    )
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize("text", ['{"learning_rate": {"lo": 1}}', '{"learning_rate": 3}', "[1]"])
def test_json_that_is_no_space_is_refused(text):
    with pytest.raises(UsageError, match="no search space"):
        SearchSpace.from_json(json.loads(text))
