"""Pictures of a user's own: found, refused by name, and made into what a network knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.errors import DataError, UsageError
from harness.own_pictures import listed, read_picture


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def paper(width: int = 60, height: int = 40) -> np.ndarray:
    """Return grey paper of intensity 200 with a dark bar of 20."""
    pixels = np.full((height, width), 200)
    pixels[10:30, 20:30] = 20
    return pixels


def test_files_and_folders_are_listed_once_in_order(tmp_path: Path) -> None:
    names = ("b.png", "a.PNG", "c.jpg")
    for name in names:
        save(tmp_path / name, paper())
    (tmp_path / "notes.txt").write_text("no picture")
    named = [tmp_path / "c.jpg", tmp_path]
    assert [path.name for path in listed(named)] == ["c.jpg", "a.PNG", "b.png"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*nowhere\.png"):
        listed([tmp_path / "nowhere.png"])
    with pytest.raises(UsageError, match=r"has no file that ends in \.bmp, \.gif"):
        listed([tmp_path])


def test_all_that_are_no_pictures_are_named_at_once(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", paper())
    (tmp_path / "text.png").write_text("no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:60])
    with pytest.raises(DataError) as error:
        listed([tmp_path])
    assert "2 of 3 are not" in str(error.value)
    assert "text.png: it must be an image" in str(error.value)
    assert "cut.png: " in str(error.value)
    assert "good.png" not in str(error.value)


def test_dark_on_bright_becomes_white_on_black(tmp_path: Path) -> None:
    picture = read_picture(
        save(tmp_path / "p.png", paper()), side_px=60, channels=1, invert="auto"
    )
    assert picture.inverted
    canvas = picture.canvas[:, :, 0]
    # 60x40 fits a canvas of 60 as it is, 10 rows of black above and below.
    expected = np.zeros((60, 60), np.uint8)
    expected[20:40, 20:30] = 255
    assert np.array_equal(canvas, expected)
    assert picture.shown.getpixel((0, 0)) == (200, 200, 200), "what is shown stays as it is"


def test_light_on_dark_and_what_is_asked_for_stay(tmp_path: Path) -> None:
    path = save(tmp_path / "p.png", 255 - paper())
    dark = read_picture(path, side_px=60, channels=1, invert="auto")
    assert not dark.inverted
    assert np.array_equal(dark.canvas[10:50, :, 0], 255 - paper())
    kept = read_picture(save(tmp_path / "q.png", paper()), side_px=60, channels=1, invert="off")
    assert np.array_equal(kept.canvas[10:50, :, 0], paper())
    assert read_picture(path, side_px=60, channels=1, invert="on").inverted


def test_blank_paper_is_no_division_by_zero(tmp_path: Path) -> None:
    path = save(tmp_path / "p.png", np.full((20, 20), 250))
    picture = read_picture(path, side_px=20, channels=1, invert="auto")
    assert np.array_equal(picture.canvas[:, :, 0], np.full((20, 20), 5))


def test_colour_stays_colour(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10, 3))
    pixels[:, :, 2] = 250
    path = save(tmp_path / "p.png", pixels)
    assert read_picture(path, side_px=10, channels=3, invert="off").canvas[0, 0].tolist() == [
        0, 0, 250
    ]  # fmt: skip
