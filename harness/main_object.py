"""Which of several objects is the one to localize."""

from __future__ import annotations

from collections.abc import Sequence

from harness.annotations import BoxedObject, EdgeBox

RULE = "largest-1"
"""Short name of the rule, part of a data set's identity: another rule is other data."""


def main_object(objects: Sequence[BoxedObject]) -> BoxedObject | None:
    """Return the object with the largest box; of equal ones, the first in the file.

    Objects marked difficult (VOC) or crowd (COCO) are passed over, as both benchmarks do in
    scoring (Everingham et al. 2010; Lin et al. 2014).

    Args:
        objects: of one photo, in pixels.

    Returns:
        None if there is no object left.
    """
    # `max` returns the first of equal ones.
    return max((each for each in objects if not each.minor), key=_area, default=None)


def _area(each: BoxedObject) -> float:
    return box_area(each.box)


def box_area(box: EdgeBox) -> float:
    """Return width times height."""
    x_min, y_min, x_max, y_max = box
    return (x_max - x_min) * (y_max - y_min)
