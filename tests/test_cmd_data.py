"""`bench data stats` against counts by hand."""

import json

import numpy as np
import pytest
from own_data import pictures, write_folders
from PIL import Image

from harness.data_stats import box_shares


@pytest.fixture
def pets(store, tmp_path):
    root = write_folders(
        tmp_path / "pets", {"cat": pictures(20, 1), "dog": pictures(30, 2, side=40)}
    )
    Image.fromarray(pictures(1, 1)[0]).save(root / "cat" / "again.png")
    return root


def test_counts_of_a_folder(bench, pets):
    code, out, said = bench("data stats --dataset folder:pets --json --split test --split train")
    assert (code, said) == (0, "")
    found = json.loads(out)
    # 10 % of 20 and 30 are sealed; 10 % of the 18 and 27 left validate, 1.8 and 2.7 to nearest.
    assert found["classes"] == [
        {"name": "cat", "train": 16, "test": 2},
        {"name": "dog", "train": 24, "test": 3},
    ]
    assert found["images"] == {"train": 40, "test": 5}
    assert found["shared"] == {"train and test": 0}
    assert found["duplicates"] == 1
    assert found["sizes"] == [
        {"height": 28, "width": 28, "images": 21}, {"height": 40, "width": 40, "images": 30},
    ]  # fmt: skip
    assert found["problems"] == []


def test_the_test_split_stays_sealed_unless_it_is_named(bench, pets):
    code, out, _ = bench("data stats --dataset folder:pets --json")
    assert code == 0
    assert json.loads(out)["images"] == {"train": 40, "validation": 5}


def test_faults_are_listed_and_are_no_error(bench, pets):
    (pets / "dog" / "x.txt").write_text("no image")
    code, out, said = bench("data stats --dataset folder:pets")
    assert code == 0
    assert "problems: 1, 1 images" in out + said
    assert "x.txt: it must be an image" in (out + said).replace("\n", "")


def test_runs_refuse_faults_before_anything_slow(bench, pets):
    (pets / "dog" / "x.txt").write_text("no image")
    (pets / "cow").mkdir()
    code, _, said = bench("run --dataset folder:pets")
    assert code == 1
    assert "has 2 problems:" in said
    assert "x.txt: it must be an image" in said
    assert "class 'cow': it must have at least 3 different images" in said


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("data stats --dataset folder:", 2, "must be named folder:PATH"),
        ("data stats --dataset foldr:x", 2, "Did you mean 'folder:PATH'?"),
        ("data stats --dataset folder:absent", 1, "must be a folder, but does not exist"),
        ("data stats --dataset npz:absent.npz", 1, "absent.npz: it cannot be read: No such file"),
        ("data stats --dataset idx:absent", 1, "must hold absent-train-images-idx3-ubyte"),
        ("run --dataset idx:absent", 1, "must hold absent-train-images-idx3-ubyte"),
        ("data preview --dataset npz:", 2, "must be named npz:PATH"),
        ("sweep --dataset digits --search skip_bad=1,2", 2, "`skip_bad` is never searched"),
    ],
)
def test_what_cannot_be(line, code, text, bench, store):
    found, _, said = bench(line)
    assert found == code
    assert text in said


def test_a_picture_of_classes_with_names(bench, pets):
    code, out, said = bench("data preview --dataset folder:pets --split validation --to x.png")
    assert code == 0
    assert "5 validation scenes of folder" in out + said
    assert (pets.parent / "x.png").read_bytes().startswith(b"\x89PNG")


def test_boxes_by_hand():
    boxes = np.array([[0, 0.5, 0.25, 1], [0.5, 0.5, 0.75, 0.6]], np.float32)
    shares = box_shares(boxes)
    assert shares["width"] == (0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
    assert shares["height"][5] == 0.5  # the other is 0.1 in float32, just above or below
    assert shares["centre x"] == (0, 0.5, 0, 0, 0, 0, 0.5, 0, 0, 0)
    assert shares["centre y"] == (0, 0, 0, 0, 0, 0.5, 0, 0.5, 0, 0)
