"""The published sets of 70,000 small images: MNIST and two that have its files and its splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.download import RemoteFile
from harness.store import file_digest

Mirrors = Sequence[Sequence[RemoteFile]]

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSet:
    """One of the sets.

    Attributes:
        name: what `--dataset` takes.
        title: how its authors write it.
        class_names: of its ten classes; empty if they are just numbers.
        folders: names of folders that hold it and nothing else, in torchvision's and our way.
        mirrors: where it can be fetched; the last of them has the four IDX files.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    folders: tuple[str, ...]
    mirrors: Mirrors

    @property
    def megabytes(self) -> float:
        """Return how much there is to fetch from the first mirror."""
        return sum(file.size for file in self.mirrors[0]) / 1e6

    @property
    def labels(self) -> RemoteFile:
        """Return the file of the training labels: those of the test split stay closed."""
        return self.mirrors[-1][1]

    def has_name(self, folder: Path) -> bool:
        """Whether a folder is called as one that holds this set."""
        names = (Path(name).parts for name in self.folders)
        return any(folder.parts[-len(name) :] == name for name in names)


def _files(base: str, *sums: tuple[int, str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(url=f"{base}/{name}.gz", size=size, sha256=sha256)
        for name, (size, sha256) in zip(IDX_FILES, sums, strict=True)
    )


# Checksums as in keras/src/datasets/fashion_mnist.py and, with the sizes, in TensorFlow Datasets.
_FASHION = (
    (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)

MNIST = ClassSet(
    name="mnist",
    title="MNIST",
    class_names=(),
    folders=("mnist", "MNIST/raw"),
    mirrors=(
        # Address and checksum as in keras/src/datasets/mnist.py.
        (
            RemoteFile(
                url=f"{_KERAS}/mnist.npz",
                size=11_490_434,
                sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
            ),
        ),
        # Address as in torchvision/datasets/mnist.py, checksums as in TensorFlow Datasets.
        _files(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
)

FASHION_MNIST = ClassSet(
    name="fashion-mnist",
    title="Fashion-MNIST",
    # As in the README of zalandoresearch/fashion-mnist and in torchvision.
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
        "Bag", "Ankle boot",
    ),
    folders=("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
    mirrors=(
        # Addresses as in Keras and in torchvision/datasets/mnist.py. The second one offers no
        # HTTPS; the checksums guard the content.
        _files(_KERAS, *_FASHION),
        _files("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", *_FASHION),
    ),
)  # fmt: skip

KMNIST = ClassSet(
    name="kmnist",
    title="KMNIST",
    # As in torchvision; "o" is the first of the hiragana, not the digit 0.
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    folders=("kmnist", "KMNIST/raw"),
    mirrors=(
        # Address as in torchvision and TensorFlow Datasets; sizes and checksums as in
        # tensorflow_datasets/datasets/kmnist/checksums.tsv, which guard a line without HTTPS.
        _files(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
            (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
    ),
)

SETS = {each.name: each for each in (MNIST, FASHION_MNIST, KMNIST)}


def set_in(folder: Path) -> ClassSet | None:
    """Return the set that IDX files in a folder are, by its name or the checksum of zipped labels.

    The files of all sets have the same names, so that these tell nothing. None if nothing does.
    """
    for each in SETS.values():
        if each.has_name(folder):
            return each
    path = folder / MNIST.labels.name
    try:
        digest = file_digest(path) if path.is_file() else ""
    except OSError:
        return None
    return next((each for each in SETS.values() if each.labels.sha256 == digest), None)
