import gzip
import io
import os
import shutil
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness import mnist
from harness.errors import DataError
from harness.mnist import IDX_FILES, find, find_in_named, read_idx

TINY = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)


def idx_bytes(array: np.ndarray) -> bytes:
    """Write IDX from its description: 0, 0, type 8, dimensions, each as big-endian uint32."""
    dims = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.astype(np.uint8).tobytes()


def full_size(n: int, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n constant images of the value (i + shift) % 256 with labels i % 10."""
    values = ((np.arange(n) + shift) % 256).astype(np.uint8)
    images = np.broadcast_to(values[:, None, None], (n, 28, 28))
    return images, (np.arange(n) % 10).astype(np.uint8)


@pytest.fixture(scope="module")
def arrays():
    return *full_size(60_000, 0), *full_size(10_000, 100)


@pytest.fixture(scope="module")
def idx_folder(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("idx")
    for name, array in zip(IDX_FILES, arrays, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array), 1))
    return folder


@pytest.fixture(scope="module")
def npz_folder(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("npz")
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez_compressed(folder / "mnist.npz", **dict(zip(names, arrays, strict=True)))
    return folder


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / "copy"))


def touch_all(folder: Path, names=IDX_FILES) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


@pytest.fixture
def opened():
    """Collect the paths that this process opens; an audit hook cannot be taken off again."""
    paths, active = [], [True]

    def hook(event, args):
        if active[0] and event == "open" and isinstance(args[0], str | os.PathLike):
            paths.append(os.fspath(args[0]))

    sys.addaudithook(hook)
    yield paths
    active[0] = False


@pytest.mark.parametrize("folder", ["idx_folder", "npz_folder"])
def test_both_forms_give_the_same_pools(folder, arrays, request):
    source = find(request.getfixturevalue(folder))
    train, test = source.read_train(), source.read_test()
    for pool, images, labels in ((train, *arrays[:2]), (test, *arrays[2:])):
        assert (pool.images == images).all()
        assert (pool.labels == labels).all()
        assert (pool.images.dtype, pool.labels.dtype) == (np.uint8, np.int64)
    assert (source.name, source.n_validation) == ("mnist", 5000)


def test_reading_the_training_pool_opens_no_test_file(idx_folder, opened):
    find(idx_folder).read_train()
    seen = [Path(path).name for path in opened if str(idx_folder) in path]
    assert set(seen) == {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}


def test_idx_training_pool_is_read_though_the_test_files_are_garbage(idx_folder, tmp_path):
    folder = copy_of(idx_folder, tmp_path)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"garbage")
    source = find(folder)
    assert len(source.read_train().labels) == 60_000
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is damaged"):
        source.read_test()


def test_npz_training_pool_is_read_though_the_test_members_are_garbage(arrays, tmp_path):
    names = ("x_train", "y_train", "x_test", "y_test")
    path = tmp_path / "mnist.npz"
    np.savez(path, **dict(zip(names, arrays, strict=True)))
    content = bytearray(path.read_bytes())
    content[content.index(b"x_test.npy") + 5000] ^= 1  # one bit of one test image
    path.write_bytes(content)
    source = find(tmp_path)
    assert len(source.read_train().labels) == 60_000
    with pytest.raises(DataError, match=r"mnist\.npz is damaged .*Bad CRC-32"):
        source.read_test()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "header is cut off after 0 bytes"),
        (idx_bytes(TINY)[:9], "header is cut off after 9 bytes"),
        (idx_bytes(TINY)[:-1], "must be 1,568 values, got 1,567"),
        (idx_bytes(TINY) + b"!", "must be 1,568 values, got more"),
        (b"\0\0\x0b\x03" + idx_bytes(TINY)[4:], r"begin with 00000803 \(IDX\), got 00000b03"),
        (idx_bytes(np.zeros(12)), r"begin with 00000803 \(IDX\), got 00000801"),
        (idx_bytes(TINY[:, :14]), r"shape must be \[2, 28, 28\], got \[2, 14, 28\]"),
        (idx_bytes(TINY[:1]), r"shape must be \[2, 28, 28\], got \[1, 28, 28\]"),
    ],
    ids=["empty", "half header", "short", "long", "type", "dimensions", "shape", "count"],
)
def test_damaged_idx_is_named(tmp_path, content, text, zipped):
    path = tmp_path / "some-file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=rf"some-file is damaged .*{text}.* Replace the file"):
        read_idx(path, (2, 28, 28))


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    "broken",
    [
        gzip.compress(idx_bytes(TINY))[:-9],
        gzip.compress(idx_bytes(TINY))[:-1],
        flip(gzip.compress(idx_bytes(TINY)), -6),
        flip(gzip.compress(idx_bytes(TINY)), 30),
        b"\x1f\x8b",
    ],
    ids=["short stream", "short trailer", "wrong checksum", "wrong stream", "only magic"],
)
def test_damaged_gzip_is_named(tmp_path, broken):
    path = tmp_path / "some.gz"
    path.write_bytes(broken)
    with pytest.raises(DataError, match=r"some\.gz is damaged"):
        read_idx(path, (2, 28, 28))


@pytest.mark.parametrize("zipped", [False, True])
def test_good_idx_is_read_zipped_or_not_whatever_its_name(tmp_path, zipped):
    path = tmp_path / "name-without-ending"
    path.write_bytes(gzip.compress(idx_bytes(TINY)) if zipped else idx_bytes(TINY))
    assert (read_idx(path, (2, 28, 28)) == TINY).all()


def test_labels_out_of_range_name_the_label_file(idx_folder, tmp_path):
    folder = copy_of(idx_folder, tmp_path)
    labels = np.full(60_000, 10, np.uint8)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz .*must be 0 to 9"):
        find(folder).read_train()


def npz_of(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a zip file"),
        (b"<html>log in first</html>", "not a zip file"),
        (npz_of(a=TINY), "no item named 'x_train.npy'"),
        (
            npz_of(x_train=TINY, y_train=np.arange(2)),
            r"\[60000, 28, 28\], got uint8 \[2, 28, 28\]",
        ),
        (npz_of(x_train=np.array([None]), y_train=np.arange(2)), "allow_pickle"),
    ],
    ids=["empty", "html", "other arrays", "count", "objects"],
)
def test_damaged_npz_is_named(tmp_path, content, text):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"mnist\.npz is damaged .*{text}"):
        find(tmp_path).read_train()


def test_npz_member_longer_than_its_header_says_is_named(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, TINY)
    with zipfile.ZipFile(tmp_path / "mnist.npz", "w") as archive:
        archive.writestr("x_train.npy", buffer.getvalue() + b"!")
    with pytest.raises(DataError, match=r"x_train\.npy is longer than its header says"):
        find(tmp_path).read_train()


def test_counts_of_npz_that_differ_are_said(arrays, tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=arrays[0], y_train=arrays[1][:59_999])
    with pytest.raises(DataError, match=r"labels must be integers \[60000\], got uint8 \[59999\]"):
        find(tmp_path).read_train()


def test_a_file_that_vanishes_after_the_check_is_one_clear_error(tmp_path):
    source = find(touch_all(tmp_path))
    (tmp_path / IDX_FILES[0]).unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte cannot be read: No such file"):
        source.read_train()


@pytest.mark.parametrize("spelling", ["{}", "{}.gz", "dotted", "dotted.gz"])
def test_every_spelling_is_found(tmp_path, spelling):
    for name in IDX_FILES:
        dotted = spelling.replace("dotted", name.replace("-idx", ".idx"))
        (tmp_path / dotted.format(name)).touch()
    assert find(tmp_path).place == str(tmp_path)


def test_nothing_is_found_in_an_empty_or_incomplete_or_absent_folder(tmp_path):
    assert find(tmp_path) is None
    assert find(touch_all(tmp_path, IDX_FILES[:3])) is None
    assert find(tmp_path / "absent") is None


def test_named_folder_must_exist(tmp_path):
    with pytest.raises(DataError, match=r"must hold MNIST, but .*/absent does not exist\. Looked"):
        find_in_named(tmp_path / "absent")


def test_named_folder_must_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"/file is not a folder"):
        find_in_named(tmp_path / "file")


def test_empty_named_folder_is_told_all_that_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        find_in_named(tmp_path)
    for name in (str(tmp_path), *IDX_FILES, "mnist.npz"):
        assert name in str(caught.value)


def test_the_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"but t10k-labels-idx1-ubyte is missing in "):
        find_in_named(touch_all(tmp_path, IDX_FILES[:3]))


@pytest.fixture
def as_ordinary_user():
    """Give up the rights of root for one test: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def open_folder():
    """Return a folder whose parents everybody may enter, unlike those of tmp_path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("locked", [IDX_FILES[0], IDX_FILES[3]])
def test_a_file_without_permission_is_refused_before_anything_is_read(
    open_folder, locked, request
):
    touch_all(open_folder)
    (open_folder / locked).chmod(0)
    request.getfixturevalue("as_ordinary_user")
    with pytest.raises(DataError, match=rf"/{locked} must be readable"):
        find(open_folder)


def test_a_named_folder_without_permission_is_refused(open_folder, request):
    folder = touch_all(open_folder)
    inner = folder / "inner"
    inner.mkdir(mode=0)
    request.getfixturevalue("as_ordinary_user")
    with pytest.raises(DataError, match=r"must be readable, but .*/inner is not"):
        find_in_named(inner)
    assert mnist.find(inner) is None  # a cache that may not be entered is no reason to fail
