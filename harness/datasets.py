"""The names of the data sets, importable at no cost: listed, checked, nothing read.

`harness.sources` turns a name into something that can be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UsageError, unknown_name

DATASETS: dict[str, str] = {
    "auto": "mnist if it is at hand or can be fetched within seconds, else digits",
    "mnist": "MNIST, 70,000 handwritten digits of 28x28 pixels (LeCun et al. 1998)",
    "fashion-mnist": "Fashion-MNIST, 70,000 pieces of clothing, 28x28 (Xiao et al. 2017)",
    "kmnist": "KMNIST, 70,000 cursive Japanese characters, 28x28 (Clanuwat et al. 2018)",
    "digits": "scikit-learn's bundled 1,797 digits of 8x8 pixels, scaled to 28x28; no network",
    "folder:PATH": "images of your own in a folder for each class, also below train and test",
    "npz:PATH": "a NumPy file with x_train, y_train and maybe x_test, y_test; or x and y",
    "idx:PATH": "IDX files of images and labels in a folder, or with this beginning of a name",
    "voc:PATH": "photos with boxes as Pascal VOC has them: Annotations, JPEGImages, ImageSets",
    "coco:FILE.json": "photos with boxes in COCO's format, the photos beside the file",
    "csv:FILE": "photos with boxes in a table: path, label, x_min, y_min, x_max, y_max, split",
}

PHOTOS = ("voc", "coco", "csv")
"""Kinds of data sets of real photos with boxes."""

OWN = ("folder", "npz", "idx", *PHOTOS)
"""Kinds of data sets that a user brings; their names are a kind, a colon and a path."""

FETCHED = ("mnist", "fashion-mnist", "kmnist")
"""Data sets that can be downloaded."""

EPOCHS: dict[str, int] = {**dict.fromkeys(FETCHED, 10), "digits": 60}
"""Passes over the training examples if the user names no number: a digits epoch is 46 times
shorter. More would help on digits, but 50 trials and 3 finals shall end within minutes."""

TRAIN_EXAMPLES: dict[str, int] = {**dict.fromkeys(FETCHED, 55_000), "digits": 1_197}
"""Training examples if none are left out: what validation and test leave of the source."""

TRIAL_EPOCHS: dict[str, int] = {**dict.fromkeys(FETCHED, 8), "digits": 18}
"""Passes in a trial of a sweep, which only has to rank configurations."""

TRIAL_EXAMPLES: dict[str, int | None] = {**dict.fromkeys(FETCHED, 6000), "digits": None}
"""Training examples in a trial of a sweep; None for all."""


def own_path(name: str) -> tuple[str, Path] | None:
    """Return kind and absolute path of a data set of the user's own; None for any other."""
    kind, colon, path = name.partition(":")
    if not colon or kind not in OWN:
        return None
    return kind, Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111


def has_photos(name: str) -> bool:
    """Return whether a data set holds real photos with boxes, instead of small images."""
    return name.partition(":")[0] in PHOTOS


def check_dataset(name: str) -> None:
    """Raise the error for an unknown name, before anything slow is imported.

    Raises:
        UsageError: `name` is no name of a data set; the text offers the nearest.
    """
    kind, colon, path = name.partition(":")
    if kind in OWN:
        if not path:
            raise UsageError(
                f"A data set of your own must be named {kind}:PATH, got {name!r}. Add its path."
            )
    elif colon or name not in DATASETS:
        raise unknown_name("data set", name, DATASETS)


def epochs_for(source: str, examples: int) -> int:
    """Return the passes for a source with so many training examples, if the user names none."""
    return EPOCHS.get(source) or _between(10, 550_000 // max(1, examples), 60)


def trial_examples_for(source: str, examples: int) -> int | None:
    """Return the training examples of a trial on a source that has so many; None for all."""
    return TRIAL_EXAMPLES.get(source, 6000 if examples > 6000 else None)


def trial_epochs_for(source: str, examples: int) -> int:
    """Return the passes of a trial on a source with so many training examples."""
    return TRIAL_EPOCHS.get(source) or _between(8, 48_000 // max(1, min(examples, 6000)), 18)


def defaults_text(table: Mapping[str, int | None], own: str) -> str:
    """Return a table of defaults in words, such as "10 on mnist and kmnist, 60 on digits".

    Args:
        table: data set -> default; None for all.
        own: of data sets that a user brings.
    """
    names: dict[int | None, list[str]] = {}
    for name, value in table.items():
        names.setdefault(value, []).append(name)
    parts = [f"{'all' if v is None else v} on {'/'.join(of)}" for v, of in names.items()]
    return ", ".join([*parts, f"{own} on your own"])


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))
