"""The progress of a run on a terminal and in a pipe, and what is kept from the eye."""

from __future__ import annotations

import dataclasses
import io
import os

import pytest
from rich.console import Console
from tracked import record

from harness import console as console_module
from harness.config import RunConfig
from harness.console import (
    RunProgress,
    comparison_table,
    facts_lines,
    quiet_stderr,
    result_table,
)
from harness.errors import UsageError
from harness.record import EpochPoint, Measure, ModelFacts


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, width: int = 80) -> io.StringIO:
    """Let what is shown go into a text of so many columns, without colours."""
    file = io.StringIO()
    monkeypatch.setattr(
        console_module, "console",
        Console(
            file=file, force_terminal=terminal, width=width, highlight=False, color_system=None
        ),
    )  # fmt: skip
    return file


def point(epoch: int, score: float) -> EpochPoint:
    metrics = {"validation_score": score, "validation_accuracy": 0.9, "validation_mean_iou": 0.8}
    return EpochPoint(epoch=epoch, images=55_000, train_s=5.0, metrics=metrics)


def trained(progress: RunProgress) -> None:
    """Tell of 3 of 60 epochs."""
    progress.begun(60, 55_000, 64)
    for epoch, score in ((1, 0.5), (2, 0.7), (3, 0.6)):
        progress.images(epoch, 20 * 64)
        progress.images(epoch, 55_000)
        progress.epoch(point(epoch, score))


def test_a_pipe_gets_a_whole_line_for_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    file = shown(monkeypatch, terminal=False, width=20)
    with RunProgress() as progress:
        trained(progress)
    lines = file.getvalue().splitlines()
    assert lines[0] == "epoch 1/60  score 0.500  acc 0.900  IoU 0.800  11,000 images/s"
    assert len(lines) == 3


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_bar_keeps_to_two_lines(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, terminal=True, width=width)
    progress = RunProgress()
    trained(progress)
    with console_module.console.capture() as captured:
        console_module.console.print(progress._bar.get_renderable())
    bar, below = (line.rstrip() for line in captured.get().splitlines())
    assert "epoch  3/60  step 859/859" in bar
    assert "  5%" in bar
    assert "images/s" in bar
    assert "ETA " in bar
    assert below == (
        "  epoch 3/60  score 0.600  acc 0.900  IoU 0.800  (best score 0.700 in epoch 2)"
    )


def test_epochs_from_before_a_kill_are_neither_told_again_nor_taken_for_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = shown(monkeypatch, terminal=False)
    progress = RunProgress()
    progress.begun(60, 55_000, 64)
    for epoch in (1, 2):
        progress.epoch(point(epoch, 0.5))
    progress.images(3, 20 * 64)
    (task,) = progress._bar.tasks
    assert (task.completed, task.total) == (2 * 55_000 + 20 * 64, 60 * 55_000)
    # 110,000 images in 2 x 5 s before the kill, and a few more in no time.
    assert 11_000 <= int(task.fields["speed"].split()[0].replace(",", "")) <= 11_128
    progress.epoch(point(3, 0.6))
    assert file.getvalue() == "epoch 3/60  score 0.600  acc 0.900  IoU 0.800  11,000 images/s\n"


def test_nothing_is_promised_before_the_work_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, terminal=True)
    progress = RunProgress()
    with console_module.console.capture() as captured:
        console_module.console.print(progress._bar.get_renderable())
    assert "compiling" in captured.get()
    assert "ETA" not in captured.get()


def fail(noise: bytes, error: Exception) -> None:
    os.write(2, noise)
    raise error


def test_what_libraries_say_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"a warning from C++")
    assert capfd.readouterr().err == ""


def test_what_libraries_say_is_shown_if_they_break(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), quiet_stderr():
        fail(b"why it broke", RuntimeError())
    assert capfd.readouterr().err == "why it broke"


def test_our_own_errors_need_no_words_of_libraries(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError), quiet_stderr():
        fail(b"noise", UsageError("what is wrong"))
    assert capfd.readouterr().err == ""


def test_the_table_of_a_run_shows_each_split_that_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measures = {
        "validation_score": Measure(value=0.25), "test_score": Measure(value=0.125),
        "validation_box_mse": Measure(value=0.012345),
    }  # fmt: skip
    table = result_table(record(measures=measures))
    cells = {
        row[0]: row[1:] for row in zip(*(column.cells for column in table.columns), strict=True)
    }
    assert [column.header for column in table.columns] == ["measure", "validation", "test"]
    assert cells["score"] == ("0.250", "0.125")
    assert cells["box MSE"] == ("0.01235", "")
    without = {"validation_score": Measure(value=0.25)}
    assert len(result_table(record(measures=without)).columns) == 2


