import hashlib
import time
from pathlib import Path

import pytest
from test_download import QUICK, STUBBORN, forbidden, good, reply, serving, silent, unavailable

from harness.class_sets import MNIST, SETS
from harness.download import FetchError, RemoteFile
from harness.errors import DataError, UsageError
from harness.mnist import IDX_FILES
from harness.sources import HASTY, cache_dir, keras_dir, resolve

NPZ = b"resolve looks at names only"


class Lines(list):
    """What was said."""

    def __call__(self, line: str) -> None:
        assert "\n" not in line
        self.append(line)


@pytest.fixture
def said():
    return Lines()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Give each test an empty home and no proxy."""
    for name in ("KERAS_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "home"


def npz(handler):
    reply(handler, NPZ, length=len(NPZ))


def mirrors_of(server) -> list[list[RemoteFile]]:
    return [[server.file("mnist.npz", NPZ)]]


def with_npz(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mnist.npz").touch()
    return folder


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_the_named_folder_comes_first(name, tmp_path, home, said):
    with_npz(home / ".keras" / "datasets")
    folder = with_npz(tmp_path / "named")
    source = resolve(name, folder, say=said, mirrors=[], patience=QUICK)
    assert source.place == str(folder / "mnist.npz")
    assert said == ([f"Data: MNIST from {source.place}."] if name == "auto" else [])


@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("there", [True, False])
def test_a_named_folder_without_mnist_is_never_passed_over(name, there, tmp_path, home, said):
    with_npz(home / ".keras" / "datasets")
    folder = tmp_path / "named"
    if there:
        folder.mkdir()
    with pytest.raises(DataError, match=f"must hold MNIST, but .*{folder}"):
        resolve(name, folder, say=said)
    assert said == []


def test_the_digits_need_no_folder(tmp_path, said):
    assert resolve("digits", tmp_path / "absent", say=said).name == "digits"
    assert said == []


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_keras_cache_is_found(name, home, said, monkeypatch):
    with_npz(home / ".keras" / "datasets")
    assert resolve(name, None, say=said).place == str(home / ".keras" / "datasets" / "mnist.npz")
    elsewhere = with_npz(home / "elsewhere" / "datasets")
    monkeypatch.setenv("KERAS_HOME", str(elsewhere.parent))
    assert resolve(name, None, say=said).place == str(elsewhere / "mnist.npz")


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_download_is_kept_and_found_next_time(name, home, said):
    with serving(npz) as server:
        first = resolve(name, None, say=said, mirrors=mirrors_of(server), patience=QUICK)
        again = resolve(name, None, say=said, mirrors=mirrors_of(server), patience=QUICK)
        assert len(server.requests) == 1
    kept = home / ".cache" / "locbench" / "mnist" / "mnist.npz"
    assert kept.read_bytes() == NPZ
    assert first.place == again.place == str(kept)


def test_four_idx_files_from_a_mirror_are_one_source(said):
    with serving(good) as server:
        files = [server.file(f"{name}.gz") for name in IDX_FILES]
        source = resolve("mnist", None, say=said, mirrors=[files], patience=QUICK)
    assert source.place == str(cache_dir())


def test_a_download_that_was_asked_for_is_announced_and_its_failure_is_an_error(said):
    with serving(unavailable) as server:
        with pytest.raises(FetchError, match=r"HTTP 503.* --data-dir, or use --dataset digits\.$"):
            resolve("mnist", None, say=said, mirrors=mirrors_of(server), patience=STUBBORN)
        assert len(server.requests) == 3
        assert said == [
            f"MNIST is not on this machine: fetching it from 127.0.0.1:{server.server_port} (0 MB)"
        ]


@pytest.mark.parametrize("behaviour", [forbidden, silent])
def test_auto_falls_back_to_the_digits_aloud(behaviour, said):
    with serving(behaviour) as server:
        source = resolve("auto", None, say=said, mirrors=mirrors_of(server), patience=QUICK)
    assert source.name == "digits"
    (line,) = said
    assert "NOT MNIST" in line
    assert f"127.0.0.1:{server.server_port}: " in line
    assert "--data-dir FOLDER" in line


def test_auto_falls_back_if_the_download_cannot_be_kept(home, said):
    home.mkdir()
    (home / ".cache").touch()
    with serving(npz) as server:
        source = resolve("auto", None, say=said, mirrors=mirrors_of(server), patience=QUICK)
    assert source.name == "digits"
    assert "cannot be written" in said[0]


@pytest.mark.slow
def test_auto_decides_within_seconds_though_every_mirror_is_silent(said):
    with serving(silent) as one, serving(silent) as two:
        started = time.monotonic()
        both = [*mirrors_of(one), *mirrors_of(two)]
        assert resolve("auto", None, say=said, mirrors=both, patience=None).name == "digits"
        # Twice the 4 s that HASTY grants, and room for a busy machine.
        assert time.monotonic() - started < 2 * HASTY.answer_s + 4


def test_unknown_name(said):
    with pytest.raises(UsageError, match=r"Unknown data set 'digit'\. Did you mean 'digits'\?"):
        resolve("digit", None, say=said)


def test_every_mirror_holds_all_of_a_set():
    for which in SETS.values():
        *others, last = [[file.name for file in files] for files in which.mirrors]
        assert last == [f"{name}.gz" for name in IDX_FILES]
        assert all(names in (last, ["mnist.npz"]) for names in others)
        for file in (file for files in which.mirrors for file in files):
            assert len(file.sha256) == hashlib.sha256().digest_size * 2
    assert all(f.url.startswith("https://") for files in MNIST.mirrors for f in files)


def test_caches_follow_the_environment(monkeypatch, home):
    assert keras_dir() == home / ".keras" / "datasets"
    assert cache_dir() == home / ".cache" / "locbench" / "mnist"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("KERAS_HOME", "/k")
    assert (keras_dir(), cache_dir()) == (Path("/k/datasets"), Path("/x/locbench/mnist"))
