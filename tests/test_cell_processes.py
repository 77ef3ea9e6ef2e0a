"""Who is measured when, in which process, what a failure means, and that nobody is left."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from timed import contender

from harness.cell import CellPlan
from harness.cell_processes import Turn, order, run_cells

A, B, C = (contender(name) for name in ("notebook-cnn", "patch-s", "readme-cnn"))
QUICK = CellPlan(seconds=0.01)


def names(number: int, of: int) -> str:
    """Return who is measured when in a round, as letters."""
    letters = {A.name: "A", B.name: "B", C.name: "C"}
    return "".join(letters[each.name] for each in order([A, B, C][:of], number))


def test_rounds_run_back_and_forth_and_begin_with_another() -> None:
    assert [names(number, 2) for number in range(1, 6)] == ["AB", "BA", "BA", "AB", "AB"]
    expected = ["ABC", "CBA", "BCA", "ACB", "CAB", "BAC", "ABC"]
    assert [names(number, 3) for number in range(1, 8)] == expected
    assert names(7, 1) == "A"
    assert order([], 1) == []


def test_three_contenders_take_all_places_and_follow_all_others_equally_often() -> None:
    rounds = [names(number, 3) for number in range(1, 7)]
    assert set(Counter((place, who) for r in rounds for place, who in enumerate(r)).values()) == {
        2
    }
    followers = Counter(pair for r in rounds for pair in itertools.pairwise(r))
    assert set(followers.values()) == {2}
    assert len(followers) == 6


def test_drift_that_is_straight_or_bent_favours_neither_of_two() -> None:
    # Time stands for how slow the machine is by then; in four rounds even its square cancels.
    turns = "".join(names(number, 2) for number in range(1, 5))
    for power in (1, 2):
        cost = {who: sum(t**power for t, w in enumerate(turns) if w == who) for who in "AB"}
        assert cost["A"] == cost["B"]


def test_each_cell_has_a_process_of_its_own_and_its_turn(tmp_path: Path) -> None:
    turns: list[Turn] = []
    cells = list(
        run_cells(
            [A, B], repeats=2, plan=QUICK, on_turn=turns.append,
            probe="cell_probes:note_and_tell", environment={"NOTES": str(tmp_path / "notes")},
        )
    )  # fmt: skip
    told = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    assert [(who, number) for who, number, _ in told] == [
        (A.name, "1"), (B.name, "1"), (B.name, "2"), (A.name, "2"),
    ]  # fmt: skip
    assert len({pid for _, _, pid in told}) == 4
    assert [(c.contender, c.round, c.place) for c in cells] == [
        (A.name, 1, 1), (B.name, 1, 2), (B.name, 2, 1), (A.name, 2, 2),
    ]  # fmt: skip
    assert [(t.contender.name, t.round, t.place, t.done, t.of) for t in turns] == [
        (A.name, 1, 1, 0, 4), (B.name, 1, 2, 1, 4), (B.name, 2, 1, 2, 4), (A.name, 2, 2, 3, 4),
    ]  # fmt: skip
    assert all(0 < cell.duration_s < 60 for cell in cells)
    assert all(not Path(f"/proc/{pid}").exists() for _, _, pid in told)


def test_who_fails_at_once_is_left_out_and_who_fails_once_is_not() -> None:
    turns: list[Turn] = []
    cells = list(
        run_cells([A, B, C], repeats=3, plan=QUICK, on_turn=turns.append,
                  probe="cell_probes:fail_once")
    )  # fmt: skip
    seen = [(cell.contender, cell.round, cell.status) for cell in cells]
    assert [each for each in seen if each[0] == C.name] == [(C.name, 1, "failed")]
    of_b = [status for name, _, status in seen if name == B.name]
    assert of_b == ["finished", "failed", "finished"]
    assert [status for name, _, status in seen if name == A.name] == ["finished"] * 3
    reasons = [cell.reason for cell in cells if cell.status == "failed"]
    assert reasons == ["`width` must be odd.", "ZeroDivisionError: division by zero."]
    assert [turn.of for turn in turns] == [9, 9, 9, 7, 7, 7, 7]


def test_a_crash_is_told_with_its_last_words() -> None:
    (cell,) = run_cells([A], repeats=1, plan=QUICK, probe="cell_probes:shout")
    assert cell.status == "failed"
    assert cell.reason == (
        "Its process ended with exit code 1, with the last words 'ValueError: no idea'."
    )


def test_an_answer_that_is_no_cell_is_a_failure() -> None:
    (cell,) = run_cells([A], repeats=1, plan=QUICK, probe="cell_probes:lie")
    assert cell.status == "failed"
    assert (cell.reason or "").startswith("This is no cell: ")


def test_time_is_bounded(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    cells = list(
        run_cells(
            [A], repeats=2, plan=QUICK, probe="cell_probes:hang",
            environment={"NOTES": str(notes)}, time_limit_s=5,
        )
    )  # fmt: skip
    assert [cell.status for cell in cells] == ["finished", "failed"]
    assert cells[1].reason == "It was not measured within 5 s."
    # On a busy machine it may not have come so far.
    assert not notes.exists() or not alive(int(notes.read_text()))


@pytest.mark.parametrize("number", [2, 9], ids=["interrupted", "killed"])
def test_whoever_measures_ends_with_the_caller(number: int, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = f"""
import sys
from timed import contender
from harness.cell import CellPlan
from harness.cell_processes import run_cells
for _ in run_cells([contender()], repeats=2, plan=CellPlan(), probe="cell_probes:hang",
                   environment={{"NOTES": {str(notes)!r}}}):
    pass
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=-3) as process:
        try:
            pid = waited_for(notes)
            process.send_signal(number)
            assert process.wait(30) != 0
        finally:
            process.kill()
    until = time.monotonic() + 20
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet has ended, too."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def waited_for(notes: Path) -> int:
    """Wait until a process has said who it is."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if notes.exists() and notes.read_text():
            return int(notes.read_text())
        time.sleep(0.05)
    raise AssertionError("it did not start")
