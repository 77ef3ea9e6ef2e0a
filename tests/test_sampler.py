import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.axes import Choice, Range
from sweeps.pruners import warmup_epochs
from sweeps.sampler import Guide, Judge, TrialRow, guide, propose
from sweeps.space import DEFAULT_SPACE, SearchSpace

SPACE = SearchSpace(
    axes=(
        *DEFAULT_SPACE.axes,
        Range(name="batch_size", low=16, high=64, step=16),
        Choice(name="depth", values=(3, 1, 2)),
        Choice(name="width", values=(0.5, 1.0, 4.0)),
        Choice(name="head", values=("dense", "soft-argmax")),
    )
)


def row(number, value, *, status="finished", curve=None):
    params = {"learning_rate": 1e-3, "class_weight": 1.0 + number / 10, "box_weight": 2.0}
    points = [value] * 6 if curve is None else curve
    return TrialRow(
        number=number, status=status, params=params, value=value,
        curve=tuple(enumerate(points, start=1)),
    )  # fmt: skip


def ask(number, known, *, seed=0, sampler="tpe", space=DEFAULT_SPACE):
    return propose(sampler, space, seed=seed, number=number, guide=known, directions=["maximize"])


def test_the_guide_ends_lookahead_trials_before():
    rows = [row(n, n / 10) for n in range(7)]
    known = guide(rows, 7, 4)
    # Trial 7 may see trials up to 7 - 4 = 3, and knows only where 4, 5 and 6 looked.
    assert [r.number for r in known.seen] == [0, 1, 2, 3]
    assert known.unseen == tuple(r.params for r in rows[4:])


def test_the_first_trials_depend_on_nothing():
    for number in range(4):
        assert guide([row(n, 0.5) for n in range(number)], number, 4).seen == ()


def test_a_trial_waits_for_what_it_depends_on_and_for_nothing_else():
    rows = [row(n, 0.5) for n in range(5)]
    running = TrialRow(number=1, status="running", params=rows[1].params)
    assert guide([rows[0], running, *rows[2:]], 5, 4) is None
    assert guide([rows[0], running, *rows[2:4]], 4, 4) is not None


def test_failed_trials_guide_nobody():
    rows = [row(0, 0.1), row(1, None, status="failed", curve=()), row(2, 0.3, status="pruned")]
    assert [r.number for r in guide(rows, 3, 1).seen] == [0, 2]


