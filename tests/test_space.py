import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import RunConfig
from harness.errors import UsageError
from sweeps.axes import Choice, Range
from sweeps.space import DEFAULT_SPACE, SearchSpace

MIXED = SearchSpace(
    axes=(
        Choice(name="head", values=("soft-argmax", "dense")),
        Range(name="width", low=0.25, high=1.0),
        Choice(name="depth", values=(3, 1, 2)),
    )
)


CONDITIONAL = SearchSpace(
    axes=(
        Choice(name="backbone", values=("notebook-cnn", "residual-s", "vit-s")),
        Range(name="width", low=0.5, high=2.0),
        Choice(name="depth", values=(1, 2), only_for=("residual-s", "vit-s")),
        Choice(name="pretrained", values=("none", "imagenet"), only_for=("vit-s",)),
    )
)


def test_the_default_space_searches_rate_and_both_weights():
    assert DEFAULT_SPACE.names() == ("learning_rate", "class_weight", "box_weight")
    assert all(axis.log for axis in DEFAULT_SPACE.axes)


@pytest.mark.parametrize(
    ("space", "params"),
    [
        (DEFAULT_SPACE, {"learning_rate": 0.002, "class_weight": 3.0, "box_weight": 40.0}),
        (MIXED, {"head": "dense", "width": 0.3, "depth": 2}),
    ],
)
def test_apply_sets_the_searched_fields_and_no_other(space, params):
    before = RunConfig(epochs=7)
    after = space.apply(before, params)
    assert after.to_json() == before.to_json() | params


def test_a_space_is_neither_empty_nor_double():
    rate = Range(name="learning_rate", low=0.1, high=1.0)
    with pytest.raises(UsageError, match="at least one field"):
        SearchSpace(axes=())
    with pytest.raises(UsageError, match="`learning_rate` must be searched in one way"):
        SearchSpace(axes=(rate, Choice(name="learning_rate", values=(0.1, 1.0))))


def test_probes_by_hand():
    lowest = {"head": "soft-argmax", "width": 0.25, "depth": 1}
    assert list(MIXED.probes()) == [
        lowest,
        lowest | {"head": "dense"},
        lowest | {"width": 1.0},
        lowest | {"depth": 2},
        lowest | {"depth": 3},
    ]


def test_an_axis_meant_for_others_is_left_out():
    before = RunConfig(depth=7)
    params = {"backbone": "notebook-cnn", "width": 0.5}
    assert [axis.name for axis in CONDITIONAL.drawn(params)] == ["backbone", "width"]
    assert set(CONDITIONAL.distributions(params)) == {"backbone", "width"}
    assert CONDITIONAL.apply(before, params).to_json() == before.to_json() | params
    deep = {"backbone": "residual-s", "width": 0.5, "depth": 2}
    assert CONDITIONAL.apply(before, deep).to_json() == before.to_json() | deep
    assert CONDITIONAL.shared() == ("backbone", "width")


def test_probes_of_conditional_axes_by_hand():
    lowest = {"width": 0.5, "depth": 1, "pretrained": "none"}
    assert list(CONDITIONAL.probes()) == [
        {"backbone": "notebook-cnn", "width": 0.5},
        {"backbone": "residual-s", "width": 0.5, "depth": 1},
        {"backbone": "vit-s"} | lowest,
        {"backbone": "notebook-cnn", "width": 2.0},
        {"backbone": "residual-s", "width": 0.5, "depth": 2},
        {"backbone": "vit-s"} | lowest | {"pretrained": "imagenet"},
    ]


@pytest.mark.parametrize(
    "axes",
    [
        CONDITIONAL.axes[2:],
        (CONDITIONAL.axes[2], *CONDITIONAL.axes[:2]),
        (Choice(name="backbone", values=("vit-s", "mixer-s")), CONDITIONAL.axes[2]),
    ],
    ids=["no backbones", "before them", "others"],
)
def test_an_axis_is_meant_for_backbones_that_are_searched_before_it(axes):
    with pytest.raises(UsageError, match="`depth` is meant for backbones residual-s, vit-s: they"):
        SearchSpace(axes=axes)


def test_json_keeps_what_an_axis_is_meant_for():
    again = SearchSpace.from_json(json.loads(json.dumps(CONDITIONAL.to_json())))
    assert again == CONDITIONAL
    assert "only_for" not in json.dumps(MIXED.to_json()), "plans of before stay as they are"


@given(
    low=st.floats(1e-5, 1.0), factor=st.floats(1.5, 10.0), log=st.booleans(),
    first=st.integers(1, 100), count=st.integers(1, 50), step=st.integers(1, 9),
    widths=st.lists(st.floats(0.01, 16), min_size=2, max_size=5, unique=True),
    heads=st.permutations(["dense", "pooled", "soft-argmax"]),
)  # fmt: skip
def test_json_gives_the_same_space_back(low, factor, log, first, count, step, widths, heads):
    space = SearchSpace(
        axes=(
            Range(name="learning_rate", low=low, high=low * factor, log=log),
            Choice(name="head", values=tuple(heads)),
            Range(name="batch_size", low=first, high=first + count * step, step=step),
            Choice(name="width", values=tuple(widths)),
        )
    )
    again = SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.names() == space.names()


@pytest.mark.parametrize(
    "text",
    [
        '{"learning_rate": {"lo": 1}}',
        '{"learning_rate": 3}',
        "[1]",
        '{"head": {"values": "ab"}}',
        '{"head": "values"}',
        '{"depth": {"values": [1, 2], "log": true}}',
        '{"depth": {"values": [1, 2], "only_for": "vit-s"}}',
    ],
)
def test_json_that_is_no_space_is_refused(text):
    with pytest.raises(UsageError, match="no search space"):
        SearchSpace.from_json(json.loads(text))


def test_json_with_a_value_that_does_not_fit_names_the_field():
    with pytest.raises(UsageError, match="`depth` must be int"):
        SearchSpace.from_json({"depth": {"values": [1, [2]]}})