def test_facts_tell_of_steps_targets_and_what_disturbed() -> None:
    measures = {
        "images_per_s": Measure(value=1234.4), "step_p50_ms": Measure(value=51.84),
        "step_p90_ms": Measure(value=60.0), "first_batch_s": Measure(value=8.14),
        "data_images_per_s": Measure(value=123_456.7), "peak_rss_mib": Measure(value=1000.6),
        "peak_device_mib": Measure(value=2000.2),
        "time_to_target_s": Measure(value=12.34, samples=(6.0, 6.34)),
    }  # fmt: skip
    busy = ("steal 12 %", "others used 0.8 cores (load 3.2)")
    history = (point(1, 0.5), dataclasses.replace(point(2, 0.6), disturbed=busy))
    targets = ("score>=0.5", "loss<=1")
    assert list(facts_lines(record(measures=measures, history=history, targets=targets))) == [
        "1,234 training images/s",
        (
            "a step took 51.8 ms (median; 90 % within 60.0 ms), the first batch was done after "
            "8.1 s, scenes alone 123,457 images/s"
        ),
        (
            "score>=0.5 and loss<=1: reached in 12.3 s of training and validation (epoch 2); "
            "loading, compilation and checkpoints not counted"
        ),
        (
            "disturbed while it was timed: 1 of 2 epochs: steal 12 % and others used 0.8 cores "
            "(load 3.2)"
        ),
        "peak memory 1,001 MiB, 2,000 MiB on a device",
    ]
    missed = {"time_to_target_s": Measure(reason="score was at most 0.4 in 2 epochs")}
    assert list(facts_lines(record(measures=missed, targets=targets[:1]))) == [
        "score>=0.5: not reached, as score was at most 0.4 in 2 epochs"
    ]


def test_runs_with_targets_are_compared_by_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    file = shown(monkeypatch, terminal=False)
    runs = [
        record(measures={"time_to_target_s": measure}, targets=("score>=0.5",))
        for measure in (Measure(value=12.34), Measure(reason="score was at most 0.4 in 2 epochs"))
    ]
    console_module.console.print(comparison_table(runs))
    rows = file.getvalue().splitlines()
    assert rows[1].rstrip().endswith("to target (s)")
    assert [row.split()[-1] for row in rows[2:]] == ["12.3", "absent"]


def test_facts_are_left_out_where_they_are_unknown() -> None:
    measures = {
        "images_per_s": Measure(value=1234.4), "compile_s": Measure(reason="compiled before"),
        "peak_rss_mib": Measure(value=1000.6),
    }  # fmt: skip
    assert list(facts_lines(record(measures=measures))) == [
        "1,234 training images/s", "peak memory 1,001 MiB",
    ]  # fmt: skip


def test_runs_are_compared_within_80_columns_the_best_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = shown(monkeypatch, terminal=False)
    runs = [
        record(
            config=RunConfig(backbone=backbone, seed=3),
            model=ModelFacts(parameters=424_832, backbone_parameters=400_000, layers=()),
            measures={
                name: Measure(value=value)
                for name, value in (
                    ("test_score", score), ("test_accuracy", 0.9), ("test_mean_iou", 0.8),
                    ("validation_score", 1 - score), ("images_per_s", 12_345.6),
                )
            } | {"mflops": Measure(reason="a loop of unknown length")},
        )
        for backbone, score in (("notebook-cnn", 0.5), ("keras/MobileNet", 0.7))
    ]  # fmt: skip
    console_module.console.print(comparison_table(runs))
    title, head, *rows = (line.split() for line in file.getvalue().splitlines())
    assert " ".join(title) == "runs by score on the test split"
    assert head[:2] == ["backbone", "seed"]
    measured = ["3", "{:.3f}", "0.900", "0.800", "12,346", "424,832", "absent"]
    assert [row[0] for row in rows] == ["keras/MobileNet", "notebook-cnn"]
    for row, score in zip(rows, (0.7, 0.5), strict=True):
        assert row[1:] == [cell.format(score) for cell in measured]
    assert max(len(line) for line in file.getvalue().splitlines()) <= 80
