import pytest
from tiny_photos import photos, write_csv

from harness.box_csv import read_csv
from harness.errors import DataError

DRAWN = photos(4)
HEAD = "path,label,x_min,y_min,x_max,y_max"


@pytest.fixture
def read(tmp_path):
    """Return what reads lines in a folder with four photos, and the words of the faults."""
    write_csv(tmp_path, DRAWN)

    def of(*lines, encoding="utf-8"):
        (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
        found = read_csv(tmp_path / "boxes.csv")
        return found, [str(problem) for problem in found.problems]

    return of


@pytest.mark.parametrize("fractions", [False, True])
def test_objects_come_as_drawn(tmp_path, fractions):
    write_csv(tmp_path, DRAWN, fractions=fractions, splits=["train", "val", "test", "train"])
    found = read_csv(tmp_path / "boxes.csv")
    assert found.problems == ()
    assert [image.split for image in found.images] == ["train", "validation", "test", "train"]
    for image, photo in zip(found.images, DRAWN, strict=True):
        assert image.unit == ("fraction" if fractions else "px")
        assert [each.name for each in image.objects] == [thing.name for thing in photo.things]
        sides = photo.image.size * 2 if fractions else (1, 1, 1, 1)
        for each, thing in zip(image.objects, photo.things, strict=True):
            edges = [edge * side for edge, side in zip(each.box, sides, strict=True)]
            assert edges == pytest.approx(thing.box, rel=1e-12)
    assert found.images[0].objects[1].where == "boxes.csv:3 (square)"


def test_columns_may_come_in_any_order_after_a_signature(read):
    found, faults = read(
        "label, y_max ,x_max,y_min,x_min,path,comment", 'dog,4,3,2,1,000000.png,"a, b"',
        encoding="utf-8-sig",
    )  # fmt: skip
    assert faults == []
    assert found.images[0].objects[0].box == (1, 2, 3, 4)


def test_a_row_of_empty_cells_is_a_photo_without_an_object(read):
    found, faults = read(HEAD, "000000.png,,,,,", "000001.png,dog,1,2,30,4")
    assert faults == []
    assert [len(image.objects) for image in found.images] == [0, 1]


@pytest.mark.parametrize(
    ("rows", "spoilt", "unit"),
    [
        (["1,2,30,40", "0.1,0.2,0.3,0.4", "5,6,7,8"], 3, "fractions"),
        (["0.1,0.2,0.3,0.4", "0,0,1,1", "5,6,7,8"], 4, "pixels"),
        (["5,6,7,8", "0.1,0.2,0.3,0.4"], 3, "fractions"),
    ],
)
def test_the_rarer_unit_is_the_fault(read, rows, spoilt, unit):
    found, faults = read(HEAD, *(f"00000{n}.png,dog,{row}" for n, row in enumerate(rows)))
    assert faults == [
        f"boxes.csv:{spoilt}: all boxes must have one unit, but this is in {unit}, most are not"
    ]
    assert len(found.images) == len(rows) - 1


def test_nan_speaks_for_no_unit(read):
    found, faults = read(HEAD, "000000.png,dog,nan,0,1,1", "000001.png,dog,0.1,0.2,0.3,0.4")
    assert faults == []
    assert {image.unit for image in found.images} == {"fraction"}


def test_every_fault_is_told_at_once_and_spoils_its_photo(read):
    found, faults = read(
        f"{HEAD},split",
        "000000.png,dog,1,2,30,x,train",
        "000000.png,dog,1,2,30,4,train",
        "000001.png,,1,2,30,4,train",
        "000002.png,dog,1,2,30,4,train",
        "000002.png,dog,1,2,30,4,test",
        "000003.png,dog,1,2,30,4,extra",
        "000003.png,dog,1,2",
        "../set/x.png,dog,1,2,30,4,test",
        ",dog,1,2,30,4,test",
        "none.png,dog,1,2,30,4,test",
    )
    assert found.images == ()
    assert faults == [
        "boxes.csv:2: y_max must be a number, got 'x'",
        "boxes.csv:4: the label must not be empty",
        "boxes.csv:7: split must be train, validation or test, got 'extra'",
        "boxes.csv:8: it must have as many values as the first line has columns",
        "boxes.csv:6: 000002.png must be in one split, but is in train and test",
        "boxes.csv:10: a file must be named, got ''",
        "boxes.csv:9: '../set/x.png' leads out of the data set's folder",
        "boxes.csv:11: image 'none.png' does not exist",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "there is no path. It names: nothing"),
        (b"path,label,x,y\n", r"there is no x_min. It names: path, label, x, y\."),
        (b'path,label,x_min,y_min,x_max,y_max\n"a', "must be CSV in UTF-8, but is not"),
        (b"path,label,x_min,y_min,x_max,y_max\n\xff,a,1,2,3,4\n", "must be CSV in UTF-8"),
    ],
)
def test_another_file_is_refused(tmp_path, content, why):
    (tmp_path / "boxes.csv").write_bytes(content)
    with pytest.raises(DataError, match=why):
        read_csv(tmp_path / "boxes.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read: No such file"):
        read_csv(tmp_path / "none.csv")
