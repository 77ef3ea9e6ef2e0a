"""Errors: exit codes, and words that help."""

from __future__ import annotations

import pytest

from harness import errors
from harness.errors import BenchError, UsageError, unknown_name

CHILDREN = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, BenchError)
]


@pytest.mark.parametrize("error", CHILDREN)
def test_exit_codes(error: type[BenchError]) -> None:
    # 2 where nothing was started (click's own code), 130 = 128 + SIGINT, 1 for the rest.
    expected = 130 if error is errors.InterruptedRun else 2 if issubclass(error, UsageError) else 1
    assert error.exit_code == expected


def test_the_nearest_name_comes_first_then_the_sorted_list() -> None:
    error = unknown_name("strategy", "mirorred", ["mirrored", "cpu"])
    assert isinstance(error, UsageError)
    assert str(error) == (
        "Unknown strategy 'mirorred'. Did you mean 'mirrored'? Known: cpu, mirrored."
    )


def test_no_hint_where_nothing_is_near() -> None:
    assert str(unknown_name("dataset", "zzz", ["mnist"])) == (
        "Unknown dataset 'zzz'. Known: mnist."
    )


def test_a_long_list_is_left_to_the_command_that_shows_it() -> None:
    names = [f"net-{number}" for number in range(40)]
    assert str(unknown_name("backbone", "nett-7", names, listed_by="bench list backbones")) == (
        "Unknown backbone 'nett-7'. Did you mean 'net-7' or 'net-37' or 'net-27'? "
        "`bench list backbones` lists all 40."
    )
    assert "Known: net-0, net-1, " in str(unknown_name("backbone", "zzz", names))
