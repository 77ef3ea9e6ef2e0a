"""How long a worker may be silent: what was measured decides, within two bounds."""

import pytest

from sweeps.deadlines import FACTOR, HANG_AFTER_S, LEAST_S, Deadlines


def job(run_id="t0", role="trial", **config):
    return {"run_id": run_id, "role": role, "config": {"backbone": "a", "seed": 0} | config}


def test_a_worker_that_starts_or_may_compile_has_the_longest_time():
    deadlines = Deadlines()
    assert deadlines.limit_s(0) == HANG_AFTER_S == 1800
    deadlines.begin(0, job())
    assert deadlines.limit_s(0) == HANG_AFTER_S


@pytest.mark.parametrize(
    ("waited_s", "limit_s"),
    [(0.1, LEAST_S), (6.0, LEAST_S), (7.0, 70.0), (12.0, 12 * FACTOR), (200.0, HANG_AFTER_S)],
)
def test_then_it_has_ten_times_what_was_measured(waited_s, limit_s):
    deadlines = Deadlines()
    deadlines.begin(0, job())
    deadlines.heard(0, waited_s)
    deadlines.heard(0, 0.01)
    assert deadlines.limit_s(0) == limit_s


def test_rates_weights_and_seeds_make_no_other_kind_but_networks_do():
    deadlines = Deadlines()
    deadlines.begin(0, job())
    deadlines.heard(0, 12.0)
    deadlines.begin(0, job("t1", learning_rate=0.5, seed=3, class_weight=2.0, epochs=9))
    assert deadlines.limit_s(0) == 120
    for other in (job(backbone="b"), job(role="final"), job(batch_size=2), job(width=0.5)):
        deadlines.begin(0, other)
        assert deadlines.limit_s(0) == HANG_AFTER_S


def test_a_worker_that_must_compile_has_time_whatever_others_measured():
    deadlines = Deadlines()
    deadlines.begin(0, job())
    deadlines.heard(0, 12.0)
    deadlines.begin(1, job("t1"))
    assert deadlines.limit_s(1) == HANG_AFTER_S
    deadlines.heard(1, 0.5)
    assert deadlines.limit_s(1) == 120
    deadlines.forget(1)
    deadlines.begin(1, job("t2"))
    assert deadlines.limit_s(1) == HANG_AFTER_S


def test_a_run_that_was_taken_for_hung_has_the_longest_time_from_then_on():
    deadlines = Deadlines()
    deadlines.begin(0, job())
    deadlines.heard(0, 1.0)
    deadlines.hung(0)
    deadlines.forget(0)
    deadlines.begin(0, job())
    deadlines.heard(0, 1.0)
    assert deadlines.limit_s(0) == HANG_AFTER_S
    deadlines.begin(0, job("t1"))
    assert deadlines.limit_s(0) == LEAST_S


def test_the_user_has_the_last_word():
    deadlines = Deadlines(20.0)
    deadlines.begin(0, job())
    deadlines.heard(0, 50.0)
    assert deadlines.limit_s(0) == 20


def test_jobs_of_others_need_no_configuration():
    deadlines = Deadlines()
    deadlines.heard(0, 1.0)
    deadlines.begin(0, {})
    deadlines.heard(0, 8.0)
    assert deadlines.limit_s(0) == 80
