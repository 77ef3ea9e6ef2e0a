"""Small data sets as users have them: images in folders, IDX and NumPy files."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def pictures(n: int, seed: int, side: int = 28) -> np.ndarray:
    """Return n different images."""
    return np.random.default_rng(seed).integers(0, 256, (n, side, side)).astype(np.uint8)


def write_folders(root: Path, classes: Mapping[str, np.ndarray]) -> Path:
    for name, images in classes.items():
        (root / name).mkdir(parents=True)
        for k, image in enumerate(images):
            Image.fromarray(image).save(root / name / f"{k:03}.png")
    return root


def idx_bytes(array: np.ndarray) -> bytes:
    dims = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.astype(np.uint8).tobytes()


def write_pair(folder: Path, begin: str, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{begin}images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
    (folder / f"{begin}labels-idx1-ubyte").write_bytes(idx_bytes(labels))
