"""What a group of sweeps shows: a line for each backbone, and the time left for all of them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from test_sweep_display import PARAMS, Clock, point, record
from toy_sweep import toy_members

from harness import console as console_module
from harness import live_screen, sweep_display
from harness.group_display import GroupDisplay
from sweeps.listeners import EpochDone, RunEnded, RunStarted, SweepOpened, WorkerDied
from sweeps.plan import Task
from sweeps.sampler import TrialRow

PLANS = toy_members("notebook-cnn", "residual-s", name="pair", trial_overrides={"epochs": 2},
                    finals=1)  # fmt: skip


class Screen:
    """A display of two sweeps of two trials, the clock it looks at and what it writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
        self.file = io.StringIO()
        shown = Console(
            file=self.file, force_terminal=terminal, width=80, highlight=False, color_system=None
        )
        for module in (console_module, sweep_display, live_screen):
            monkeypatch.setattr(module, "console", shown)
        self.console, self.clock = shown, Clock()
        self.display = GroupDisplay(PLANS, 2, n_train=1000, clock=self.clock)
        for plan in PLANS:
            self.display(SweepOpened(plan=plan, total=2, rows=()))

    def start(self, task: Task) -> None:
        self.display(RunStarted(task=task))

    def epoch(self, task: Task, number: int) -> None:
        self.display(EpochDone(task=task, point=point(number)))

    def end(self, task: Task) -> None:
        row = TrialRow(number=task.trial, params=PARAMS, status="finished", value=0.5)
        trial = row if task.role == "trial" else None
        self.display(RunEnded(task=task, record=record(task), row=trial))

    def drawn(self) -> list[str]:
        with self.console.capture() as captured:
            self.console.print(self.display._screen())
        return captured.get().splitlines()


def test_a_line_for_each_backbone_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, terminal=True)
    assert any("the workers are starting" in line for line in screen.drawn())
    first, second = (plan.trial_task(0, PARAMS) for plan in PLANS)
    for task in (first, second):
        screen.start(task)
        screen.epoch(task, 1)
    screen.clock.now += 4
    screen.end(first)
    drawn = screen.drawn()
    assert max(len(line) for line in drawn) <= 80
    (mine,) = (line for line in drawn if line.startswith("notebook-cnn"))
    assert "trials 1/2" in mine
    assert "1 finished" in mine
    assert "best 0.500" in mine
    (other,) = (line for line in drawn if line.startswith("residual-s "))
    assert "trials 0/2" in other
    (running,) = (line for line in drawn if "residual-s-t000" in line)
    assert running.split() == ["residual-s-t000", "epoch", "1/2", "▅", "0.500"]
    assert any("left for all" in line for line in drawn)


def test_the_time_left_counts_every_member(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, terminal=False)
    assert screen.display.left_s() is None
    task = PLANS[0].trial_task(0, PARAMS)
    screen.start(task)
    screen.epoch(task, 1)
    screen.clock.now += 2
    # 1,000 images in 2 s. The first member: two trials of 2,000, a final of 6 x 1,000, a re-run of
    # 2 x 1,000, less the 1,000: 11,000. The other has shown no trial yet: 6,000 and 2,000.
    assert screen.display.left_s() == pytest.approx(2 * (11_000 + 8_000) / 1_000)


def test_lines_in_a_pipe_name_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(monkeypatch, terminal=False)
    task = PLANS[1].trial_task(0, PARAMS)
    screen.start(task)
    screen.end(task)
    screen.display(WorkerDied(reason="killed"))
    lines = screen.file.getvalue().splitlines()
    assert lines == [
        "[1/2] pair.residual-s-t000 finished  validation score 0.500  best 0.500 (trial 0)",
        "A worker died: killed",
    ]
