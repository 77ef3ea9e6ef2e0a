"""What a report says of timings."""

from __future__ import annotations

from pathlib import Path

from records import fabricate
from timed import failed, timings

from harness.config import RunConfig
from harness.timings import Overhead
from reports.publish import publish
from reports.speed_section import speed_lines


def test_a_table_verdicts_and_notes() -> None:
    cost = Overhead(contender="notebook-cnn", pairs=((1.0, 1.004), (1.0, 1.001), (1.0, 1.008)))
    words = "\n".join(speed_lines([timings(overhead=cost)]))
    assert words.startswith("## Speed\n\n3 rounds of 3 s each on Synthetic CPU 3000 (timings `20")
    assert "| contender | images/s | ratio | training step, median, ms |" in words
    row = next(line for line in words.splitlines() if line.startswith("| `patch-s` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # 120/100, 132/110 and 127/105 in rounds.
    assert cells[:3] == ["`patch-s`", "127 [120, 132]", "1.203 [1.190, 1.217]"]
    assert "- patch-s is faster than notebook-cnn by 20 % \\[19, 22\\]" in words
    assert "- the harness costs 0.4 % \\[0.1, 0.8\\] of the training time" in words
    assert "- latency, p99 is absent: too few samples" in words
    assert "3 x the FLOP of a forward pass" in words


def test_interrupted_ones_say_so_and_empty_ones_nothing() -> None:
    assert ", interrupted):" in "\n".join(speed_lines([timings(status="interrupted")]))
    assert speed_lines([timings(cells=(failed(),))]) == []
    assert speed_lines([]) == []


def test_a_report_shows_those_of_networks_that_it_compares(tmp_path: Path) -> None:
    runs = [fabricate(tmp_path, "a", config=RunConfig(dataset="mnist", epochs=5))]
    mine = timings({"notebook-cnn": (1.0, 2.0)}, name="mine")
    other = timings({"patch-s": (1.0, 2.0)}, name="other")
    publish(runs, tmp_path / "report", title="T", timings=[mine, other])
    words = (tmp_path / "report" / "report.md").read_text()
    assert "(timings `mine`)" in words
    assert "`other`" not in words
