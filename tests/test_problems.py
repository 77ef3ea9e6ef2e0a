import pytest

from harness.errors import DataError
from harness.problems import Problem, raise_problems


def faults(n: int) -> list[Problem]:
    return [Problem(where=f"boxes.csv:{line}", what="the box is empty") for line in range(n)]


def test_no_fault_is_no_error():
    raise_problems([], source="csv:boxes.csv")


def test_one_fault_is_told_whole():
    with pytest.raises(DataError) as caught:
        raise_problems(faults(1), source="csv:boxes.csv")
    assert str(caught.value) == (
        "csv:boxes.csv must be free of faults, but has 1 fault:\n"
        "  boxes.csv:0: the box is empty\n"
        "Correct them, or leave out what is bad with --skip-bad."
    )


@pytest.mark.parametrize(
    ("n", "more"), [(20, None), (21, "  and 1 more"), (5020, "  and 5,000 more")]
)
def test_twenty_are_listed_and_the_others_counted(n, more):
    with pytest.raises(DataError) as caught:
        raise_problems(faults(n), source="csv:boxes.csv")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith(f"has {n:,} faults:")
    assert lines[20] == "  boxes.csv:19: the box is empty"
    assert lines[21:-1] == ([more] if more else [])


def test_names_in_a_data_set_cannot_steer_the_terminal():
    problem = Problem(where="a\x1b[2Jb\n.png", what="does not exist")
    assert problem.words() == "a?[2Jb?.png: does not exist"