@given(number=st.integers(0, 40), late=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_proposal_ignores_the_results_of_the_last_trials(number, late):
    rows = [row(n, math.sin(n)) for n in range(number)]
    other = list(rows)
    for k, value in enumerate(late):
        if number - 1 - k >= 0:
            other[number - 1 - k] = row(number - 1 - k, value, status="pruned")
    assert guide(rows, number, 4) == guide(other, number, 4)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_equal_questions_get_equal_answers_and_others_do_not(sampler):
    known = guide([row(n, math.sin(n)) for n in range(20)], 20, 4)
    first = ask(20, known, sampler=sampler)
    assert ask(20, known, sampler=sampler) == first
    assert ask(20, known, sampler=sampler, seed=1) != first
    assert ask(21, known, sampler=sampler) != first


def test_proposals_lie_in_the_space():
    for number in range(30):
        params = ask(number, Guide(seen=(), unseen=()), space=SPACE)
        assert 1e-4 <= params["learning_rate"] <= 1e-2
        assert 0.1 <= params["class_weight"] <= 10
        assert 0.1 <= params["box_weight"] <= 100
        assert params["batch_size"] in (16, 32, 48, 64)
        assert isinstance(params["batch_size"], int)
        assert params["depth"] in (1, 2, 3)
        assert isinstance(params["depth"], int)
        assert params["width"] in (0.5, 1.0, 4.0)
        assert isinstance(params["width"], float)
        assert params["head"] in ("dense", "soft-argmax")


CONDITIONAL = SearchSpace(
    axes=(
        Choice(name="backbone", values=("notebook-cnn", "residual-s")),
        Range(name="width", low=0.25, high=4.0, log=True, only_for=("residual-s",)),
        Choice(name="depth", values=(1, 2, 3), only_for=("residual-s",)),
        *DEFAULT_SPACE.axes,
    )
)


def test_conditional_fields_are_drawn_and_learned_where_they_are_meant():
    """Width matters, and only one of two equally good backbones has it: TPE goes near 0.5."""
    rows = []
    for number in range(60):
        known = guide(rows, number, 4)
        params = ask(number, known, space=CONDITIONAL)
        assert params == ask(number, known, space=CONDITIONAL)
        deep = params["backbone"] == "residual-s"
        assert set(params) == set(CONDITIONAL.names()) - (set() if deep else {"width", "depth"})
        value = -abs(math.log(params["width"] / 0.5)) if deep else -1.0
        rows.append(TrialRow(number=number, status="finished", params=params, value=value))
    widths = [r.params["width"] for r in rows if "width" in r.params]
    first, last = widths[:10], widths[-10:]
    assert len(widths) > 30, "the backbone with the better best is tried more often"

    def miss(some):
        return sum(abs(math.log(w / 0.5)) for w in some)

    assert miss(last) < 0.5 * miss(first)


def test_tpe_comes_closer_to_the_best_than_chance():
    def distance(sampler, seed):
        rows = []
        for number in range(40):
            params = ask(number, guide(rows, number, 4), seed=seed, sampler=sampler)
            miss = sum(
                math.log10(v / t) ** 2 for v, t in zip(params.values(), (1e-3, 1, 10), strict=True)
            )
            rows.append(
                TrialRow(number=number, status="finished", params=params, value=math.exp(-miss))
            )
        return max(r.value for r in rows)

    seeds = range(4)
    assert sum(distance("tpe", s) for s in seeds) > sum(distance("random", s) for s in seeds)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 2), (6, 2), (7, 3), (8, 3), (20, 7)])
def test_warm_up_is_a_third_but_two_epochs_at_least(epochs, warmup):
    assert warmup_epochs(epochs) == warmup


def judge(pruner, rows, *, epochs=6, direction="maximize"):
    return Judge(
        pruner, Guide(seen=tuple(rows), unseen=()), number=len(rows), epochs=epochs,
        space=DEFAULT_SPACE, direction=direction,
    )  # fmt: skip


def verdicts(judged, curve):
    return [judged.goes_on(epoch, [value]) for epoch, value in enumerate(curve, start=1)]


FIVE = [row(n, value) for n, value in enumerate((0.1, 0.2, 0.3, 0.4, 0.5))]


def test_the_median_rule_by_hand():
    # Flat curves at 0.1 .. 0.5: the median is 0.3. Judged after epochs 3, 4 and 5 only:
    # two epochs of warm-up, and nothing is gained by stopping at the sixth and last.
    assert verdicts(judge("median", FIVE), [0.29] * 6) == [True, True, False, False, False, True]
    assert verdicts(judge("median", FIVE), [0.31] * 6) == [True] * 6


def test_the_rule_turns_round_when_lower_is_better():
    stopped = [True, True, False, False, False, True]
    assert verdicts(judge("median", FIVE, direction="minimize"), [0.31] * 6) == stopped


def test_the_percentile_rule_keeps_the_best_two_thirds():
    # 67 % from the top of 0.1 .. 0.5 is 0.5 - 0.67 * 4 * 0.1 = 0.232.
    assert verdicts(judge("percentile", FIVE), [0.23] * 6)[2] is False
    assert verdicts(judge("percentile", FIVE), [0.24] * 6)[2] is True


def test_nobody_is_stopped_before_five_trials_finished():
    pruned = row(4, 0.5, status="pruned")
    assert verdicts(judge("median", [*FIVE[:4], pruned]), [0.0] * 6) == [True] * 6


def test_nobody_is_stopped_without_a_pruner_or_in_short_trials():
    assert verdicts(judge("none", FIVE), [0.0] * 6) == [True] * 6
    assert verdicts(judge("median", FIVE, epochs=3), [0.0] * 3) == [True] * 3


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_compared(value):
    assert verdicts(judge("median", FIVE), [0.5, 0.5, value, 0.0]) == [True, True, True, True]
