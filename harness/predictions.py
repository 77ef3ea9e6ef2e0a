"""Per-example predictions of one split, and the few scenes kept to be looked at."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import StoreError
from harness.record import Split
from harness.store import write_atomically

EXAMPLES_FILE = "examples.npz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What a model said of every example of a split, in ascending order of id.

    Attributes:
        ids: int64 `[n]`, index of the example in its split.
        labels: int64 `[n]`, true class.
        boxes: float32 `[n, 4]`, true boxes, see `harness.boxes`.
        probabilities: float32 `[n, classes]`, softmax output.
        predicted_boxes: float32 `[n, 4]`, raw box output, not clipped.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predicted_boxes: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed `.npz`, byte for byte the same for equal arrays."""
        write_npz(path, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged or holds something else.
        """
        return cls(**_read_npz(path, cls.__slots__))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """A few scenes of a split with what was predicted for them, for pictures.

    Attributes:
        ids: int64 `[k]`.
        images: uint8 `[k, height, width]`.
        labels, predicted_labels: int64 `[k]`.
        boxes, predicted_boxes: float32 `[k, 4]`.
    """

    ids: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    predicted_labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    predicted_boxes: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed `.npz`, byte for byte the same for equal arrays."""
        write_npz(path, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> Examples:
        """Read what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged or holds something else.
        """
        return cls(**_read_npz(path, cls.__slots__))


def predictions_file(split: Split) -> str:
    """Return the name of the predictions file of a split, inside a run's folder."""
    return f"predictions-{split}.npz"


def write_npz(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write arrays atomically as a `.npz` without time stamps, so that equal means identical."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    write_atomically(path, buffer.getvalue())


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} must hold the arrays {', '.join(names)}: {error}.") from error
