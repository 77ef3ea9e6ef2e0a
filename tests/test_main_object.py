import pytest

from harness.annotations import BoxedObject
from harness.main_object import main_object


def thing(name, *box, minor=False):
    return BoxedObject(name=name, box=box, minor=minor, where="")


@pytest.mark.parametrize(
    ("objects", "main"),
    [
        ([], None),
        ([thing("a", 0, 0, 2, 3)], "a"),
        ([thing("a", 0, 0, 2, 3), thing("b", 1, 1, 4, 4)], "b"),  # 6 < 9
        ([thing("a", 0, 0, 2, 3), thing("b", 5, 5, 11, 6)], "a"),  # 6 = 6: the first
        ([thing("a", 0, 0, 9, 9, minor=True), thing("b", 0, 0, 1, 1)], "b"),
        ([thing("a", 0, 0, 9, 9, minor=True)], None),
    ],
)
def test_the_largest_is_the_main_object(objects, main):
    found = main_object(objects)
    assert (found.name if found else None) == main
