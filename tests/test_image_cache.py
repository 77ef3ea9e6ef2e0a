import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from tiny_photos import photos

from harness.errors import DataError, StoreError
from harness.image_cache import cache_key, images_cache_dir, keep
from harness.image_rows import DecodedPixels, ImageRows

DRAWN = photos(9, most_px=64)
MODES = ("memory", "disk", "none")


@pytest.fixture
def files(tmp_path):
    paths = []
    for photo in DRAWN:
        paths.append(tmp_path / f"{photo.name}.png")
        photo.image.save(paths[-1])
    return paths


def hashes(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def decoded(paths, channels=3, canvas_px=32):
    return DecodedPixels(paths, canvas_px=canvas_px, channels=channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_modes_give_the_same_bytes_for_every_index(files, tmp_path, channels):
    rows = np.array([7, 0, 3, 3, 8, 1])
    views = []
    for mode in MODES:
        kept = keep(decoded(files, channels), hashes(files), mode, tmp_path / "cache")
        assert kept.faults == {}
        views.append(ImageRows(kept.pixels, rows, (32, 32) if channels == 1 else (32, 32, 3)))
    for view in views:
        assert view.shape == ((6, 32, 32) if channels == 1 else (6, 32, 32, 3))
        assert len(view) == 6
        assert view.dtype == np.uint8
        assert view.nbytes == np.prod(view.shape)
    for index in (2, -1, slice(None), slice(1, 4), slice(0, 0), np.array([5, 0, 2]), np.arange(6)):
        memory, disk, none = (view[index] for view in views)
        assert memory.tobytes() == disk.tobytes() == none.tobytes()
        assert memory.shape == disk.shape == none.shape
        assert {type(each) for each in (memory, disk, none)} == {np.ndarray}
    assert (views[0][2] == views[2][:][3]).all()
    with pytest.raises(IndexError):
        views[0][6]


def test_a_file_that_cannot_be_decoded_is_told_by_every_mode(files, tmp_path):
    files[4].write_bytes(b"no image")
    for mode in (*MODES, "disk"):  # the second time from the marker
        kept = keep(decoded(files), ["?"] * 9, mode, tmp_path / "cache")
        assert list(kept.faults) == [4]
        assert "must be an image" in kept.faults[4]


def test_disk_is_read_and_nothing_decoded_the_second_time(files, tmp_path):
    sums = hashes(files)
    first = keep(decoded(files), sums, "disk", tmp_path / "cache").pixels.take(np.arange(9))
    for path in files:
        path.unlink()
    again = keep(decoded(files), sums, "disk", tmp_path / "cache").pixels.take(np.arange(9))
    assert (first == again).all()
    with pytest.raises(DataError, match="must stay readable while it is used, but now: the image"):
        decoded(files).take(np.arange(9))


def test_the_key_covers_bytes_size_and_channels(files):
    keys = [
        cache_key(decoded(files), ["a"] * 9),
        cache_key(decoded(files), ["b"] * 9),
        cache_key(decoded(files, 1), ["a"] * 9),
        cache_key(decoded(files, canvas_px=33), ["a"] * 9),
    ]
    assert len(set(keys)) == 4


def damage_marker(folder, key):
    (folder / f"{key}.json").write_text("{")


def shorten(folder, key):
    os.truncate(folder / f"{key}.pixels", 100)


def claim_other_shape(folder, key):
    marker = json.loads((folder / f"{key}.json").read_text())
    (folder / f"{key}.json").write_text(json.dumps({**marker, "shape": [1, 2, 3]}))


def lose_pixels(folder, key):
    (folder / f"{key}.pixels").unlink()


@pytest.mark.parametrize("spoil", [damage_marker, shorten, claim_other_shape, lose_pixels])
def test_an_incomplete_cache_is_filled_again(files, tmp_path, spoil):
    folder, sums = tmp_path / "cache", hashes(files)
    good = keep(decoded(files), sums, "disk", folder).pixels.take(np.arange(9))
    spoil(folder, cache_key(decoded(files), sums))
    again = keep(decoded(files), sums, "disk", folder).pixels.take(np.arange(9))
    assert (good == again).all()


def test_a_folder_that_cannot_be_written_is_named(files, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        keep(decoded(files), hashes(files), "disk", tmp_path / "cache")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert images_cache_dir() == tmp_path / "locbench" / "images"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert images_cache_dir() == tmp_path / ".cache" / "locbench" / "images"


FILL = """
import hashlib, sys
from pathlib import Path
import numpy as np
from harness.image_cache import keep
from harness.image_rows import DecodedPixels
folder, *names = sys.argv[1:]
decoded = DecodedPixels([Path(name) for name in names], canvas_px=32, channels=3)
pixels = keep(decoded, names, "disk", Path(folder)).pixels.take(np.arange(len(names)))
print(hashlib.sha256(pixels.tobytes()).hexdigest())
"""


def filling(folder, names):
    command = [sys.executable, "-c", FILL, str(folder), *map(str, names)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_fill_one_cache(files, tmp_path):
    folder, names = tmp_path / "cache", files * 20
    both = [filling(folder, names) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    pixels = keep(decoded(names), list(map(str, names)), "none").pixels.take(np.arange(len(names)))
    assert said == [f"{hashlib.sha256(pixels.tobytes()).hexdigest()}\n"] * 2
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".pixels", ".json"}


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_is_read(files, tmp_path):
    # The first chunk of 64 is written; then the child waits for ever for a pipe without a writer.
    folder, stuck = tmp_path / "cache", tmp_path / "stuck.png"
    names = [*files * 8, stuck]
    os.mkfifo(stuck)
    child = filling(folder, names)
    deadline = time.monotonic() + 60
    while not [path for path in folder.glob("*.partial") if path.stat().st_size]:
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".partial"}
    stuck.unlink()
    DRAWN[0].image.save(stuck)
    kept = keep(decoded(names), list(map(str, names)), "disk", folder)
    expected = keep(decoded(names), list(map(str, names)), "memory")
    rows = np.arange(len(names))
    assert (kept.pixels.take(rows) == expected.pixels.take(rows)).all()
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".pixels", ".json"}


@pytest.mark.parametrize("mode", ["disk", "none"])
def test_memory_does_not_grow_with_the_set(files, tmp_path, mode):
    # 600 photos of 48 KiB are 28 MiB; at most two chunks of 64 are held at once, 6 MiB.
    many = [files[0]] * 600
    tracemalloc.start()
    try:
        kept = keep(decoded(many, canvas_px=128), ["one"] * 600, mode, tmp_path / "cache")
        view = ImageRows(kept.pixels, np.arange(600), (128, 128, 3))
        for start in range(0, 600, 64):
            assert view[start : start + 64].any()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < view.nbytes / 3
