import contextlib
import hashlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tiny_photos import photos

from harness.image_files import (
    MAX_PIXELS,
    UnreadableImageError,
    bombs_are_errors,
    decode,
    probe,
)

PHOTO = photos(1, seed=3)[0].image
KINDS = ("jpg", "png", "webp", "bmp", "gif", "tif", "ppm")


def saved(path, image=PHOTO, **options):
    image.save(path, **options)
    return path


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(path, width, height, pixels=b"", bits=8, colours=2):
    """Write a PNG whose chunks have the right checksums, whatever the pixels are."""
    header = struct.pack(">2I5B", width, height, bits, colours, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_known_formats_are_probed_and_decoded(tmp_path, kind):
    path = saved(tmp_path / f"photo.{kind}")
    facts = probe(path)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.stored_px == facts.upright_px == PHOTO.size
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert (np.asarray(decode(path, channels=3)) == expected).all()
    grey = np.asarray(Image.fromarray(expected).convert("L"))
    assert (np.asarray(decode(path, channels=1)) == grey).all()


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_photos_are_shown_upright(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"photo.{kind}", exif=exif)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert probe(path).upright_px == expected.size
    assert probe(path).stored_px == PHOTO.size
    assert (np.asarray(decode(path, channels=3)) == np.asarray(expected)).all()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pillow_turns_tiff_and_we_do_not_turn_it_again(tmp_path, orientation):
    path = saved(tmp_path / "photo.tif", tiffinfo={0x0112: orientation})
    upright = {1: PHOTO, 3: PHOTO.rotate(180), 6: PHOTO.transpose(Image.Transpose.ROTATE_270)}
    assert probe(path).upright_px == upright[orientation].size
    assert (np.asarray(decode(path, channels=3)) == np.asarray(upright[orientation])).all()


def rgba():
    # red, half covered white, uncovered green
    image = Image.new("RGBA", (3, 1))
    for x, colour in enumerate([(255, 0, 0, 255), (255, 255, 255, 128), (0, 255, 0, 0)]):
        image.putpixel((x, 0), colour)
    return image


def palette(**options):
    image = Image.new("P", (3, 1))
    image.putpalette([9, 9, 9, 10, 20, 30, 40, 50, 60])
    for x in range(3):
        image.putpixel((x, 0), x)
    return image


def sixteen_bits():
    return Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))


@pytest.mark.parametrize(
    ("image", "options", "rgb"),
    [
        (rgba(), {}, [[255, 0, 0], [128, 128, 128], [0, 0, 0]]),
        (palette(), {}, [[9, 9, 9], [10, 20, 30], [40, 50, 60]]),
        (palette(), {"transparency": 1}, [[9, 9, 9], [0, 0, 0], [40, 50, 60]]),
        (sixteen_bits(), {}, [[0] * 3, [0] * 3, [1] * 3, [255] * 3]),
        (Image.new("1", (1, 1), 1), {}, [[255] * 3]),
        (Image.new("L", (1, 1), 77), {}, [[77] * 3]),
        (Image.new("LA", (1, 1), (200, 51)), {}, [[40] * 3]),  # 200 * 51 / 255
    ],
)
def test_every_mode_becomes_rgb_or_grey(tmp_path, image, options, rgb):
    path = saved(tmp_path / "photo.png", image, **options)
    probe(path)
    assert np.asarray(decode(path, channels=3)).tolist() == [rgb]
    # ITU-R 601-2
    luma = np.array(rgb) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(np.asarray(decode(path, channels=1))[0], luma, atol=1)


def test_cmyk_is_shown_in_its_colours(tmp_path):
    path = saved(tmp_path / "photo.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    shown = np.asarray(decode(path, channels=3))
    np.testing.assert_allclose(shown, np.full((16, 16, 3), [255, 0, 0]), atol=4)
    assert np.asarray(decode(path, channels=1)).mean() == pytest.approx(0.299 * 255, abs=4)


def test_the_first_frame_is_shown(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    probe(tmp_path / "moving.gif")
    shown = np.asarray(decode(tmp_path / "moving.gif", channels=3))
    assert (shown == [255, 0, 0]).all()


def test_32_bits_are_refused(tmp_path):
    path = saved(tmp_path / "depth.tif", Image.new("F", (4, 4)))
    with pytest.raises(UnreadableImageError, match=r"8 or 16 bits per channel, got 32 \(mode F\)"):
        decode(path, channels=3)


@pytest.mark.parametrize("kind", ["jpg", "progressive.jpg", "png", "webp", "bmp", "gif"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_a_file_cut_off_is_found_without_its_pixels(tmp_path, kind, kept):
    options = {"progressive": True} if kind.startswith("progressive") else {}
    path = saved(tmp_path / f"photo.{kind}", **options)
    probe(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UnreadableImageError):
        probe(path)


def test_bytes_after_the_end_are_no_fault(tmp_path):
    for kind in ("jpg", "png", "gif"):
        path = saved(tmp_path / f"photo.{kind}")
        path.write_bytes(path.read_bytes() + b"\0" * 8)
        assert probe(path).stored_px == PHOTO.size


def test_a_flipped_bit_in_a_png_is_found(tmp_path):
    path = saved(tmp_path / "photo.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match="cut off or damaged"):
        probe(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"must be an image|cannot be read"):
        probe(tmp_path / "photo.jpg")


@pytest.mark.parametrize("side", [9_460, 10_000, 60_000])
def test_bombs_go_off_in_no_memory(tmp_path, side):
    assert side * side > MAX_PIXELS
    path = png(tmp_path / "bomb.png", side, side)
    with (
        bombs_are_errors(),
        pytest.raises(UnreadableImageError, match="at most 89,478,485 pixels"),
    ):
        probe(path)


def test_garbage_in_sound_chunks_shows_only_in_decoding(tmp_path):
    path = png(tmp_path / "photo.png", 8, 8, b"not deflated")
    assert probe(path).stored_px == (8, 8)
    with pytest.raises(UnreadableImageError):
        decode(path, channels=3)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(UnreadableImageError, match="cannot be read: No such file"):
        probe(tmp_path / "none.png")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    return {kind: saved(folder / f"photo.{kind}").read_bytes() for kind in KINDS}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255))))
def test_no_damage_raises_anything_else(tmp_path, originals, kind, changes):
    content = bytearray(originals[kind])
    for way, value in changes:
        # Half of the places in the header, where damage is worse.
        start = 2 * way * 64 if way < 0.5 else (2 * way - 1) * len(content)
        content[int(start)] = value
    path = tmp_path / f"photo.{kind}"
    path.write_bytes(content)
    with bombs_are_errors(), contextlib.suppress(UnreadableImageError):
        facts = probe(path)
        assert decode(path, channels=3).size == facts.upright_px
