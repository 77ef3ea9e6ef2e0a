"""The three sets have the same names of files: none may be taken for another."""

import gzip
import shutil

import pytest
from test_download import QUICK, forbidden, good, serving
from test_mnist import arrays, idx_bytes, idx_folder  # noqa: F401 - fixtures

from harness import class_sets, cmd_data, mnist
from harness.class_sets import FASHION_MNIST, IDX_FILES, KMNIST, MNIST, SETS, set_in
from harness.download import FetchError
from harness.errors import DataError, UsageError
from harness.sources import resolve


def touched(folder):
    folder.mkdir(parents=True)
    for name in IDX_FILES:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("which", "name"), [(which, name) for which in SETS.values() for name in which.folders]
)
def test_a_set_is_found_in_a_folder_of_its_name(which, name, tmp_path):
    touched(tmp_path / name)
    assert mnist.find(tmp_path, which).place == str(tmp_path / name)
    assert mnist.find(tmp_path / name, which).name == which.name
    for other in SETS.values():
        if other is not which:
            assert mnist.find(tmp_path, other) is None
            assert mnist.find(tmp_path / name, other) is None


def test_files_without_any_sign_are_mnist_and_nothing_else(tmp_path):
    folder = touched(tmp_path / "data")
    assert mnist.find(folder).name == "mnist"
    with pytest.raises(DataError, match=r"hold KMNIST, but nothing tells it from the other sets"):
        mnist.find_in_named(folder, KMNIST)


def test_zipped_labels_tell_what_set_it_is(tmp_path, monkeypatch):
    folder = touched(tmp_path / "data")
    labels = folder / f"{IDX_FILES[1]}.gz"
    labels.write_bytes(gzip.compress(b"labels"))
    assert set_in(folder) is None
    digest = class_sets.file_digest(labels)
    remote = class_sets.RemoteFile(url=f"http://x/{labels.name}", size=1, sha256=digest)
    mirrors = ((KMNIST.mirrors[0][0], remote, *KMNIST.mirrors[0][2:]),)
    fake = class_sets.ClassSet(
        name="kmnist", title="K", class_names=(), folders=(), mirrors=mirrors
    )
    monkeypatch.setitem(SETS, "kmnist", fake)
    assert set_in(folder) is fake
    assert mnist.find(folder) is None


def test_classes_are_called_by_their_names(idx_folder, tmp_path):  # noqa: F811
    shutil.copytree(idx_folder, tmp_path / "fashion-mnist")
    source = resolve("fashion-mnist", tmp_path, say=pytest.fail)
    train = source.read_train()
    assert (source.name, len(train.labels), train.classes) == ("fashion-mnist", 60_000, 10)
    assert train.class_names[9] == "Ankle boot"
    assert source.n_validation == 5_000
    assert resolve("mnist", idx_folder, say=pytest.fail).read_test().class_names == ()


@pytest.mark.parametrize("which", SETS.values(), ids=str)
def test_names_and_files_of_each_set(which):
    assert len(set(which.class_names)) in (0, 10)
    assert which.labels.name == "train-labels-idx1-ubyte.gz"
    assert which.name in which.folders


def test_fetching_goes_below_the_folder_and_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("no_proxy", "*")
    contents = {f"{name}.gz": gzip.compress(name.encode()) for name in IDX_FILES}

    def serve(handler):
        content = contents[handler.path.removeprefix("/")]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    with serving(serve) as server:
        mirrors = [[server.file(name, content) for name, content in contents.items()]]
        for _ in range(2):
            cmd_data.fetch("fashion-mnist", to=tmp_path, mirrors=mirrors)
        assert len(server.requests) == 4
    folder = tmp_path / "fashion-mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(contents)
    said = capsys.readouterr()
    assert f"--data-dir {tmp_path}" in (said.out + said.err).replace("\n", "")
    assert mnist.find(tmp_path, FASHION_MNIST).place == str(folder)
    assert mnist.find(tmp_path, MNIST) is None


def test_what_no_mirror_gives_says_which_files_to_bring(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving(forbidden) as server:
        mirrors = [[server.file(f"{name}.gz") for name in IDX_FILES]]
        with pytest.raises(FetchError) as caught:
            cmd_data.fetch("kmnist", to=tmp_path, mirrors=mirrors)
    assert "HTTP 403" in str(caught.value)
    assert f"t10k-labels-idx1-ubyte.gz elsewhere and put them into {tmp_path}/kmnist." in str(
        caught.value
    )


def test_a_set_that_was_asked_for_is_fetched_into_a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    said = []
    with serving(good) as server:
        mirrors = [[server.file(f"{name}.gz") for name in IDX_FILES]]
        for _ in range(2):
            source = resolve("kmnist", None, say=said.append, mirrors=mirrors, patience=QUICK)
        assert len(server.requests) == 4
    assert (source.name, source.place) == ("kmnist", str(tmp_path / "locbench" / "kmnist"))
    assert said == [
        f"KMNIST is not on this machine: fetching it from 127.0.0.1:{server.server_port} (1 MB)"
    ]


def test_an_unknown_name_is_refused(bench):
    code, _, said = bench("data fetch kminst")
    assert code == UsageError.exit_code
    assert "Did you mean 'kmnist'?" in said
