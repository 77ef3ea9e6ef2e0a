"""From the name of a data set to something that can be read: look, fetch, or fall back aloud."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from harness import class_folders, digits, idx_files, mnist, npz_files
from harness.class_parts import Reader, own_source
from harness.class_sets import MNIST, SETS, ClassSet, Mirrors
from harness.datasets import check_dataset, own_path
from harness.download import FetchError, Patience, fetch
from harness.errors import StoreError
from harness.pools import Source

Say = Callable[[str], None]
"""Takes one line for the user; the command line renders it."""

HASTY = Patience(attempts=1, answer_s=4, total_s=10, backoff_s=0)
"""For `auto`: a machine without network must know within seconds."""

PATIENT = Patience(attempts=4, answer_s=20, total_s=600, backoff_s=1)
"""For a set by its name: somebody asked for it."""

_READERS: dict[str, Reader] = {
    "idx": idx_files.parts,
    "npz": npz_files.parts,
    "folder": class_folders.parts,
}


def resolve(
    name: str,
    data_dir: Path | None,
    *,
    say: Say,
    mirrors: Mirrors | None = None,
    patience: Patience | None = None,
    skip_bad: bool = False,
) -> Source:
    """Return the source that a name stands for; images are not read yet.

    Args:
        name: see `harness.datasets`.
        data_dir: folder that the user named, or None. If one of `SETS` is wanted it must be
            there: a named folder is never passed over in silence.
        say: gets the decision of "auto" and the start of a long download, one line each.
        mirrors: where to fetch the set from, instead of its own.
        patience: how long to try; by default `HASTY` for "auto" and else `PATIENT`.
        skip_bad: whether to leave out what is bad in a data set of the user's own.

    Raises:
        UsageError: unknown name.
        DataError: the named folder or file is not there or not what it should be, may not be
            read, or (not "auto") no mirror delivered.
        StoreError: not "auto": the cache folder cannot be written.
    """
    check_dataset(name)
    own = own_path(name)
    if own is not None:
        kind, path = own
        return own_source(kind, path, _READERS[kind], skip_bad=skip_bad)
    if name == "digits":
        return digits.source()
    if name == "auto":
        return _auto(data_dir, say, mirrors or MNIST.mirrors, patience or HASTY)
    which = SETS[name]
    return _set(which, data_dir, say, mirrors or which.mirrors, patience or PATIENT)


def fetched(which: ClassSet, folder: Path, *, say: Say, mirrors: Mirrors | None = None) -> Source:
    """Bring a set into a folder, unless it is there, and return it.

    Raises:
        FetchError: no mirror delivered.
        StoreError: the folder cannot be written.
    """
    mirrors = mirrors or which.mirrors
    say(f"fetching {which.title} from {mirrors[0][0].host} ({which.megabytes:.0f} MB)")
    try:
        fetch(mirrors, folder, PATIENT)
    except FetchError as error:
        names = ", ".join(file.name for file in which.mirrors[-1])
        raise FetchError(
            f"{which.title} must be on a mirror, but none gave it ({error}). Fetch {names} "
            f"elsewhere and put them into {folder}."
        ) from error
    return mnist.find_in_named(folder, which)


def _set(
    which: ClassSet, data_dir: Path | None, say: Say, mirrors: Mirrors, patience: Patience
) -> Source:
    source = _at_hand(data_dir, which)
    if source is not None:
        return source
    megabytes = sum(file.size for file in mirrors[0]) / 1e6
    say(
        f"{which.title} is not on this machine: fetching it from {mirrors[0][0].host} "
        f"({megabytes:.0f} MB)"
    )
    try:
        fetch(mirrors, cache_dir(which.name), patience)
    except FetchError as error:
        raise FetchError(
            f"{which.title} must be on this machine or on a mirror, but neither gave it "
            f"({error}). Name a folder that holds it with --data-dir, or use --dataset digits."
        ) from error
    return mnist.find_in_named(cache_dir(which.name), which)


def _auto(data_dir: Path | None, say: Say, mirrors: Mirrors, patience: Patience) -> Source:
    source = _at_hand(data_dir, MNIST)
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


def _at_hand(data_dir: Path | None, which: ClassSet) -> Source | None:
    """Return a set from the named folder, or else from the first cache that has it."""
    if data_dir is not None:
        return mnist.find_in_named(data_dir, which)
    return mnist.find(keras_dir(), which) or mnist.find(cache_dir(which.name), which)


def keras_dir() -> Path:
    """Return the folder where Keras keeps data sets, whether or not it exists."""
    home = os.environ.get("KERAS_HOME") or _home(".keras")
    return Path(home, "datasets")


def cache_dir(name: str = MNIST.name) -> Path:
    """Return the folder where the download of a set is kept, whether or not it exists."""
    return Path(os.environ.get("XDG_CACHE_HOME") or _home(".cache"), "locbench", name)


def _home(folder: str) -> Path:
    # Unlike Path.home this does not raise for a user without a home: nothing is found there.
    return Path(os.path.expanduser("~"), folder)  # noqa: PTH111
