import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_photos import photos, write_coco

from harness.coco import read_coco
from harness.errors import DataError

DRAWN = photos(6)
KEYS = st.sampled_from(
    ["id", "file_name", "width", "height", "image_id", "category_id", "bbox", "iscrowd", "name"]
)
FILLED = """{
    "images": [{"id": 0, "file_name": "000000.png"}],
    "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9]}],
    "categories": [{"id": 1, "name": "disc"}]
}"""


@pytest.fixture
def file(tmp_path):
    write_coco(tmp_path, DRAWN)
    return tmp_path / "instances.json"


def change(file, edit):
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    found = read_coco(file)
    return found, [str(problem) for problem in found.problems]


def test_objects_come_as_drawn(file):
    found = read_coco(file)
    assert found.problems == ()
    for image, photo in zip(found.images, DRAWN, strict=True):
        assert image.path == file.parent / "images" / f"{photo.name}.png"
        assert image.declared_px == photo.image.size
        assert [(each.name, each.box) for each in image.objects] == [
            (thing.name, thing.box) for thing in photo.things
        ]
    assert found.images[0].objects[1].where == "instances.json, annotation 2 (square)"


def test_images_may_lie_beside_the_file_or_be_named_with_their_folder(file):
    (file.parent / "images" / "000000.png").rename(file.parent / "000000.png")

    def edit(content):
        content["images"][1]["file_name"] = "images/000001.png"

    found, faults = change(file, edit)
    assert faults == []
    assert {image.path.parent.name for image in found.images} == {"images", file.parent.name}


def test_crowds_are_minor(file):
    found, faults = change(file, lambda content: content["annotations"][0].update(iscrowd=1))
    assert faults == []
    assert [each.minor for each in found.images[0].objects] == [True, False]


def test_every_fault_is_told_at_once_and_spoils_its_image(file):
    def edit(content):
        images, annotations = content["images"], content["annotations"]
        images[1]["file_name"] = "../x.png"
        images[5]["id"] = 4
        annotations[0]["category_id"] = 9
        annotations[1]["bbox"] = [1, 2, "3", 4]
        annotations.append({"id": 70, "image_id": 77, "category_id": 1, "bbox": [0, 0, 1, 1]})
        annotations.append({"id": 71, "image_id": 3, "category_id": 1, "bbox": [0, True, 1, 1]})
        annotations.append("nonsense")

    found, faults = change(file, edit)
    assert [image.name for image in found.images] == ["000002.png#2"]
    assert faults == [
        "instances.json, image 6 (000005.png): ids must be unique, but 4 is also '000004.png'",
        "instances.json, annotation 1 (unknown): category_id must be one of the categories, got 9",
        "instances.json, annotation 2 (square): bbox must be four numbers, got [1, 2, '3', 4]",
        "instances.json, annotation 8 (triangle): image_id must be one of the images, got 5",
        "instances.json, annotation 70 (disc): image_id must be one of the images, got 77",
        "instances.json, annotation 71 (disc): bbox must be four numbers, got [0, True, 1, 1]",
        "instances.json, annotation 11 (unknown): image_id must be one of the images, got None",
        "instances.json, image 1 (../x.png): '../x.png' leads out of the data set's folder",
    ]


def test_a_category_id_with_two_meanings_has_none(file):
    found, faults = change(
        file, lambda content: content["categories"].append({"id": 1, "name": "cat"})
    )
    assert faults[0] == "instances.json, category 4: ids must be unique, but 1 is also 'disc'"
    assert "got 1" in faults[1]
    assert {each.name for image in found.images for each in image.objects} == {
        "square",
        "triangle",
    }


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_class_without_a_name_is_a_fault(file, name):
    _, faults = change(file, lambda content: content["categories"][0].update(name=name))
    assert faults[0] == "instances.json, category 1: it must have a whole number as id and a name"


def test_nan_reaches_the_check_of_boxes(file):
    file.write_text(file.read_text().replace('"bbox": [', '"bbox": [NaN, 1, 2, 3], "was": [', 1))
    found = read_coco(file)
    assert found.problems == ()
    assert str(found.images[0].objects[0].box[0]) == "nan"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1, 2]", "has no list images. Name the file of instances, not of captions"),
        ('{"images": [], "annotations": {}}', "has no list annotations"),
        ('{"images": [], "annotations": []}', "has no list categories"),
        ("{", "must be JSON, but is not"),
        ("\xff\xfe", "must be JSON, but is not"),
        ("[" * 200_000, "must be JSON, but is not"),
    ],
)
def test_another_file_is_refused(tmp_path, text, why):
    file = tmp_path / "instances.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=why):
        read_coco(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json cannot be read: No such file"):
        read_coco(tmp_path / "none.json")


NASTY = st.sampled_from(
    [None, True, 0, 1, 10**400, -1, 1.5, float("nan"), "", "disc", "\ud800", "a\0b", "x\x1b[2J",
     [], [1, 2, 3, 4], [0, 0, 10**400, 1], [None] * 4, {}, {"id": []}]
)  # fmt: skip
ENTRIES = st.lists(NASTY | st.dictionaries(KEYS, NASTY, max_size=6), max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ENTRIES, ENTRIES, ENTRIES)
def test_no_content_raises_anything_else(file, images, annotations, categories):
    good = json.loads(FILLED)
    content = {
        "images": good["images"] + images,
        "annotations": good["annotations"] + annotations,
        "categories": categories + good["categories"],
    }
    file.write_text(json.dumps(content))
    found = read_coco(file)
    assert all(str(problem).isprintable() for problem in found.problems)
    assert len(found.images) <= 1
