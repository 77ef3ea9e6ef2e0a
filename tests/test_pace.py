"""Steps are timed in processes of their own, all at once."""

from pathlib import Path

import pytest

from harness import pace as module
from harness.config import RunConfig
from harness.errors import BenchError
from harness.pace import measure

TINY = RunConfig(backbone="readme-cnn", width=0.1, dataset="digits", train_examples=200, threads=1)
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.mark.slow
def test_each_network_is_measured_in_all_processes(monkeypatch):
    monkeypatch.setattr(module, "BUDGET_S", 600.0)  # a busy machine may take its time
    wider = RunConfig(**{**TINY.to_json(), "width": 0.2})
    paces = measure([TINY, wider], [ENVIRONMENT] * 2, None, silence_s=600)
    assert (len(paces.of), paces.asked) == (2, 2)
    assert paces.start_s > 0
    for pace in paces.of:
        assert pace.compile_s > 0, "each network is compiled anew"
        assert 0 < pace.train_s < 1
        assert 0 < pace.predict_s < 1
    assert paces.mean("train_s") == pytest.approx(sum(p.train_s for p in paces.of) / 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "environment", "words"),
    [
        (RunConfig(**{**TINY.to_json(), "backbone": "nowhere:net"}), ENVIRONMENT, "nowhere"),
        (TINY, {"PYTHONHASHSEED": "x"}, "A step must be timed"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(config, environment, words):
    with pytest.raises(BenchError, match=words) as error:
        measure([config], [environment], Path("/nowhere"), silence_s=600)
    assert "\n" not in str(error.value)


def test_a_backbone_may_print_more_than_a_pipe_holds(monkeypatch):
    answers = "sys.stderr.write('x' * 2**20); print('{}', flush=True); sys.stdin.read()"
    monkeypatch.setattr(module, "_PROBE", f"import sys; {answers}")
    assert measure([], [{}] * 2, None, silence_s=20).of == ()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("time.sleep(60)", "a process said nothing for 0.5 s. Wait longer with --hang-after."),
        ("sys.stderr.write('one\\nlast word\\n'); sys.exit(3)", "that failed: last word"),
        ("os.kill(os.getpid(), 9)", "that failed: its process was killed by SIGKILL"),
    ],
)
def test_a_process_that_hangs_or_dies_ends_the_forecast(monkeypatch, code, reason):
    monkeypatch.setattr(module, "_PROBE", f"import os, sys, time; {code}")
    silence_s = 0.5 if "sleep" in code else 60.0
    with pytest.raises(BenchError) as error:
        measure([], [{}], None, silence_s=silence_s)
    assert str(error.value) == f"A step must be timed to predict anything, but {reason}"
