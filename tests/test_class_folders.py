import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from own_data import pictures, write_folders
from PIL import Image

from harness.class_folders import ImageFault, parts, read_image
from harness.datasets import own_path
from harness.errors import DataError
from harness.sources import resolve

THREE = {"ant": pictures(4, 1), "bee": pictures(5, 2), "cat": pictures(6, 3)}


def load(path, *, skip_bad=False):
    return resolve(f"folder:{path}", None, say=pytest.fail, skip_bad=skip_bad)


def test_a_folder_for_each_class(tmp_path):
    source = load(write_folders(tmp_path / "x", THREE))
    train, test = source.read_train(), source.read_test()
    assert (train.class_names, train.classes) == (("ant", "bee", "cat"), 3)
    assert test.class_names == train.class_names
    assert np.bincount(train.labels).tolist() == [3, 4, 5]
    assert np.bincount(test.labels).tolist() == [1, 1, 1]
    everything = {i.tobytes() for pool in (train, test) for i in pool.images}
    assert everything == {i.tobytes() for images in THREE.values() for i in images}
    assert (source.name, source.dataset) == ("folder", f"folder:{tmp_path / 'x'}")


def test_equal_content_is_the_same_data_wherever_it_lies(tmp_path, monkeypatch):
    one = load(write_folders(tmp_path / "x", THREE))
    other = tmp_path / "y" / "z"
    shutil.copytree(tmp_path / "x", other)
    for path in sorted(other.rglob("*.png")):
        path.rename(path.with_name(f"other-{9 - int(path.stem)}.png"))
    monkeypatch.chdir(tmp_path / "y")
    two = load("z")
    assert one.read_train().digest() == two.read_train().digest()
    assert one.read_test().digest() == two.read_test().digest()
    assert two.dataset == f"folder:{other}"


def test_train_and_test_below(tmp_path):
    write_folders(tmp_path / "x" / "train", THREE)
    write_folders(tmp_path / "x" / "test", {"bee": pictures(2, 7)})
    source = load(tmp_path / "x")
    assert len(source.read_train().labels) == 15
    assert source.read_test().labels.tolist() == [1, 1]


def test_classes_that_are_numbers_come_in_their_order(tmp_path):
    classes = {str(k): pictures(3, k) for k in (10, 2, 0, 1)}
    pool = load(write_folders(tmp_path / "x", classes)).read_train()
    assert pool.class_names == ("0", "1", "2", "10")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (None, "must be a folder, but does not exist"),
        ([], "must hold a folder for each class, got none"),
        (["train/a", "val/a"], "bench itself draws validation from train"),
    ],
)
def test_what_is_no_data_set_is_refused_at_once(made, text, tmp_path):
    path = tmp_path / "x"
    for name in made or []:
        (path / name).mkdir(parents=True)
    if made == []:
        path.mkdir()
    with pytest.raises(DataError, match=text):
        parts(path)


def png_of(width: int, height: int) -> bytes:
    """Return a PNG whose header promises a size, with nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(kind + data))
        return size + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts_ = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts_)


@pytest.fixture
def spoilt(tmp_path):
    """A data set with one of each fault."""
    root = write_folders(tmp_path / "x", THREE)
    good = (root / "ant" / "000.png").read_bytes()
    (root / "ant" / "bomb.png").write_bytes(png_of(10_000, 10_000))  # Pillow warns
    (root / "ant" / "bomb2.png").write_bytes(png_of(15_000, 15_000))  # Pillow refuses
    (root / "ant" / "broken.png").write_bytes(good[: len(good) // 2])
    (root / "ant" / "long.png").write_bytes(png_of(20_000, 10))
    (root / "ant" / "notes.txt").write_text("no image")
    (root / "ant" / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (root / "bee" / "more").mkdir()
    (tmp_path / "secret.png").write_bytes(good)
    (root / "bee" / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(root / "bee" / "pipe.png")
    (tmp_path / "elsewhere").mkdir()
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "eel").mkdir()
    (root / "loose.png").write_bytes(good)
    (root / "README.md").write_text("what this is")
    (root / "cat" / ".DS_Store").write_text("clutter")
    return root


FAULTS = [
    ("loose.png", "an image must lie in the folder of its class"),
    ("ant/bomb.png", "more may be a decompression bomb"),
    ("ant/bomb2.png", "more may be a decompression bomb"),
    ("ant/broken.png", "cannot be read: image file is truncated"),
    ("ant/long.png", "its sides must have at most 16,384 pixels"),
    ("ant/notes.txt", "it must be an image (PNG, "),
    ("ant/vector.eps", "it must be an image (PNG, "),
    ("bee/link.png", "a link must stay in the data set's folder, but leads to"),
    ("bee/more", "it must be an image, but is a folder"),
    ("bee/pipe.png", "it must be an image, but is no file"),
    ("dog", "a link must stay in the data set's folder"),
    ("class 'dog'", "it must have at least 3 different images"),
    ("class 'eel'", "it must have at least 3 different images"),
]


def test_every_fault_of_a_data_set_is_told_at_once(spoilt):
    with pytest.raises(DataError) as caught:
        load(spoilt).read_train()
    first, *lines, _ = str(caught.value).splitlines()
    assert first.endswith(f"has {len(FAULTS)} problems:")
    for line, (where, what) in zip(lines, FAULTS, strict=True):
        assert where in line
        assert what in line


def test_the_bad_ones_can_be_left_out(spoilt):
    pool = load(spoilt, skip_bad=True).read_train()
    assert np.bincount(pool.labels).tolist() == [3, 4, 5]
    assert pool.class_names == ("ant", "bee", "cat")
    assert len(pool.problems) == len(FAULTS)
    assert pool.skipped == 11  # all but the two classes without images


def test_a_link_inside_the_folder_is_a_copy(tmp_path):
    root = write_folders(tmp_path / "x", THREE)
    (root / "ant" / "again.png").symlink_to(root / "ant" / "000.png")
    assert load(root).read_train().duplicates == 1


def test_pixels_of_every_kind_of_image(tmp_path):
    ramp = np.arange(0, 240, 30, dtype=np.uint8).reshape(2, 4)
    wide = (ramp.astype(np.uint16) << 8) + 77
    rgba = np.stack([np.full_like(ramp, 255)] * 3 + [ramp], axis=-1)
    white = np.full((2, 4), 255, np.uint8)
    for name, image, expected in (
        ("grey.png", Image.fromarray(ramp), ramp),
        ("colour.bmp", Image.fromarray(np.stack([ramp] * 3, axis=-1)), ramp),
        ("deep.png", Image.fromarray(wide), ramp),
        ("clear.png", Image.fromarray(rgba), ramp),  # white seen through, on black
        ("palette.gif", Image.fromarray(white).convert("P"), white),
        ("bit.tiff", Image.fromarray(white).convert("1"), white),
    ):
        image.save(tmp_path / name)
        assert read_image(tmp_path / name).tolist() == expected.tolist(), name


def test_a_photo_is_turned_as_its_camera_was(tmp_path):
    tall = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    tall.save(tmp_path / "x.png", exif=exif)
    assert read_image(tmp_path / "x.png").tolist() == np.rot90(np.asarray(tall), -1).tolist()


def test_real_numbers_are_no_pixels(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(ImageFault, match="must be whole numbers"):
        read_image(tmp_path / "x.tiff")


def test_a_name_holds_a_path_that_does_not_depend_on_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert own_path("folder:a/../b") == ("folder", tmp_path / "b")
    assert str(own_path("npz:~/x.npz")[1]) == "/home/somebody/x.npz"
    assert own_path("mnist") is None
