"""What a report says of certificates."""

from __future__ import annotations

from pathlib import Path

from calibrated import floor
from certified import certificate, contender, quantity
from records import fabricate

from harness.config import RunConfig
from reports.certificates import certificate_lines
from reports.publish import publish


def test_each_strategy_has_a_row_with_speed_margin_and_verdict() -> None:
    bad = (quantity(), quantity("first gradient", 3e-6))
    lines = certificate_lines(
        [certificate(contenders=(contender(), contender("mirrored:4", 4, quantities=bad)))]
    )
    found = [line for line in lines if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    assert rows == [
        ["`cpu`", "1", "200", "100%", "", "reference"],
        # 300 images/s by 2 replicas where one makes 200; 1e-7 of a limit of 2e-6.
        ["`mirrored`", "2", "300", "75%", "5%", "agrees"],
        ["`mirrored:4`", "4", "300", "38%", "150%", "**differs**: first gradient"],
    ]


def test_speeds_are_held_against_the_floor_of_the_machine() -> None:
    assert "Speeds are shown, not compared: no noise floor" in "\n".join(
        certificate_lines([certificate()])
    )
    # Two contenders share the level: t(1 - 0.05 / 4, 20) = 2.423 x ln 1.01 gives 2.4 %.
    assert "within 2.4 % of 1, the noise floor of this machine" in "\n".join(
        certificate_lines([certificate()], [floor()])
    )


def test_random_layers_that_were_silenced_are_named() -> None:
    words = "\n".join(certificate_lines([certificate(silenced=("dropout", "noise"))]))
    assert "The rates of its random layers were 0: `dropout`, `noise`." in words


def test_no_certificate_no_word() -> None:
    assert certificate_lines([]) == []


def test_a_report_shows_those_of_its_networks_only(tmp_path: Path) -> None:
    runs = [fabricate(tmp_path, "r", config=RunConfig(backbone="notebook-cnn", dataset="mnist"))]
    others = certificate(name="other", config=RunConfig(backbone="patch-s"))
    made = publish(
        runs, tmp_path / "report", title="T", certificates=[certificate(name="mine"), others]
    )
    words = made.path.read_text(encoding="utf-8")
    assert "## Strategies" in words
    assert "(certificate `mine`)" in words
    assert "`other`" not in words
