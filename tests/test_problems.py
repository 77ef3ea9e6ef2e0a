import pytest

from harness.errors import DataError
from harness.problems import Problem, listed, raise_problems


def some(n: int) -> list[Problem]:
    return [Problem(where=f"f{k}.png", what="it is no image") for k in range(n)]


def test_nothing_wrong_is_no_error():
    raise_problems([], skip_bad=False, kept=0)


def test_one_problem_is_one_line():
    with pytest.raises(DataError) as caught:
        raise_problems(some(1), skip_bad=False, kept=5)
    assert str(caught.value) == "f0.png: it is no image. Mend it, or leave it out with --skip-bad."
    assert caught.value.exit_code == 1


def test_all_are_listed_at_once_up_to_a_screen():
    with pytest.raises(DataError) as caught:
        raise_problems(some(1022), skip_bad=False, kept=5, of="folder:x")
    first, *lines, last = str(caught.value).splitlines()
    assert first == "folder:x must be without fault, but has 1,022 problems:"
    assert lines == [*(f"  f{k}.png: it is no image" for k in range(20)), "  and 1,002 more"]
    assert last == "Mend them, or leave them out with --skip-bad."


def test_bad_ones_are_passed_over_only_if_asked_and_if_something_is_left():
    raise_problems(some(3), skip_bad=True, kept=1)
    with pytest.raises(DataError, match="Nothing else is left"):
        raise_problems(some(3), skip_bad=True, kept=0)
    with pytest.raises(DataError, match=r"Mend them\.$"):
        raise_problems(some(3), skip_bad=True, kept=9, skippable=False)


def test_a_short_list_is_whole():
    assert listed(some(2)) == "  f0.png: it is no image\n  f1.png: it is no image"


def test_names_in_a_data_set_cannot_steer_the_terminal():
    problem = Problem(where="a\x1b[2Jb\n.png", what="does not exist")
    assert str(problem) == "a?[2Jb?.png: does not exist"
