import pytest
from tiny_photos import Thing, photos, voc_xml, write_voc

from harness.errors import DataError
from harness.voc import read_voc

DRAWN = photos(6)


def annotation(folder, name, text):
    (folder / "Annotations" / f"{name}.xml").write_text(text)


def faults(folder):
    return [str(problem) for problem in read_voc(folder).problems]


def test_objects_come_as_drawn(tmp_path):
    assert write_voc(tmp_path, DRAWN) == f"voc:{tmp_path}"
    found = read_voc(tmp_path)
    assert found.problems == ()
    assert [image.name for image in found.images] == [photo.name for photo in DRAWN]
    for image, photo in zip(found.images, DRAWN, strict=True):
        assert image.path == tmp_path / "JPEGImages" / f"{photo.name}.jpg"
        assert image.declared_px == photo.image.size
        assert [(each.name, each.box) for each in image.objects] == [
            (thing.name, thing.box) for thing in photo.things
        ]
    assert found.images[0].objects[1].where == "Annotations/000000.xml, object 2 (square)"


def test_pixels_are_counted_from_one_and_the_last_is_inside(tmp_path):
    write_voc(tmp_path, DRAWN[:1])
    # All of an image 48 wide and 30 high, as in VOC: 1 to 48, 1 to 30. The head is a part.
    annotation(tmp_path, "000000", """<annotation><filename>000000.jpg</filename>
        <object><name>dog</name><difficult>1</difficult><part><name>head</name><bndbox>
        <xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>
        <bndbox><xmax>48</xmax><xmin>1</xmin><ymax>30.5</ymax><ymin>1</ymin></bndbox></object>
        </annotation>""")  # fmt: skip
    (image,) = read_voc(tmp_path).images
    assert image.objects[0].box == (0, 0, 48, 30.5)
    assert image.objects[0].minor
    assert image.declared_px is None
    assert len(image.objects) == 1


def test_lists_give_the_splits(tmp_path):
    names = [photo.name for photo in DRAWN]
    lists = {
        "train": names[:2],
        "val": names[2:3],
        "trainval": names[:3],
        "test": [f"{names[3]} 1"],
    }
    write_voc(tmp_path, DRAWN, lists=lists)
    found = read_voc(tmp_path)
    assert [image.split for image in found.images] == ["train", "train", "validation", "test"]
    assert (found.unlisted, found.problems) == (2, ())


def test_trainval_alone_is_for_training(tmp_path):
    names = [photo.name for photo in DRAWN]
    write_voc(tmp_path, DRAWN, lists={"trainval": names[:4], "test": names[4:]})
    assert [image.split for image in read_voc(tmp_path).images] == ["train"] * 4 + ["test"] * 2


def test_a_name_in_two_lists_or_without_annotation_is_a_fault(tmp_path):
    lists = {"train": ["000000", "000001"], "val": ["000001"], "test": ["000002", "000009"],
             "trainval": ["000002"]}  # fmt: skip
    write_voc(tmp_path, DRAWN, lists=lists)
    both = "must be in one split, but is listed in"
    assert faults(tmp_path) == [
        f"ImageSets/Main/val.txt:1: 000001 {both} train and val",
        f"ImageSets/Main/trainval.txt:1: 000002 {both} test and trainval",
        "Annotations/000009.xml: a list in ImageSets/Main names it, but it does not exist",
    ]


def test_every_fault_is_told_at_once(tmp_path):
    write_voc(tmp_path, DRAWN)
    good = Thing(name="dog", box=(1, 1, 5, 5))
    twice = voc_xml("000000.jpg", (9, 9), [good, good, good])
    twice = twice.replace("<name>dog</name>", "<name> </name>", 1)
    annotation(tmp_path, "000000", twice.replace("<xmin>2</xmin>", "<xmin>two</xmin>"))
    annotation(tmp_path, "000001", voc_xml("000001.jpg", (9, 9), [good]).replace("bndbox", "box"))
    annotation(tmp_path, "000002", voc_xml("../../secret.jpg", (9, 9), [good]))
    annotation(tmp_path, "000003", "<annotation><object>")
    annotation(tmp_path, "000004", "<html/>")
    found = read_voc(tmp_path)
    no_box = "it must have a <bndbox> with <xmin>"
    assert [image.name for image in found.images] == ["000005"]
    assert faults(tmp_path) == [
        "Annotations/000000.xml, object 1 (): its class must have a name",
        "Annotations/000000.xml, object 1 (): <xmin> must be a number, got 'two'",
        "Annotations/000000.xml, object 2 (dog): <xmin> must be a number, got 'two'",
        "Annotations/000000.xml, object 3 (dog): <xmin> must be a number, got 'two'",
        f"Annotations/000001.xml, object 1 (dog): {no_box}, but has none",
        "Annotations/000002.xml: '../../secret.jpg' leads out of the data set's folder",
        "Annotations/000003.xml: it must be XML, but is not: no element found: line 1, column 20",
        "Annotations/000004.xml: its root must be <annotation>, got <html>",
    ]


BOMB = """<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]>
<annotation><filename>&y;</filename></annotation>"""
FILE_READER = """<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>
<annotation><filename>&x;</filename></annotation>"""


@pytest.mark.parametrize("text", [BOMB, FILE_READER])
def test_entities_are_refused(tmp_path, text):
    write_voc(tmp_path, DRAWN[:2])
    annotation(tmp_path, "000000", text)
    (fault,) = faults(tmp_path)
    assert fault.startswith("Annotations/000000.xml: it must not define a document type")


def test_a_huge_annotation_is_not_read(tmp_path):
    write_voc(tmp_path, DRAWN[:2])
    with (tmp_path / "Annotations" / "000000.xml").open("wb") as file:
        file.truncate(2**24 + 1)
    assert faults(tmp_path) == [
        "Annotations/000000.xml: an annotation must have at most 16,777,216 bytes"
    ]


@pytest.mark.parametrize("missing", ["Annotations", "JPEGImages"])
def test_another_folder_is_refused(tmp_path, missing):
    other = {"Annotations": "JPEGImages", "JPEGImages": "Annotations"}[missing]
    (tmp_path / other).mkdir()
    with pytest.raises(DataError, match=f"has no {missing}. Name the folder that holds both"):
        read_voc(tmp_path)
