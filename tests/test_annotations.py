import os

import pytest

from harness.annotations import UnsafePathError, inside


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    (folder / "images" / "deep").mkdir(parents=True)
    for name in ("a.png", "images/b.png", "images/deep/c.png"):
        (folder / name).touch()
    (tmp_path / "secret.png").touch()
    return folder


@pytest.mark.parametrize("name", ["b.png", "deep/c.png", "./deep/../b.png", "../a.png"])
def test_names_below_the_data_set_are_taken(root, name):
    assert inside(root, root / "images", name) == root / "images" / name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../../secret.png", "leads out of the data set's folder"),
        ("../../set/../secret.png", "leads out"),
        ("/etc/passwd", "must be relative to the data set, got '/etc/passwd'"),
        ("", "a file must be named"),
        ("b.png\0.jpg", "a file must be named"),
        ("none.png", "image 'none.png' does not exist"),
        ("deep", "image 'deep' is not a file"),
        ("n" * 300, "cannot be reached|does not exist"),
    ],
)
def test_other_names_are_refused(root, name, why):
    with pytest.raises(UnsafePathError, match=why):
        inside(root, root / "images", name)


def test_links_are_followed_and_must_stay_inside(root):
    (root / "images" / "out.png").symlink_to(root.parent / "secret.png")
    (root / "images" / "in.png").symlink_to(root / "a.png")
    (root / "images" / "circle.png").symlink_to(root / "images" / "circle.png")
    (root / "images" / "away").symlink_to(root.parent)
    assert inside(root, root / "images", "in.png").is_file()
    for name in ("out.png", "circle.png", "away/secret.png"):
        with pytest.raises(UnsafePathError):
            inside(root, root / "images", name)


def test_a_linked_data_set_is_a_data_set(root):
    link = root.parent / "link"
    link.symlink_to(root)
    assert inside(link, link / "images", "b.png").is_file()


def test_a_pipe_is_no_image(root):
    os.mkfifo(root / "images" / "pipe.png")
    with pytest.raises(UnsafePathError, match="is not a file"):
        inside(root, root / "images", "pipe.png")
