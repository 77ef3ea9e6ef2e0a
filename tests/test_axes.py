"""Which ranges and choices there are, and what Optuna makes of them."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from harness.config import RunConfig, knobs
from harness.errors import UsageError
from sweeps.axes import NOT_SEARCHED, Choice, Range

NAN = float("nan")


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"name": "learning_rat", "low": 0.1, "high": 1.0}, "Did you mean 'learning_rate'"),
        ({"name": "backbone", "low": 0, "high": 1}, "holds a str. Name its values"),
        ({"name": "learning_rate", "low": 0.1, "high": 0.01}, "low < high, got 0.1..0.01"),
        ({"name": "learning_rate", "low": 0.1, "high": 0.1}, "low < high"),
        ({"name": "learning_rate", "low": 0.0, "high": 0.1, "log": True}, "greater than 0"),
        ({"name": "box_weight", "low": 0.0, "high": 1.0, "log": True}, "low > 0"),
        ({"name": "box_weight", "low": -1.0, "high": 1.0}, "at least 0"),
        ({"name": "learning_rate", "low": 0.1, "high": 11.0}, "at most 10"),
        ({"name": "learning_rate", "low": NAN, "high": 1.0}, "learning_rate"),
        ({"name": "learning_rate", "low": 0.1, "high": float("inf")}, "learning_rate"),
        ({"name": "width", "low": None, "high": 1.0}, "must not be empty"),
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


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("dept", (1, 2), "Did you mean 'depth'"),
        ("depth", (), "at least two values, got 0"),
        ("depth", (2,), "at least two values, got 1. Fix it with --depth"),
        ("depth", (1, 2, 1), "named once, but 1 comes 2 times"),
        ("width", (1, 1.0), "named once, but 1 comes 2 times"),
        ("depth", (1, 2.5), "`depth` must be int, got 2.5"),
        ("depth", (1, True), "`depth` must be int, got True"),
        ("depth", (0, 1), "`depth` must be at least 1"),
        ("width", (0.5, 17.0), "at most 16, got 17.0"),
        ("width", (0.5, NAN), "greater than 0"),
        ("width", (0.5, "1"), "`width` must be float, got '1'"),
        ("width", (None, 1.0), "must not be empty"),
        ("head", ("dense", ""), "must not be empty"),
        ("head", ("dense", 3), "`head` must be str, got 3"),
        ("jit", ("on", "maybe"), "must be one of off, on, auto, got 'maybe'"),
    ],
)
def test_unfit_choices_are_refused_in_words(name, values, words):
    with pytest.raises(UsageError, match=words):
        Choice(name=name, values=values)


@pytest.mark.parametrize("name", NOT_SEARCHED)
def test_what_would_make_trials_incomparable_is_never_searched(name):
    value = getattr(RunConfig(), name)
    with pytest.raises(UsageError, match=f"`{name}` is never searched: .*{NOT_SEARCHED[name]}"):
        Choice(name=name, values=(value, value))
    with pytest.raises(UsageError, match=f"`{name}` is never searched"):
        Range(name=name, low=1, high=2)


def test_every_field_that_is_searched_can_be():
    values = {str: ("a", "b"), int: (1, 2), float: (0.5, 1.0)}
    for name, knob in knobs().items():
        if name not in NOT_SEARCHED:
            some = knob.choices or values[knob.kind]
            if knob.high is not None and knob.high < 1:
                some = (knob.high / 2, knob.high)
            found = Choice(name=name, values=some)
            assert len(found.values) > 1


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Range(name="width", low=0.25, high=1.0), FloatDistribution(0.25, 1.0)),
        (Range(name="width", low=0.25, high=4, log=True), FloatDistribution(0.25, 4, log=True)),
        (Range(name="depth", low=1, high=5, step=2), IntDistribution(1, 5, step=2)),
        # Whole numbers at equal distances: TPE shall know that 2 lies between 1 and 3.
        (Choice(name="depth", values=(1, 2, 3)), IntDistribution(1, 3)),
        (Choice(name="depth", values=(8, 2, 5)), IntDistribution(2, 8, step=3)),
        (Choice(name="batch_size", values=(32, 64)), IntDistribution(32, 64, step=32)),
        (Choice(name="batch_size", values=(16, 32, 64)), CategoricalDistribution((16, 32, 64))),
        # A step of floats would yield 0.30000000000000004.
        (Choice(name="width", values=(0.1, 0.2, 0.3)), CategoricalDistribution((0.1, 0.2, 0.3))),
        (Choice(name="width", values=(1, 2, 3)), CategoricalDistribution((1, 2, 3))),
        (Choice(name="jit", values=("on", "off")), CategoricalDistribution(("on", "off"))),
    ],
)
def test_axes_in_the_words_of_optuna(axis, expected):
    assert axis.distribution() == expected


@given(values=st.lists(st.integers(1, 64), min_size=2, max_size=6, unique=True))
def test_a_choice_yields_its_values_and_no_other(values):
    distribution = Choice(name="depth", values=tuple(values)).distribution()
    if isinstance(distribution, CategoricalDistribution):
        yielded = distribution.choices
    else:
        yielded = range(distribution.low, distribution.high + 1, distribution.step)
    assert sorted(yielded) == sorted(values)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Range(name="width", low=0.25, high=1.0), (0.25, 1.0)),
        (Choice(name="depth", values=(3, 1, 2)), (1, 2, 3)),
        (Choice(name="head", values=("soft-argmax", "dense")), ("soft-argmax", "dense")),
    ],
)
def test_extremes_lead_with_the_lowest(axis, expected):
    assert axis.extremes == expected


def test_tpe_learns_from_the_neighbours_of_whole_numbers():
    """Depth 7 is the best and was never tried; its neighbours are the best of those that were."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def share_of_seven(values):
        distributions = {"depth": Choice(name="depth", values=values).distribution()}
        proposed = []
        for seed in range(20):
            sampler = optuna.samplers.TPESampler(seed=seed)
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for depth in (1, 2, 3, 4, 6, 8, 10, 11, 12) * 3:
                study.add_trial(
                    optuna.trial.create_trial(
                        params={"depth": depth}, distributions=distributions, value=-abs(depth - 7)
                    )
                )
            proposed.append(study.ask(distributions).params["depth"])
        return proposed.count(7) / len(proposed)

    assert share_of_seven(tuple(range(1, 13))) > 0.8
    # The 64 makes the distances unequal, so these are categories without an order.
    assert share_of_seven((*range(1, 13), 64)) < 0.2
