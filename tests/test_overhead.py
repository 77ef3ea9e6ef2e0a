"""What the harness costs is measured with a real tracker and a real progress bar."""

from __future__ import annotations

import pytest
from timed import contender

from harness.config import RunConfig
from harness.overhead import measure_overhead
from harness.overhead_probe import measure

CONFIG = RunConfig(
    backbone="nets:tiny", dataset="digits", train_examples=100, batch_size=8, steps_per_call=5,
    evaluate_test=False,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_pairs_are_seconds_per_image(capsys: pytest.CaptureFixture[str]) -> None:
    request = {"config": CONFIG.to_json(), "data_dir": None}
    pairs = list(measure(request, pairs=3, piece_s=0.05))
    assert len(pairs) == 3
    # A tiny network trains more than 10 and less than a million images a second.
    assert all(1e-6 < seconds < 0.1 for pair in pairs for seconds in pair)
    # On no terminal, each epoch that was logged is a line of progress: one first, three in pairs.
    assert capsys.readouterr().out.count("epoch ") == 4


def test_what_cannot_be_measured_has_a_reason() -> None:
    found = measure_overhead(contender(), probe="cell_probes:shout")
    assert found.pairs == ()
    assert found.reason == (
        "Its process ended with exit code 1, with the last words 'ValueError: no idea'."
    )


def test_pairs_come_back_from_the_process() -> None:
    found = measure_overhead(contender(), probe="cell_probes:tell_pairs")
    assert found.contender == "notebook-cnn"
    # Where a run draws its bar, so does the process, whoever looks.
    assert found.pairs == ((1.0, 1.5), (2.0, 1.0))
