import io
import zipfile

import numpy as np
import pytest
from own_data import pictures
from PIL import Image

from harness.errors import DataError
from harness.npz_files import parts
from harness.sources import resolve

X, Y = pictures(30, 1), np.arange(30) % 3
OTHER = pictures(6, 2)


def load(path, *, skip_bad=False):
    return resolve(f"npz:{path}", None, say=pytest.fail, skip_bad=skip_bad)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.npz"


def test_one_pair_is_split_and_two_are_not(path):
    np.savez(path, x=X, y=Y)
    assert (len(load(path).read_train().labels), len(load(path).read_test().labels)) == (27, 3)
    np.savez_compressed(path, x_train=X, y_train=Y, x_test=OTHER, y_test=Y[:6], extra=X)
    source = load(path)
    assert len(source.read_train().labels) == 30
    assert (source.read_test().images == OTHER).all()


def test_names_and_colours(path):
    colours = np.random.default_rng(0).integers(0, 256, (9, 14, 14, 3)).astype(np.uint8)
    np.savez(path, x=colours, y=Y[:9, None], class_names=np.array(["sun", "moon", "star"]))
    source = load(path)
    pools = source.read_train(), source.read_test()
    assert pools[0].class_names == ("sun", "moon", "star")
    found = {image.tobytes() for pool in pools for image in pool.images}
    greys = np.stack([np.asarray(Image.fromarray(c).convert("L")) for c in colours])
    np.savez(path, x=greys[..., None], y=Y[:9])
    plain = load(path)
    both = (plain.read_train(), plain.read_test())
    assert found == {image.tobytes() for pool in both for image in pool.images}


class Boom:
    """Pickled, it would write a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


def test_nothing_is_unpickled(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.savez(path, x=np.array([Boom()] * 3, dtype=object), y=np.array([Boom()] * 3, dtype=object))
    with pytest.raises(DataError) as caught:
        parts(path)
    for name in "xy":
        assert (
            f"{path}, array {name}: it must hold numbers or text, but holds Python objects"
            in str(caught.value)
        )
    assert not (tmp_path / "unpickled").exists()


def member(*shape: int) -> bytes:
    """Return the header of an array of bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def archive_of(path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def test_a_bomb_is_refused_by_its_header(path):
    archive_of(path, x=member(1_000_000, 9000, 9000) + bytes(1 << 20), y=member(1_000_000))
    assert path.stat().st_size < 5000
    with pytest.raises(DataError, match=r"array x: it must be at most 4,294,967,296 bytes"):
        parts(path)


def test_a_bomb_behind_a_small_header_is_not_unpacked(path):
    archive_of(path, x=member(3, 28, 28) + bytes(1 << 26), y=member(3) + bytes(3))
    with pytest.raises(DataError, match=r"array x: there must be 2,352 bytes, got more"):
        load(path).read_train()


def test_members_that_would_escape_a_folder_are_refused(path):
    np.savez(path, x=X, y=Y)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil.npy", b"x")
        archive.writestr("/etc/evil.npy", b"x")
    with pytest.raises(DataError) as caught:
        parts(path)
    assert "its members must stay inside, but one is called '../../evil.npy'" in str(caught.value)
    assert "'/etc/evil.npy'" in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "texts"),
    [
        ({"a": X}, ["array x_train: it is missing", "array y_train: it is missing"]),
        ({"x": X}, ["array y: it is missing"]),
        ({"x": X / 255, "y": Y}, ["images must be uint8", "got float64 [30, 28, 28]"]),
        ({"x": X[0], "y": Y}, ["got uint8 [28, 28]"]),
        ({"x": X, "y": Y[:5]}, ["a label for each of 30 images, got 5"]),
        ({"x": X, "y": Y / 2}, ["labels must be whole numbers [n], got float64 [30]"]),
        ({"x_train": X, "y_train": Y, "x_test": X}, ["array y_test: it is missing"]),
        ({"x": np.asfortranarray(X), "y": Y}, ["must be in C order"]),
        ({"x": X, "y": Y, "class_names": np.array(["a", "a", "b"])}, ["a name of its own"]),
        ({"x": X, "y": Y, "class_names": np.arange(3)}, ["it must be text [classes], got int64"]),
    ],
)
def test_what_does_not_fit_is_named(arrays, texts, path):
    np.savez(path, **arrays)
    with pytest.raises(DataError) as caught:
        parts(path)
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_archive_is_named(content, path):
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz: it is damaged or no NumPy file"):
        parts(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        parts(path.with_name("absent.npz"))


def test_damage_inside_is_found(path):
    np.savez(path, x=X, y=Y)
    spoilt = bytearray(path.read_bytes())
    spoilt[2000] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(DataError, match="array x: it is damaged"):
        load(path).read_train()


def test_a_label_without_a_name_is_told_with_its_image(path):
    np.savez(path, x=X, y=np.where(np.arange(30) == 5, -1, Y), class_names=np.array(list("abc")))
    with pytest.raises(DataError, match=r"x\[5\]: its label in array y must be 0 to 2, got -1"):
        load(path).read_train()
    assert load(path, skip_bad=True).read_train().skipped == 1
