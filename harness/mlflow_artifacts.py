"""What is sent with a run besides numbers: its files, and the identity of its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.mlflow_api import Dataset, DatasetInput, InputTag
from harness.record import DataIdentity
from harness.scene_spec import PLAIN
from harness.store import RECORD_FILE

_DIGEST_CHARS = 36  # MLflow refuses longer ones
_CONTEXT = "mlflow.data.context"


def run_files(folder: Path) -> list[Path]:
    """Return the files of a run that are sent: arrays first, the record last.

    A record in MLflow thereby means that everything it speaks of is there too.
    """
    record = folder / RECORD_FILE
    return [*sorted(folder.glob("*.npz")), *([record] if record.is_file() else [])]


def dataset_inputs(data: DataIdentity) -> list[DatasetInput]:
    """Return the data of a run as MLflow shows it, with our digests of the content.

    MLflow's own digest reads the first 10,000 numbers only, so it is not used.
    """
    sizes: dict[str, object] = {
        "num_rows": data.n_train + data.n_validation,
        "n_train": data.n_train,
        "n_validation": data.n_validation,
        "data_seed": data.data_seed,
        "image_px": data.image_px,
        "classes": data.classes,
        "scene": data.scene,
        "scene_digest": data.scene_digest,
    }
    if data.class_names:
        sizes["class_names"] = list(data.class_names)
    # MLflow takes equal names and digests for the same data.
    scene = "" if data.scene == PLAIN.name else f" {data.scene}"
    inputs = [_input(f"{data.source}{scene}", data.digest, sizes, "training")]
    if data.test_digest is not None:
        test = {"num_rows": data.n_test, "image_px": data.image_px, "classes": data.classes}
        inputs.append(_input(f"{data.source}-test{scene}", data.test_digest, test, "evaluation"))
    return inputs


def _input(name: str, digest: str, profile: Mapping[str, object], context: str) -> DatasetInput:
    dataset = Dataset(
        name=name,
        digest=digest[:_DIGEST_CHARS],
        source_type="bench",
        source=json.dumps({"name": name, "digest": digest}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset=dataset, tags=[InputTag(_CONTEXT, context)])
