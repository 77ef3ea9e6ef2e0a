import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness.annotations import Annotated, BoxedObject
from harness.box_checks import checked_photo, turned
from harness.image_files import ImageFacts

W, H = 60, 40


def facts(orientation=1):
    return ImageFacts(sha256="", stored_px=(W, H), orientation=orientation)


def image(*boxes, **more):
    objects = tuple(
        BoxedObject(name="dog", box=box, where=f"object {at}") for at, box in enumerate(boxes)
    )
    return Annotated(path=Path("a.png"), name="a", objects=objects, where="a.xml", **more)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pillow_turns_photos(orientation):
    box = (5, 3, 25, 31)
    stored = Image.new("L", (W, H))
    stored.paste(255, box)
    stored.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(stored)
    assert turned(box, orientation, (W, H)) == upright.getbbox()
    # Turned in a frame of the declared size of the photo as stored, which is not upright.
    photo, faults = checked_photo(image(box, declared_px=(W, H)), facts(orientation))
    assert faults == []
    expected = upright.getbbox() if orientation >= 5 else box
    assert photo.main.box == expected


@pytest.mark.parametrize("declared", [None, (H, W)])
def test_boxes_of_the_upright_frame_stay(declared):
    photo, faults = checked_photo(image((5, 3, 25, 55), declared_px=declared), facts(6))
    assert faults == []
    assert photo.main.box == (5, 3, 25, 55)


def test_fractions_are_of_the_upright_photo():
    photo, _ = checked_photo(image((0.25, 0.5, 0.5, 1.0), unit="fraction"), facts(6))
    assert photo.main.box == (10, 30, 20, 60)  # of 40 x 60


def test_another_size_is_a_fault():
    photo, faults = checked_photo(image((0, 0, 5, 5), declared_px=(64, 40)), facts())
    assert photo is None
    assert [str(fault) for fault in faults] == [
        "a.xml: the annotation is for 64 x 40 pixels, but the image has 60 x 40"
    ]


def test_up_to_a_pixel_is_clipped_and_counted():
    photo, faults = checked_photo(image((-1, 0, 5, 5), (0, 0, 60.5, 41), (1, 1, 2, 2)), facts())
    assert faults == []
    assert photo.clipped == 2
    assert [each.box for each in photo.objects] == [(0, 0, 5, 5), (0, 0, 60, 40), (1, 1, 2, 2)]
    assert photo.main is photo.objects[1]


INVERTED = "the box must have x_min < x_max and y_min < y_max, got edges"
OUTSIDE = "the box must lie in the image of 60 x 40 pixels, got edges"


@pytest.mark.parametrize(
    ("box", "what"),
    [
        ((math.nan, 0, 5, 5), "the box must have finite edges, got [nan, 0, 5, 5]"),
        ((0, 0, 5, math.inf), "the box must have finite edges, got [0, 0, 5, inf]"),
        ((5, 0, 4, 5), f"{INVERTED} [5, 0, 4, 5]"),
        ((5, 3, 9, 3), f"{INVERTED} [5, 3, 9, 3]"),
        ((-1.5, 0, 5, 5), f"{OUTSIDE} [-1.5, 0, 5, 5]"),
        ((0, 0, 5, 42), f"{OUTSIDE} [0, 0, 5, 42]"),
        ((60, 0, 61, 5), f"{OUTSIDE} [60, 0, 61, 5]"),
        ((-1, 0, 0, 5), f"{OUTSIDE} [-1, 0, 0, 5]"),
    ],
)
def test_one_faulty_box_spoils_the_photo(box, what):
    photo, faults = checked_photo(image((0, 0, 50, 30), box), facts())
    assert photo is None
    assert [str(fault) for fault in faults] == [f"object 1: {what}"]


def test_all_faulty_boxes_are_told():
    _, faults = checked_photo(image((5, 0, 4, 5), (0, 0, 1, 1), (0, 0, 99, 5)), facts())
    assert [fault.where for fault in faults] == ["object 0", "object 2"]


def test_a_photo_without_objects_is_no_fault():
    photo, faults = checked_photo(image(), facts())
    assert (photo.main, faults) == (None, [])
    assert np.prod(photo.facts.upright_px) == W * H
