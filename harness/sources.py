"""From the name of a data set to something that can be read: look, fetch, or fall back aloud."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import digits, mnist
from harness.datasets import check_dataset
from harness.download import FetchError, Patience, RemoteFile, fetch
from harness.errors import StoreError
from harness.pools import Source

Say = Callable[[str], None]
"""Takes one line for the user; the command line renders it."""

Mirrors = Sequence[Sequence[RemoteFile]]

HASTY = Patience(attempts=1, answer_s=4, total_s=10, backoff_s=0)
"""For `auto`: a machine without network must know within seconds."""

PATIENT = Patience(attempts=4, answer_s=20, total_s=600, backoff_s=1)
"""For `mnist`: somebody asked for it."""

_OSSCI = "https://ossci-datasets.s3.amazonaws.com/mnist"

MIRRORS: Mirrors = (
    # Address and checksum as in keras/src/datasets/mnist.py.
    (
        RemoteFile(
            url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
            size=11_490_434,
            sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ),
    ),
    # Address as in torchvision/datasets/mnist.py, checksums as in TensorFlow Datasets.
    (
        RemoteFile(
            url=f"{_OSSCI}/train-images-idx3-ubyte.gz",
            size=9_912_422,
            sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        RemoteFile(
            url=f"{_OSSCI}/train-labels-idx1-ubyte.gz",
            size=28_881,
            sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        RemoteFile(
            url=f"{_OSSCI}/t10k-images-idx3-ubyte.gz",
            size=1_648_877,
            sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        RemoteFile(
            url=f"{_OSSCI}/t10k-labels-idx1-ubyte.gz",
            size=4_542,
            sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)


def resolve(
    name: str,
    data_dir: Path | None,
    *,
    say: Say,
    mirrors: Mirrors = MIRRORS,
    patience: Patience | None = None,
) -> Source:
    """Return the source that a name stands for; images are not read yet.

    Args:
        name: a key of `harness.datasets.DATASETS`.
        data_dir: folder that the user named, or None. If MNIST is wanted it must be there:
            a named folder is never passed over in silence.
        say: gets the decision of "auto" and the start of a long download, one line each.
        mirrors: where to fetch MNIST from.
        patience: how long to try; by default `HASTY` for "auto" and `PATIENT` for "mnist".

    Raises:
        UsageError: unknown name.
        DataError: the named folder has no MNIST, files may not be read, or (only "mnist") no
            mirror delivered.
        StoreError: only "mnist": the cache folder cannot be written.
    """
    check_dataset(name)
    match name:
        case "digits":
            return digits.source()
        case "mnist":
            return _mnist(data_dir, say, mirrors, patience or PATIENT)
        case _:
            return _auto(data_dir, say, mirrors, patience or HASTY)


def _mnist(data_dir: Path | None, say: Say, mirrors: Mirrors, patience: Patience) -> Source:
    source = _at_hand(data_dir)
    if source is not None:
        return source
    megabytes = sum(file.size for file in mirrors[0]) / 1e6
    say(
        f"MNIST is not on this machine: fetching it from {mirrors[0][0].host} ({megabytes:.0f} MB)"
    )
    try:
        fetch(mirrors, cache_dir(), patience)
    except FetchError as error:
        raise FetchError(
            f"MNIST must be on this machine or on a mirror, but neither gave it ({error}). "
            "Name a folder that holds it with --data-dir, or use --dataset digits."
        ) from error
    return mnist.find_in_named(cache_dir())


def _auto(data_dir: Path | None, say: Say, mirrors: Mirrors, patience: Patience) -> Source:
    source = _at_hand(data_dir)
    if source is None:
        try:
            fetch(mirrors, cache_dir(), patience)
        except (FetchError, StoreError) as error:
            say(
                "Data: the 1,797 small digits of scikit-learn, NOT MNIST, which is not on this "
                f"machine and could not be fetched within seconds ({error}). "
                "For MNIST: --data-dir FOLDER, or --dataset mnist to wait for the download."
            )
            return digits.source()
        source = mnist.find_in_named(cache_dir())
    say(f"Data: MNIST from {source.place}.")
    return source


def _at_hand(data_dir: Path | None) -> Source | None:
    """Return MNIST from the named folder, or else from the first cache that has it."""
    if data_dir is not None:
        return mnist.find_in_named(data_dir)
    return mnist.find(keras_dir()) or mnist.find(cache_dir())


def keras_dir() -> Path:
    """Return the folder where Keras keeps data sets, whether or not it exists."""
    home = os.environ.get("KERAS_HOME") or _home(".keras")
    return Path(home, "datasets")


def cache_dir() -> Path:
    """Return the folder where downloads are kept, whether or not it exists."""
    return Path(os.environ.get("XDG_CACHE_HOME") or _home(".cache"), "locbench", "mnist")


def _home(folder: str) -> Path:
    # Unlike Path.home this does not raise for a user without a home: nothing is found there.
    return Path(os.path.expanduser("~"), folder)  # noqa: PTH111
