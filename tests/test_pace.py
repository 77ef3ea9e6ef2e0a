"""Steps are timed in processes of their own, all at once."""

from pathlib import Path

import pytest

from harness import pace as module
from harness.config import RunConfig
from harness.errors import BenchError
from harness.pace import measure

pytestmark = pytest.mark.slow

TINY = RunConfig(backbone="readme-cnn", width=0.1, dataset="digits", train_examples=200, threads=1)
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_each_network_is_measured_in_all_processes(monkeypatch):
    monkeypatch.setattr(module, "BUDGET_S", 600.0)  # a busy machine may take its time
    wider = RunConfig(**{**TINY.to_json(), "width": 0.2})
    paces = measure([TINY, wider], [ENVIRONMENT] * 2, None)
    assert (len(paces.of), paces.asked) == (2, 2)
    assert paces.start_s > 0
    for pace in paces.of:
        assert pace.compile_s > 0, "each network is compiled anew"
        assert 0 < pace.train_s < 1
        assert 0 < pace.predict_s < 1
    assert paces.mean("train_s") == pytest.approx(sum(p.train_s for p in paces.of) / 2)


@pytest.mark.parametrize(
    ("config", "environment", "words"),
    [
        (RunConfig(**{**TINY.to_json(), "backbone": "nowhere:net"}), ENVIRONMENT, "nowhere"),
        (TINY, {"PYTHONHASHSEED": "x"}, "A step must be timed"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(config, environment, words):
    with pytest.raises(BenchError, match=words) as error:
        measure([config], [environment], Path("/nowhere"))
    assert "\n" not in str(error.value)
