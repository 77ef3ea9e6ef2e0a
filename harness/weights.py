"""The weights of a trained network, kept with its run as plain arrays: no code, no Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import StoreError
from harness.predictions import write_npz
from harness.record import Role

WEIGHTS_FILE = "weights.npz"

KEPT_ROLES: tuple[Role, ...] = ("run", "final")
"""Whose weights are kept. Trials and re-runs are many, trained briefly, and nobody uses them."""


def save_weights(path: Path, names: Sequence[str], weights: Sequence[NDArray[Any]]) -> None:
    """Write weights, byte for byte the same for equal ones.

    Args:
        path: of the file.
        names: of the variables, for whoever looks into the file; they may repeat.
        weights: the variables in Keras's order; their type is kept.
    """
    arrays = {
        f"{i:04d} {name.replace('/', '.')}": array
        for i, (name, array) in enumerate(zip(names, weights, strict=True))
    }
    # Trained weights are as good as random bits: compression takes long and saves a tenth.
    write_npz(path, arrays, compressed=False)


def load_weights(path: Path) -> list[NDArray[Any]]:
    """Read what `save_weights` wrote, in the same order.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return [archive[name] for name in sorted(archive.files)]
    # Damaged bytes raise whatever zipfile and NumPy's header parser come across.
    except Exception as error:
        raise StoreError(
            f"{path} must hold the weights of a run, but cannot be read: {error}."
        ) from error
