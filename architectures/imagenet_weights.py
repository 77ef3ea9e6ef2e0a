"""Loads ImageNet weights by Keras: quietly, one process at a time, without a hang."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras

from harness.errors import DataError

ANSWER_S = 20.0
"""Seconds without a byte after which a server counts as away; Keras itself would wait for ever."""


@contextlib.contextmanager
def at_hand(name: str, cached_as: str | None = None) -> Iterator[None]:
    """Build an application inside with `weights="imagenet"`; what fails is said in one line.

    Args:
        name: the backbone, for the message.
        cached_as: name of the file in Keras's cache; by default the last part of its address.

    Raises:
        DataError: the weights can be neither found nor downloaded, or are damaged.
    """
    folder = cache_folder()
    try:
        with _alone(folder), _impatient(), _silent():
            yield
    # Keras raises a bare Exception for a failed download, and whatever h5py says of the file.
    except Exception as error:
        raise DataError(_words(name, folder, cached_as, str(error))) from error


def cache_folder() -> Path:
    """Return where Keras keeps downloaded weights; it may not exist yet."""
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))  # noqa: PTH111
    if not os.access(home, os.W_OK):  # Keras then neither writes nor reads there
        temporary = Path("/tmp")  # Keras's own choice
        home = (temporary if temporary.is_dir() else Path(tempfile.gettempdir())) / ".keras"
    return home / "models"


def _words(name: str, folder: Path, cached_as: str | None, reason: str) -> str:
    reason = reason.strip().partition("\n")[0].rstrip(".")
    address = re.search(r"https?://\S+/([^/\s:]+)", reason)
    if address:
        file = folder / (cached_as or address[1])
        way_out = f"Use --pretrained none, or put that file at {file}."
    else:
        way_out = (
            f"Use --pretrained none, or delete what there is of it in {folder} and try again."
        )
    return (
        f"{name} must find its ImageNet weights or be able to download them, but Keras says: "
        f"{reason}. {way_out}"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process of bench loads weights.

    Keras writes a download straight to its place, where a second worker would read half a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "bench.lock").open("a") as lock:  # closing it releases it
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWER_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Keras's progress bar off stdout, where a worker speaks to its sweep."""
    spoke = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        with warnings.catch_warnings():
            # Weights of convolutions fit images of every size; those of 224x224 are what we want.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            yield
    finally:
        if spoke:
            keras.config.enable_interactive_logging()
