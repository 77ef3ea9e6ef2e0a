"""Work spread over processes: the same results, whatever becomes of the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from records import fabricate
from test_publish import contents

from harness.config import RunConfig
from reports.drawing import one_by_one, several_at_once
from reports.publish import publish
from reports.style import Plot, new_figure


def draw_line(table: pd.DataFrame) -> Figure:
    figure = new_figure(2.0)
    figure.subplots().plot(table["x"])
    return figure


def die(table: pd.DataFrame) -> Figure:
    """End the process, unless it is the one that runs the tests."""
    if os.getpid() != int(table["pid"].iloc[0]):
        os.kill(os.getpid(), signal.SIGKILL)
    return new_figure(2.0)


def plot(number: int) -> Plot:
    table = pd.DataFrame({"x": [0, number, 1], "pid": os.getpid()})
    return Plot(name=f"p{number}", alt="", caption="", table=table,
                draw=die if number == 3 else draw_line)  # fmt: skip


def test_a_report_drawn_by_two_processes_has_the_same_bytes(tmp_path: Path) -> None:
    runs = [
        fabricate(tmp_path / "runs", name, config=RunConfig(backbone=name, dataset="mnist"))
        for name in ("a-cnn", "b-cnn")
    ]
    with several_at_once(2) as spread:
        assert spread is not one_by_one
        publish(runs, tmp_path / "two", title="T", spread=spread)
    publish(runs, tmp_path / "one", title="T")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_process_that_is_killed_costs_no_picture() -> None:
    plots = [plot(number) for number in range(8)]
    with several_at_once(2) as spread:
        drawn = list(spread(Plot.png, plots))
    assert [png[:4] for png in drawn] == [b"\x89PNG"] * 8
    assert drawn == list(one_by_one(Plot.png, plots))


WAITS = """
import time
from reports.drawing import several_at_once
with several_at_once(2) as spread:
    import test_drawing
    assert len(list(spread(test_drawing.Plot.png, [test_drawing.plot(1)] * 8))) == 8
    print("drawn", flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_one_that_is_killed() -> None:
    tests = Path(__file__).parent
    environment = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])
    }
    reader, writer = os.pipe()  # stays open as long as any of them lives
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=writer, env=environment
    ) as process, os.fdopen(reader, "rb") as output:  # fmt: skip
        os.close(writer)
        assert output.readline() == b"drawn\n"
        process.kill()
        assert output.read() == b"", "it ends only when the last of them has ended"


def test_one_core_draws_by_itself() -> None:
    with several_at_once(1) as spread:
        assert spread is one_by_one


def test_an_error_of_the_body_ends_the_processes() -> None:
    with pytest.raises(KeyError), several_at_once(2):
        raise KeyError("mine")
