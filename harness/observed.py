"""What one process saw for a certificate, and the file in which it hands that over."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agreement import Noise, TrainPath
from harness.errors import StoreError
from harness.record import DataIdentity, Machine
from harness.store import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """What one process of a strategy measured.

    Attributes:
        path: the first steps.
        noise: of control runs; None if there were none.
        evaluations: number of examples -> outputs, float64 `[any, classes + 4]`.
        copies_apart: largest difference between the replicas' copies of any variable after the
            steps, in this process; NaN if one is no number.
        weights_digest: SHA-256 of the first replica's variables then.
        images, train_s: of each timed graph call, over all replicas.
        silenced: layers whose rates were set to 0.
        data: what was trained on.
        machine: with what was opened.
    """

    path: TrainPath
    noise: Noise | None
    evaluations: Mapping[int, NDArray[np.float64]]
    copies_apart: float
    weights_digest: str
    images: tuple[int, ...]
    train_s: tuple[float, ...]
    silenced: tuple[str, ...]
    data: DataIdentity
    machine: Machine

    def save(self, path: Path) -> None:
        """Write it as one `.npz`, whole or not at all."""
        arrays: dict[str, Any] = {
            name: getattr(self.path, name) for name in TrainPath.__dataclass_fields__
        }
        arrays |= {f"evaluation-{n}": outputs for n, outputs in self.evaluations.items()}
        plain: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("copies_apart", "weights_digest", "images", "train_s", "silenced")
        }
        plain |= {name: dataclasses.asdict(getattr(self, name)) for name in ("data", "machine")}
        if self.noise is not None:
            arrays["noise"] = self.noise.losses
            plain["noise"] = {"first": dict(self.noise.first), "controls": self.noise.controls}
        buffer = io.BytesIO()
        np.savez(buffer, plain=np.array(json.dumps(plain)), **arrays)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Observed:
        """Read what `save` wrote.

        Raises:
            StoreError: the file is missing, damaged or holds something else.
        """
        try:
            with np.load(path) as arrays:
                return cls(**_parsed(dict(arrays)))
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise StoreError(f"{path} holds no measurements: {error}.") from error


def _parsed(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(str(arrays.pop("plain")))
    if "noise" in values:
        values["noise"] = Noise(losses=arrays.pop("noise"), **values["noise"])
    return (
        {"noise": None}
        | values
        | {
            "path": TrainPath(
                **{name: arrays.pop(name) for name in TrainPath.__dataclass_fields__}
            ),
            "evaluations": {
                int(name.removeprefix("evaluation-")): a for name, a in arrays.items()
            },
            "images": tuple(values["images"]),
            "train_s": tuple(values["train_s"]),
            "silenced": tuple(values["silenced"]),
            "data": DataIdentity.from_json(values["data"]),
            "machine": Machine.from_json(values["machine"]),
        }
    )
