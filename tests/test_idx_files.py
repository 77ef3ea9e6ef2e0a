import gzip
import struct

import numpy as np
import pytest
from own_data import idx_bytes, pictures, write_pair

from harness.errors import DataError
from harness.idx_files import parts
from harness.sources import resolve

IMAGES, LABELS = pictures(30, 1), np.arange(30) % 3


def load(path, *, skip_bad=False):
    return resolve(f"idx:{path}", None, say=pytest.fail, skip_bad=skip_bad)


@pytest.mark.parametrize("begin", ["train-", ""])
def test_one_pair_in_a_folder_is_split(begin, tmp_path):
    write_pair(tmp_path, begin, IMAGES, LABELS)
    source = load(tmp_path)
    assert len(source.read_train().labels) == 27
    assert len(source.read_test().labels) == 3
    assert source.read_train().class_names == ()


@pytest.mark.parametrize("test", ["t10k-", "test-"])
def test_a_test_pair_is_the_test(test, tmp_path):
    write_pair(tmp_path, "letters-train-", pictures(9, 2, side=40), LABELS[:9] + 1)
    write_pair(tmp_path, f"letters-{test}", IMAGES, LABELS + 1)
    source = load(tmp_path / "letters")
    train = source.read_train()
    assert (len(train.labels), train.class_names) == (9, ("1", "2", "3"))
    assert train.sizes == ((40, 40, 9),)
    assert source.read_test().labels.tolist() == LABELS.tolist()
    assert (source.read_test().images == IMAGES).all()


def test_names_stand_in_a_file_of_lines(tmp_path):
    write_pair(tmp_path, "", IMAGES, LABELS)
    (tmp_path / "classes.txt").write_text("sun\nmoon\nstar\n")
    assert load(tmp_path).read_train().class_names == ("sun", "moon", "star")


def test_labels_without_a_name_are_told_and_can_be_left_out(tmp_path):
    labels = LABELS.copy()
    labels[[4, 7]] = 9
    write_pair(tmp_path, "", IMAGES, labels)
    (tmp_path / "classes.txt").write_text("sun\nmoon\nstar")
    with pytest.raises(DataError) as caught:
        load(tmp_path).read_train()
    assert "images-idx3-ubyte.gz, image 4: its label in " in str(caught.value)
    assert "must be 0 to 2, got 9" in str(caught.value)
    assert "image 7: " in str(caught.value)
    assert load(tmp_path, skip_bad=True).read_train().skipped == 2


def header(*words: int) -> bytes:
    return bytes([0, 0, 8, len(words)]) + b"".join(struct.pack(">I", word) for word in words)


@pytest.mark.parametrize(
    ("images", "labels", "texts"),
    [
        (
            b"GIF89a" + bytes(30),
            idx_bytes(LABELS),
            ["must begin with 00000803 (IDX), got 47494638"],
        ),
        (idx_bytes(LABELS), idx_bytes(IMAGES), ["begin with 00000803", "begin with 00000801"]),
        (b"\0\0", idx_bytes(LABELS), ["cut off after 2 bytes"]),
        (idx_bytes(IMAGES), idx_bytes(LABELS[:9]), ["a label for each of 30 images, got 9"]),
        (header(2**31, 9000, 9000), idx_bytes(LABELS), ["at most 4,294,967,296 bytes together"]),
        (header(3, 0, 28), idx_bytes(LABELS[:3]), ["sides of 1 to 16,384"]),
        (b"\x1f\x8b broken", idx_bytes(LABELS), ["images-idx3-ubyte: "]),
    ],
)
def test_wrong_headers_of_both_are_told_before_anything_is_read(images, labels, texts, tmp_path):
    (tmp_path / "images-idx3-ubyte").write_bytes(images)
    (tmp_path / "labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(DataError) as caught:
        parts(tmp_path)
    for text in texts:
        assert text in str(caught.value)
    assert "--skip-bad" not in str(caught.value)


def test_wrong_lengths_of_both_are_told(tmp_path):
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(IMAGES)[:-5]))
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx_bytes(LABELS) + b"x")
    with pytest.raises(DataError) as caught:
        load(tmp_path).read_train()
    assert "there must be 23,520 values, got 23,515" in str(caught.value)
    assert "there must be 30 values, got more" in str(caught.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"must hold x-train-images-idx3-ubyte and x-train-labels"):
        parts(tmp_path / "x")
    write_pair(tmp_path, "train-", IMAGES, LABELS)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte: it is missing beside its pair"):
        parts(tmp_path)


def test_names_must_differ(tmp_path):
    write_pair(tmp_path, "", IMAGES, LABELS)
    (tmp_path / "classes.txt").write_text("sun\nsun\n\nmoon")
    with pytest.raises(DataError) as caught:
        parts(tmp_path)
    assert "classes.txt, line 2: each line must name another class, got 'sun'" in str(caught.value)
    assert "classes.txt, line 3: each line must name another class, got nothing" in str(
        caught.value
    )
