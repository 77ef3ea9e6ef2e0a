"""Per-example predictions of one split, and the few scenes kept to be looked at."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import StoreError
from harness.record import Split
from harness.store import write_atomically

EXAMPLES_FILE = "examples.npz"

_FACTOR = "factor_"

_T = TypeVar("_T", "Predictions", "Examples")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What a model said of every example of a split, in ascending order of id.

    Attributes:
        ids: int64 `[n]`, index of the example in its split.
        labels: int64 `[n]`, true class.
        boxes: float32 `[n, 4]`, true boxes, see `harness.boxes`.
        probabilities: float32 `[n, classes]`, softmax output.
        predicted_boxes: float32 `[n, 4]`, raw box output, not clipped.
        factors: name -> float32 `[n]`, what made each scene hard, see `harness.scenes.FACTORS`;
            empty in older files. In the file they are arrays `factor_NAME`.

    Raises:
        ValueError: a shape or data type is another, or a label is not a class.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    predicted_boxes: NDArray[np.float32]
    factors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, classes = len(self.ids), self.probabilities.shape[-1]
        _check("ids", self.ids, np.int64, (n,))
        _check("labels", self.labels, np.int64, (n,))
        _check("boxes", self.boxes, np.float32, (n, 4))
        _check("probabilities", self.probabilities, np.float32, (n, classes))
        _check("predicted_boxes", self.predicted_boxes, np.float32, (n, 4))
        for name, values in self.factors.items():
            _check(f"factor {name}", values, np.float32, (n,))
        if not ((self.labels >= 0) & (self.labels < classes)).all():
            raise ValueError(f"labels must lie in [0, {classes}), got {self.labels}")

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed `.npz`, byte for byte the same for equal arrays."""
        arrays = {name: getattr(self, name) for name in self.__slots__ if name != "factors"}
        factors = {f"{_FACTOR}{name}": values for name, values in self.factors.items()}
        write_npz(path, arrays | factors)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged or holds something else.
        """
        return _load(cls, path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """A few scenes of a split with what was predicted for them, for pictures.

    Attributes:
        ids: int64 `[k]`.
        images: uint8 `[k, height, width]`, or `[k, height, width, 3]` in colour.
        labels, predicted_labels: int64 `[k]`.
        boxes, predicted_boxes: float32 `[k, 4]`.

    Raises:
        ValueError: a shape or data type is another.
    """

    ids: NDArray[np.int64]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    predicted_labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    predicted_boxes: NDArray[np.float32]

    def __post_init__(self) -> None:
        k = len(self.ids)
        _check("ids", self.ids, np.int64, (k,))
        colour = (3,) if self.images.ndim == 4 else ()
        _check("images", self.images, np.uint8, (k, *self.images.shape[1:3], *colour))
        _check("labels", self.labels, np.int64, (k,))
        _check("predicted_labels", self.predicted_labels, np.int64, (k,))
        _check("boxes", self.boxes, np.float32, (k, 4))
        _check("predicted_boxes", self.predicted_boxes, np.float32, (k, 4))

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed `.npz`, byte for byte the same for equal arrays."""
        write_npz(path, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> Examples:
        """Read what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged or holds something else.
        """
        return _load(cls, path)


def predictions_file(split: Split) -> str:
    """Return the name of the predictions file of a split, inside a run's folder."""
    return f"predictions-{split}.npz"


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> None:
    """Write arrays atomically as a `.npz` without time stamps, so that equal means identical."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            archive.writestr(info, member.getvalue())
    write_atomically(path, buffer.getvalue())


def _load(kind: type[_T], path: Path) -> _T:
    names = [each.name for each in dataclasses.fields(kind) if each.name != "factors"]
    try:
        # NumPy leaves a damaged file open if it is given the path.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in names}
            if kind is Predictions:
                # Whatever else is there must be one: a damaged name must not lose it.
                more = [name for name in archive.files if name not in names]
                arrays["factors"] = {_factor(name): archive[name] for name in more}
            return kind(**arrays)
    # Damaged bytes raise whatever zipfile, zlib and NumPy's header parser come across.
    except Exception as error:
        raise StoreError(
            f"{path} must hold the arrays {', '.join(names)}, but cannot be read: {error}."
        ) from error


def _factor(name: str) -> str:
    if not name.startswith(_FACTOR):
        raise ValueError(f"it holds an array {name!r}, which is none of them")
    return name.removeprefix(_FACTOR)


def _check(
    name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {dtype.__name__} {shape}, got {array.dtype} {array.shape}"
        )
